"""`GET /reports/capture`: the proof of capture."""

import csv
import io
from datetime import timedelta

import pytest
from httpx2 import AsyncClient

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from tests.unit.api.house import NOON, House


async def has_a_call(house: House, identity: str = "sip_1") -> None:
    """One call an hour ago, which the policy did not want."""
    at = NOON - timedelta(hours=1)
    stay = Stay("PA_1", at, "RM_1", at + timedelta(minutes=1))
    call = Call("call_1", Room("room"), identity, (stay,), at, at, reason="policy_none")
    await house.calls.add(call)


async def test_the_last_day_is_shown_where_no_period_is_given(
    house: House, client: AsyncClient
) -> None:
    """Every call with its fate, and totals."""
    await has_a_call(house)

    report = (await client.get("/reports/capture")).json()

    (line,) = report["lines"]
    assert (line["fate"], line["reason"]) == ("not_recorded", "policy_none")
    assert report["totals"]["calls"] == 1
    assert report["totals"]["by_reason"] == {"policy_none": 1}


async def test_it_comes_as_csv(house: House, client: AsyncClient) -> None:
    """A name that looks like a formula is text to a spreadsheet."""
    await has_a_call(house, identity="=1+1")

    answer = await client.get("/reports/capture", params={"format": "csv"})

    assert answer.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["identity"], row["fate"]) == ("'=1+1", "not_recorded")


async def test_a_number_that_is_more_than_digits_is_text(house: House, client: AsyncClient) -> None:
    """The caller chose it."""
    await has_a_call(house, identity="+cmd|'/C calc'!A0")

    answer = await client.get("/reports/capture", params={"format": "csv"})

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["identity"] == "'+cmd|'/C calc'!A0"


async def test_a_period_that_ends_before_it_begins_is_refused(client: AsyncClient) -> None:
    """With a sentence."""
    period = {"since": "2026-11-22T00:00:00Z", "until": "2026-11-21T00:00:00Z"}

    answer = await client.get("/reports/capture", params=period)

    assert answer.status_code == 400
    assert "has to end after it begins" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("period", "status"),
    [
        ({"since": "2026-11-22T00:00:00"}, 400),
        ({"since": "0001-01-01T00:00:00+14:00"}, 400),
        ({"until": "0001-01-01T00:00:00Z"}, 200),
        ({"until": "9999-12-31T23:59:59-14:00"}, 200),
    ],
)
async def test_moments_at_the_ends_of_time_are_answered(
    house: House, client: AsyncClient, period: dict[str, str], status: int
) -> None:
    """Without an offset, before the first and after the last that can be reckoned with."""
    answer = await client.get("/reports/capture", params=period)

    assert answer.status_code == status

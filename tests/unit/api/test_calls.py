"""`GET /calls` over ASGI."""

from datetime import timedelta

import httpx2
import pytest

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from tests.unit.api.house import NOON, House


class TestCalls:
    """`GET /calls`."""

    async def test_a_call_is_shown_with_the_reason_why_it_is_not_recorded(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Room and numbers on the top level."""
        await house.calls.add(
            Call(
                "call_1",
                Room("palombia", "RM_1"),
                "sip_1",
                (Stay("PA_1"),),
                NOON,
                NOON,
                caller_number="+15550100",
                reason="policy_none",
            )
        )

        shown = (await client.get("/calls/call_1")).json()

        assert shown["room_name"] == "palombia"
        assert shown["room_sid"] == "RM_1"
        assert shown["participant_sids"] == ["PA_1"]
        assert shown["direction"] == "inbound"
        assert shown["joined_at"] == "2026-11-22T12:00:00Z"
        assert shown["left_at"] is None
        assert shown["reason"] == "policy_none"

    async def test_lists_are_filtered_and_paged(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """The cursor of a page leads to the next; a number's plus may stand in the URL as it is."""
        for number in range(5):
            at = NOON + timedelta(seconds=number)
            await house.calls.add(
                Call(f"call_{number}", Room("r"), "i", (Stay("PA"),), at, at, "+1555")
            )

        first = (await client.get("/calls?caller_number=+1555&limit=2")).json()
        second = (await client.get("/calls", params={"cursor": first["next_cursor"]})).json()
        until = (await client.get("/calls?until=2026-11-22T12:00:02+00:00")).json()

        assert [call["id"] for call in first["items"]] == ["call_4", "call_3"]
        assert [call["id"] for call in second["items"]] == ["call_2", "call_1", "call_0"]
        assert second["next_cursor"] is None
        assert [call["id"] for call in until["items"]] == ["call_1", "call_0"]

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=201",
            "limit=many",
            "cursor=houba",
            "since=yesterday",
            "since=2026-11-22T12:00:00",
            "is_over=perhaps",
        ],
    )
    async def test_what_cannot_be_understood_is_said(
        self, client: httpx2.AsyncClient, query: str
    ) -> None:
        """Which parameter, and why."""
        answer = await client.get(f"/calls?{query}")

        assert answer.status_code == 400
        assert answer.json()["code"] == "bad_request"
        assert answer.json()["detail"].startswith(query.partition("=")[0])

    async def test_a_store_that_is_away_is_retryable(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Not an internal error."""
        house.calls.away = True

        answer = await client.get("/calls")

        assert answer.status_code == 503
        assert answer.json()["retryable"]

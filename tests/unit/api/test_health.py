"""`GET /health` over ASGI."""

import asyncio
from dataclasses import replace

import httpx2
import pytest

from egress_manager.errors import (
    StorageFailed,
    StoreUnavailable,
)
from tests.unit.api.house import House


class TestHealth:
    """`GET /health`."""

    async def test_all_is_well(self, anybody: httpx2.AsyncClient) -> None:
        """Nobody needs a key to ask."""
        answer = await anybody.get("/health")

        assert answer.status_code == 200
        assert answer.json() == {
            "status": "ok",
            "ill": [],
            "parts": {
                "mongodb": {"ok": True, "detail": "ok"},
                "storage": {"ok": True, "detail": "1 MB free"},
            },
            "webhooks": {
                "taken": 0,
                "refused": 0,
                "last_refused_at": None,
                "refused_because": "",
            },
            "room_lists": {"contradicted": 0, "last_contradicted_at": None},
            "keys": {"refused": 0, "last_refused_at": None},
            "connections": {"open": 0, "at_most": 4096, "turned_away": 0},
        }

    @pytest.mark.parametrize(
        ("ill", "detail"),
        [
            (StorageFailed("/r can't be written"), "/r can't be written"),
            (TimeoutError(), "no answer within 2 s"),
            (RuntimeError("a secret"), "RuntimeError"),
        ],
    )
    async def test_the_part_that_is_ill_is_named(
        self, house: House, anybody: httpx2.AsyncClient, ill: Exception, detail: str
    ) -> None:
        """The others are still asked."""
        house.ills["storage"] = ill

        answer = await anybody.get("/health")

        assert answer.status_code == 503
        assert answer.json()["ill"] == ["storage"]
        assert answer.json()["parts"]["storage"] == {"ok": False, "detail": detail}
        assert answer.json()["parts"]["mongodb"]["ok"]

    async def test_the_process_answers_whatever_is_ill(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """Restarting it would not help MongoDB."""
        house.ills["mongodb"] = StoreUnavailable("away")

        assert (await anybody.get("/health/live")).status_code == 200


async def test_a_part_that_does_not_answer_is_ill_in_time(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """A probe must not wait for ever."""

    async def asleep() -> str:
        await asyncio.sleep(60)
        return "never"

    house.app.state.services = replace(house.app.state.services, health_checks={"livekit": asleep})

    async with asyncio.timeout(10):
        answer = await anybody.get("/health")

    assert answer.json()["ill"] == ["livekit"]


async def test_many_who_ask_are_answered_with_one_look(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """Anybody may ask, and a look is a write, a query and a call to LiveKit."""
    looks = 0

    async def looking() -> str:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return "well"

    house.app.state.services = replace(house.app.state.services, health_checks={"disk": looking})

    answers = await asyncio.gather(*(anybody.get("/health") for _ in range(40)))

    assert {answer.status_code for answer in answers} == {200}
    assert looks == 1

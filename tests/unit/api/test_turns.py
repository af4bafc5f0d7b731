"""Strangers have their turns; who shows the key or a signature has none to wait for."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from egress_manager.api import visitors
from tests.unit.api.house import KEY, STRANGER, House

Message = MutableMapping[str, Any]


class Asked:
    """A request as the server hands it over, and what was answered."""

    def __init__(self, house: House, path: str, method: str = "GET", **headers: str) -> None:
        self.gone = asyncio.Event()
        self.answers: list[Message] = []
        self._app = house.app
        self._scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 4711),
        }
        visitors.tell_gone(self._scope, self.gone)

    async def answered(self) -> int:
        """The status of the answer; 0 where there is none."""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Message) -> None:
            self.answers.append(message)

        async with asyncio.timeout(60):
            await self._app(self._scope, receive, send)
        return int(self.answers[0]["status"]) if self.answers else 0


@pytest.fixture(autouse=True)
def slow(house: House) -> None:
    """A service that has time for one stranger now, and for the next one in a long time."""
    house.visitors.asks_per_second = 1


async def test_who_asks_and_hangs_up_is_not_worked_for(house: House) -> None:
    """However often it does: each of its requests waits, and ends with its connection."""
    assert await Asked(house, "/health").answered() == 200
    floods = [Asked(house, "/webhook", "POST", Authorization=STRANGER) for _ in range(100)]
    asking = [asyncio.create_task(flood.answered()) for flood in floods]
    await asyncio.sleep(0)
    for flood in floods:
        flood.gone.set()

    assert await asyncio.gather(*asking) == [0] * 100
    assert house.app.state.services.webhooks.refused == 0


async def test_who_would_wait_too_long_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is looked up for it."""
    monkeypatch.setattr(visitors, "HELD_UP_AT_MOST", 0.01)
    asked = [Asked(house, "/health") for _ in range(4)]

    assert [await one.answered() for one in asked] == [200, 429, 429, 429]
    assert dict(asked[-1].answers[0]["headers"])[b"retry-after"] == b"60"


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/calls", "GET", {"X-API-Key": KEY}),
        ("/calls", "GET", {"Authorization": f"Bearer {KEY}"}),
        ("/webhook", "POST", {"Authorization": "signed"}),
    ],
)
async def test_who_is_known_is_worked_for_in_the_midst_of_a_flood(
    house: House, path: str, method: str, headers: dict[str, str]
) -> None:
    """From the same address, as behind a proxy."""
    floods = [Asked(house, "/health") for _ in range(100)]
    asking = [asyncio.create_task(flood.answered()) for flood in floods]
    await asyncio.sleep(0)

    known = [await Asked(house, path, method, **headers).answered() for _ in range(50)]
    for flood in floods:
        flood.gone.set()
    await asyncio.gather(*asking)

    assert known == [200] * 50


async def test_a_signature_opens_the_webhook_alone(house: House) -> None:
    """It is no key."""
    assert await Asked(house, "/calls", Authorization="signed").answered() == 401


async def test_a_wrong_key_is_one_try(house: House) -> None:
    """Though it is looked at before the turn and by the route."""
    assert await Asked(house, "/calls", **{"X-API-Key": "wrong"}).answered() == 401

    assert house.visitors.keys.refused == 1

"""Bodies that are larger than any that is expected, or that nobody who is known sends."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from egress_manager.api.bodies import BODY_AT_MOST
from tests.unit.api.house import KEY, STRANGER, House

PART = 2**16


class Endless:
    """A body without an end; `sent` is how much of it was taken."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += PART
            yield b"x" * PART


@pytest.mark.parametrize(
    ("path", "headers"), [("/webhook", {}), ("/recordings", {"X-API-Key": KEY})]
)
async def test_no_more_is_read_than_is_allowed(
    house: House, anybody: httpx2.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    """Though nothing says how much will come."""
    body = Endless()

    answer = await anybody.post(path, content=body, headers=headers)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert body.sent <= BODY_AT_MOST + PART
    assert house.received == []


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/webhook", {"Authorization": STRANGER}, "signature_refused"),
        ("/recordings", {}, "unauthenticated"),
        ("/recordings", {"X-API-Key": "wrong"}, "unauthenticated"),
        ("/recordings/rec_1/stop", {}, "unauthenticated"),
        ("/reconciliation", {"Authorization": "Bearer wrong"}, "unauthenticated"),
        ("/houba", {}, "not_found"),
        ("/calls", {}, "method_not_allowed"),
    ],
)
async def test_nothing_is_read_of_what_a_stranger_sends(
    house: House, anybody: httpx2.AsyncClient, path: str, headers: dict[str, str], code: str
) -> None:
    """Its headers say that it is one."""
    body = Endless()

    answer = await anybody.post(path, content=body, headers=headers)

    assert answer.json()["code"] == code
    assert body.sent == 0
    assert house.received == []

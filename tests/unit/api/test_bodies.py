"""Bodies that are larger than any that is expected."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from egress_manager.api.bodies import BODY_AT_MOST
from tests.unit.api.house import House

PART = 2**16


@pytest.mark.parametrize("path", ["/webhook", "/recordings"])
async def test_whoever_asks_no_more_is_read_than_is_allowed(
    house: House, anybody: httpx2.AsyncClient, path: str
) -> None:
    """Before it is known who asks, and though nothing says how much will come."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += PART
            yield b"x" * PART

    answer = await anybody.post(path, content=endless())

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert sent <= BODY_AT_MOST + PART
    assert house.received == []

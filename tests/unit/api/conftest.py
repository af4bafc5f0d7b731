"""The API over ASGI, with the stores in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.unit.api.house import KEY, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A service with nothing in it."""
    return House(tmp_path / "recordings")


@pytest.fixture
async def anybody(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a key."""
    transport = httpx2.ASGITransport(app=house.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://manager") as client:
        yield client


@pytest.fixture
async def client(house: House, anybody: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client with the key."""
    anybody.headers["Authorization"] = f"Bearer {KEY}"
    return anybody

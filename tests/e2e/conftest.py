"""A house for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.servers import Mongod
from tests.e2e.houses import House, house


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A livekit-server and a manager that know each other; MongoDB is shared."""
    async with house(mongod_server, mongo_database, tmp_path / "recordings") as home:
        yield home

"""A house for every test that asks for one; and which programs stood behind the tests."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.egress import real_egress
from lab.servers import Mongod
from tests.e2e.houses import House, house


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A livekit-server and a manager that know each other; MongoDB is shared."""
    async with house(mongod_server, mongo_database, tmp_path / "recordings") as home:
        yield home


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was real."""
    terminalreporter.write_line(f"egress: {real_egress() or 'stand-in'}")
    sip = shutil.which("livekit-sip")
    terminalreporter.write_line(f"livekit-sip: {sip or 'phones of kind SIP instead'}")

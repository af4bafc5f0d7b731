"""A house for every test that asks for one; and which programs stood behind the tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.egress import real_egress
from lab.livekit_sip import real_livekit_sip
from lab.servers import Mongod
from tests.e2e.houses import House, house


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Who asks for a `home` is told for both engines, unless the story is of one alone.

    Some are told of several processes, too: what records there is the built-in recorder.
    """
    if "engine" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        engines = ["builtin"] if "builtin_only" in marks else ["builtin", "egress"]
        metafunc.parametrize("engine", engines + ["several"] * ("several_too" in marks))


@pytest.fixture
async def home(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, engine: str
) -> AsyncIterator[House]:
    """A livekit-server and a manager that know each other; MongoDB is shared."""
    recordings = tmp_path / "recordings"
    async with house(mongod_server, mongo_database, recordings, engine=engine) as home:
        yield home


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was real."""
    terminalreporter.write_line(f"egress: {real_egress() or 'stand-in'}")
    sip = real_livekit_sip() or "participants of kind SIP instead"
    terminalreporter.write_line(f"livekit-sip: {sip}")

"""Real servers that all tests of a session share, started when the first test asks for one.

A test that stops, kills or reconfigures a server starts its own: `async with LiveKit() as …`.
"""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from egress_manager import telemetry
from lab import discretion
from lab.programs import ProgramMissing
from lab.servers import LiveKit, Mongod, Redis, Server

#: The loggers of the product.
OURS = "egress_manager"
# Every run tries the same; how long an example takes tells of the machine, not of the code.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

Result = TypeVar("Result")
SomeServer = TypeVar("SomeServer", bound=Server)


@pytest.fixture(autouse=True)
def discreet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What our code logs in a test's own process tells no more than what servers of ours may."""
    yield
    formatter = telemetry.formatter(plain=False)
    records = [record for record in caplog.get_records("call") if record.name.startswith(OURS)]
    discretion.hold("\n".join(map(formatter.format, records)), "the test")


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LiveKit]:
    """A livekit-server without webhooks and without Redis."""
    yield from _shared(LiveKit())


@pytest.fixture(scope="session")
def mongod_server() -> Iterator[Mongod]:
    """A mongod; use `mongo_database` for a name that is all yours."""
    yield from _shared(Mongod())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis; keep to keys that nobody else uses."""
    yield from _shared(Redis())


@pytest.fixture
def mongo_uri(mongod_server: Mongod) -> str:
    """How to reach the shared mongod."""
    return mongod_server.uri


@pytest.fixture
def mongo_database() -> str:
    """The name of a database that does not exist yet."""
    return f"test_{uuid.uuid4().hex}"


@pytest.fixture
def room_name() -> str:
    """The name of a room that does not exist yet."""
    return f"room-{uuid.uuid4().hex[:12]}"


def _shared(server: SomeServer) -> Iterator[SomeServer]:
    try:
        _now(server.start())
        yield server
    except ProgramMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    finally:
        _now(server.close())


def _now(deed: Coroutine[Any, Any, Result]) -> Result:
    """Run it on a loop of its own: servers are not bound to one, and tests each have theirs."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(deed)
    finally:
        loop.close()

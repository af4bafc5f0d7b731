"""A process that is asked to end (SIGTERM) ends, whatever is away or open; what it kept is on disk.

How long it takes is measured by the benchmark `ending`; here it has to end by itself at all.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from egress_manager.adapters.mongo_client import close, connect, database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.domain.recordings import Observation, Recording, State
from lab import programs, sounds
from lab.manager import KEY, Manager
from lab.phones import Agent, Phone
from lab.ports import LOOPBACK
from lab.programs import ProgramMissing
from lab.servers import Mongod
from tests.e2e.clusters import cluster
from tests.e2e.houses import House, house

pytestmark = pytest.mark.builtin_only("it is the built-in recorder that has rooms to leave")

#: A process ends by itself within this, on a busy machine too; one that never ends fails. Seconds.
PATIENCE = 25.0

#: By which a process ends that was asked to and had no reason to do otherwise.
AS_ASKED = -signal.SIGTERM

#: More than the buffers between a server and a client that does not read. Bytes.
LONG = 64 << 20

HALF_A_BODY = b"POST /webhook HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{}\n"
HALF_A_HEAD = b"POST /webhook HTTP/1.1\r\nHost: he"
WITHOUT_READING = (
    f"GET /recordings/rec_long/audio HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {KEY}\r\n\r\n"
).encode()

Failure = Callable[[House, Mongod], object]


async def kill_mongod(home: House, mongod: Mongod) -> None:
    """Nobody listens where MongoDB was."""
    await mongod.kill()


async def freeze_mongod(home: House, mongod: Mongod) -> None:
    """MongoDB's port accepts connections, and nobody answers."""
    mongod.pause()


async def kill_livekit(home: House, mongod: Mongod) -> None:
    """Nobody listens where livekit-server was."""
    await home.livekit.kill()


async def freeze_livekit(home: House, mongod: Mongod) -> None:
    """livekit-server's ports take what comes, and nobody answers."""
    home.livekit.pause()


@pytest.mark.parametrize("fail", [kill_mongod, freeze_mongod, kill_livekit, freeze_livekit])
async def test_it_ends_in_the_middle_of_a_call_whatever_server_is_away(
    fail: Failure, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """The capture's journal has its last line: nothing was cut off by force."""
    async with (
        Mongod() as mongod,
        house(mongod, mongo_database, tmp_path / "recordings") as home,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550700") as phone,
    ):
        await phone.answered()
        await home.hears(phone)
        await fail(home, mongod)  # type: ignore[misc]
        await until_noticed(home.manager, fail)

        assert await home.manager.ended(PATIENCE) == AS_ASKED
        assert last_entries(home.manager) == ["ended"]
        for server in (mongod, home.livekit):
            with contextlib.suppress(Exception):
                server.resume()


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
async def test_it_ends_on_every_python(
    version: str, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """In the middle of a call, without MongoDB, and with half a request of somebody."""
    try:
        python = programs.python(version)
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    recordings = tmp_path / "recordings"
    async with (
        Mongod() as mongod,
        house(mongod, mongo_database, recordings, python=str(python)) as home,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550702") as phone,
    ):
        await phone.answered()
        await home.hears(phone)
        await mongod.kill()
        await home.manager.ill("mongodb")
        async with client_of(home.manager, HALF_A_BODY):
            await until_answered(home.manager)

            assert await home.manager.ended(PATIENCE) == AS_ASKED
        assert last_entries(home.manager) == ["ended"]


async def until_noticed(manager: Manager, fail: Failure) -> None:
    """Wait until the process is in the midst of asking a server that does not answer."""
    part = "mongodb" if fail in (kill_mongod, freeze_mongod) else "livekit"
    await manager.ill(part)


def last_entries(manager: Manager) -> list[str]:
    """What the last lines of all journals say."""
    journals = sorted(manager.recordings.glob(".captures/*/journal.jsonl"))
    lines = [journal.read_text().splitlines() for journal in journals]
    return [json.loads(each[-1])["is"] for each in lines if each]


@contextlib.asynccontextmanager
async def client_of(manager: Manager, request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A client that says this, and neither says nor reads anything after it."""
    reader, writer = await asyncio.open_connection(LOOPBACK, manager.port, limit=1024)
    try:
        writer.write(request)
        await writer.drain()
        yield reader
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("request_", [HALF_A_BODY, HALF_A_HEAD], ids=["body", "head"])
async def test_it_ends_while_a_client_holds_half_a_request(
    request_: bytes, mongod_server: Mongod, mongo_database: str
) -> None:
    """Whoever sends three bytes and waits does not keep the service."""
    manager = Manager(
        livekit_url="ws://127.0.0.1:1", mongo_uri=mongod_server.uri, mongo_db=mongo_database
    )
    async with manager, client_of(manager, request_):
        await until_answered(manager)

        assert await manager.ended(PATIENCE) == AS_ASKED


async def test_it_ends_while_a_client_does_not_read_a_long_answer(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """A download that nobody takes is broken off."""
    manager = Manager(
        livekit_url="ws://127.0.0.1:1",
        mongo_uri=mongod_server.uri,
        mongo_db=mongo_database,
        recordings=tmp_path,
    )
    async with manager:
        await add_long_recording(mongod_server.uri, mongo_database, tmp_path)
        async with client_of(manager, WITHOUT_READING) as reader:
            assert b"200 OK" in await reader.readline()

            assert await manager.ended(PATIENCE) == AS_ASKED


async def add_long_recording(uri: str, name: str, directory: Path) -> None:
    """A recording whose file is longer than what fits between the service and its client."""
    file = directory / "long.mp4"
    with file.open("wb") as made:
        made.truncate(LONG)
    now = datetime.now(UTC)
    client = connect(uri)
    long = Recording(
        "rec_long",
        "call_long",
        "EG_long",
        "builtin",
        "room",
        Observation(State.CAPTURED, now),
        now,
        state=State.VERIFIED,
        filepath=str(file),
    )
    await MongoRecordings(database(client, name)).add(long)
    await close(client)


async def until_answered(manager: Manager) -> None:
    """The connection that was opened before this one has been taken up."""
    assert (await manager.ask("/health/live")).is_success


async def test_it_hands_over_while_its_server_waits_for_a_client(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """uvicorn, set to wait a minute, waits; the capture ends and another process has the room."""
    recordings = tmp_path / "recordings"
    patient = {"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "60"}
    async with house(mongod_server, mongo_database, recordings, settings=patient) as home:
        first, successor = home.manager, beside(home, mongod_server, mongo_database)
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550701") as phone,
        ):
            await home.hears(phone)
            async with successor, client_of(first, HALF_A_BODY):
                await until_others_are_seen(mongod_server.uri, mongo_database)
                ending = asyncio.create_task(first.ended(PATIENCE))
                async with asyncio.timeout(2 * PATIENCE):
                    while not ending.done() or len(last_entries(first)) < 2:
                        await phone.say(sounds.silence(0.3))
                await ending
                (left, _) = last_entries(first)
                await phone.hang_up()
                await successor.recording("completed", caller_number=phone.number)

    assert left == "ended"


def beside(home: House, mongod: Mongod, name: str) -> Manager:
    """Another manager that works on the same."""
    return Manager(
        livekit_url=home.livekit.http_url,
        mongo_uri=mongod.uri,
        mongo_db=name,
        recordings=home.manager.recordings,
    )


async def until_others_are_seen(uri: str, name: str) -> None:
    """Wait until both processes have said several times that they are there."""
    client = connect(uri)
    try:
        async with asyncio.timeout(PATIENCE):
            while (
                await database(client, name)["processes"].count_documents({"beat": {"$gt": 3}}) < 2
            ):
                await asyncio.sleep(0.05)
    finally:
        await close(client)


async def test_processes_of_their_own_end_without_redis(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """The API, a recorder and the jobs, while what they share the work through is away."""
    directory = tmp_path / "recordings"
    async with cluster(mongod_server, mongo_database, [directory]) as processes:
        await processes.redis.kill()
        all_of_them = (*processes.recorders, *processes.jobs, processes.home.manager)
        codes = await asyncio.gather(*(each.ended(PATIENCE) for each in all_of_them))

    assert set(codes) <= {0, AS_ASKED}


async def test_processes_of_their_own_end_while_redis_is_frozen_and_mongodb_away(
    mongo_database: str, tmp_path: Path
) -> None:
    """Redis takes what is sent and answers nothing; none of them has to be killed."""
    directory = tmp_path / "recordings"
    async with (
        Mongod() as mongod,
        cluster(mongod, mongo_database, [directory]) as processes,
    ):
        processes.redis.pause()
        await mongod.kill()
        await processes.home.manager.ill("mongodb")
        all_of_them = (*processes.recorders, *processes.jobs, processes.home.manager)
        codes = await asyncio.gather(*(each.ended(PATIENCE) for each in all_of_them))
        processes.redis.resume()

    assert set(codes) <= {0, AS_ASKED}

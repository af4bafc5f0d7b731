"""Two LiveKits, or two databases, that must not meet: on real servers, with a call that goes on."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from egress_manager.adapters.livekit_identity import LiveKitIdentityProof
from egress_manager.adapters.mongo_client import connect
from lab import sounds
from lab.manager import Manager, Worker
from lab.phones import Agent, Phone
from lab.ports import LOOPBACK, free_port
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod, Redis, ServerFailed
from tests.e2e.houses import House, heard, house

#: A fraction that says: this sound is there.
THERE = 0.6

#: In which calls that go on in a LiveKit of before end in the database. Seconds.
A_MINUTE = 60.0

OTHER_KEY = {"LIVEKIT_API_KEY": "other", "LIVEKIT_API_SECRET": "o" * 40}
OTHER = {"other": "o" * 40}
BOTH = {"other": "o" * 40, API_KEY: API_SECRET}

Started = TypeVar("Started", Manager, Worker)

COMMAND = "from egress_manager.cli import main; main()"


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """The production: its LiveKit, its manager, its database and its directory."""
    async with house(mongod_server, mongo_database, tmp_path / "production") as home:
        yield home


def beside(home: House, livekit: LiveKit, recordings: Path, **fields: Any) -> Manager:
    """A manager with the database of the production and a LiveKit of its own, not started yet."""
    given = {
        "livekit_url": livekit.http_url,
        "mongo_uri": home.manager.environment()["MONGO_URI"],
        "mongo_db": home.manager.environment()["MONGO_DB"],
    }
    return Manager(recordings=recordings, **(given | fields))


@contextlib.asynccontextmanager
async def closing(manager: Started) -> AsyncIterator[Started]:
    """Whether it ever started or not."""
    try:
        yield manager
    finally:
        await manager.close()


async def refusal(manager: Manager | Worker) -> str:
    """What a process says that must not start."""
    with pytest.raises(ServerFailed):
        await manager.start()
    assert not manager.is_running
    return manager.log.read_text()


async def egress_manager(manager: Manager, *arguments: str) -> str:
    """What a command says, with a manager's settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        env={**os.environ, **manager.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.parametrize("has_other_key", [False, True], ids=["same_key", "other_key"])
async def test_a_second_livekit_on_one_database_is_refused_and_no_call_ends(
    home: House, tmp_path: Path, room_name: str, has_other_key: bool
) -> None:
    """Staging comes to the database of the production, again and again, while somebody talks."""
    keys, settings = (OTHER, OTHER_KEY) if has_other_key else (None, {})
    async with (
        LiveKit(keys=keys) as staging,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550700") as phone,
    ):
        await phone.answered()
        await home.capturing(phone)
        intruder = beside(home, staging, tmp_path / "staging", settings=settings)
        async with closing(intruder):
            said = [await refusal(intruder) for _ in range(2)][-1]
        await phone.say(sounds.chirp(1.5))
        await phone.say(sounds.silence(1.0))
        goes_on = await home.call_of(phone)
        await phone.hang_up()
    recording = await home.finished(phone)

    assert "belongs to another LiveKit" in said
    assert "adopt livekit" in said
    assert "Traceback" not in said
    assert goes_on["left_at"] is None
    assert sounds.locate(heard(recording).left, sounds.chirp(1.5)).score > THERE
    assert len(recording["captures"]) == 1


async def test_a_second_livekit_whose_database_was_away_at_the_start_ends_no_call(
    tmp_path: Path, room_name: str
) -> None:
    """It captures what it hears and writes nothing; the sentence is in its log and its health."""
    async with (
        Mongod() as mongod,
        house(mongod, "shared", tmp_path / "production") as home,
        LiveKit() as staging,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550701") as phone,
    ):
        await phone.answered()
        await home.capturing(phone)
        await mongod.kill()
        async with closing(beside(home, staging, tmp_path / "staging")) as intruder:
            await intruder.start()
            await mongod.start()
            async with asyncio.timeout(60):
                while "belongs to another LiveKit" not in await intruder.ill("mongodb"):
                    await asyncio.sleep(0.1)
            async with (
                Agent(staging, room_name, identity="agent"),
                Phone(staging, room_name, number="+15550702") as other,
            ):
                await other.answered()
                async with asyncio.timeout(60):
                    while not list((tmp_path / "staging").glob(".captures/*/journal.jsonl")):
                        await other.say(sounds.silence(0.5))
            calls = await home.manager.calls()
            await phone.hang_up()

    assert [(call["identity"], call["left_at"]) for call in calls] == [(phone.identity, None)]


async def test_of_two_that_start_at_once_on_a_new_database_one_gets_it(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """And the directory of the other one stays its own to use with another database."""
    on = {"mongo_uri": mongod_server.uri, "mongo_db": mongo_database}
    async with LiveKit() as one, LiveKit() as two, contextlib.AsyncExitStack() as stack:
        managers = [
            await stack.enter_async_context(
                closing(Manager(livekit_url=livekit.http_url, recordings=tmp_path / name, **on))
            )
            for name, livekit in (("one", one), ("two", two))
        ]
        started = await asyncio.gather(
            *(manager.start() for manager in managers), return_exceptions=True
        )

    assert sorted(type(each) for each in started if each) == [ServerFailed]


async def test_every_process_of_several_is_refused(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """`jobs` and `recorder`, too: each of them asks LiveKit who is there."""
    async with (
        house(mongod_server, mongo_database, tmp_path / "production", engine="several") as home,
        LiveKit() as staging,
        Redis() as redis,
    ):
        settings = {"REDIS_URL": redis.url}
        manager = beside(home, staging, tmp_path / "staging", settings=settings)
        for role in ("jobs", "recorder"):
            async with closing(Worker(role, manager)) as worker:
                assert "belongs to another LiveKit" in await refusal(worker)


async def test_a_second_database_for_one_directory_is_refused_until_it_is_meant(
    home: House, mongo_database: str, tmp_path: Path
) -> None:
    """With the same LiveKit; the command gives the directory to the other database."""
    directory = tmp_path / "production"
    other = beside(home, home.livekit, directory, mongo_db=f"{mongo_database}_other")
    async with closing(other):
        said = await refusal(other)
        await home.manager.stop()
        shown = await egress_manager(other, "adopt", "recordings")
        await egress_manager(other, "adopt", "recordings", "--yes")
        await other.start()
        await other.stop()
        back = await refusal(home.manager)
        client = connect(other.environment()["MONGO_URI"])
        await client.drop_database(f"{mongo_database}_other")
        await client.close()

    assert "belongs to the database with the id" in said
    assert "Nothing was changed" in shown
    assert "belongs to the database with the id" in back


async def test_a_database_that_is_given_to_another_livekit_goes_on_with_its_calls(
    home: House, tmp_path: Path, room_name: str
) -> None:
    """LiveKit is replaced on purpose, in the middle of a call: that one ends, new ones are kept."""
    directory = tmp_path / "production"
    async with (
        LiveKit() as new,
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15550703") as left_behind,
    ):
        await left_behind.answered()
        await home.capturing(left_behind)
        await left_behind.say(sounds.chirp(1.5))
        await home.manager.stop()
        async with closing(beside(home, new, directory)) as moved:
            refused = await refusal(moved)
            said = await egress_manager(moved, "adopt", "livekit", "--yes")
            await moved.start()
            async with (
                Agent(new, f"{room_name}-new", identity="agent"),
                Phone(new, f"{room_name}-new", number="+15550704") as phone,
            ):
                await phone.answered()
                await House(new, moved).hears(phone)
                await phone.say(sounds.chirp(1.5))
                await phone.hang_up()
            recording = await House(new, moved).finished(phone)
            ended = await moved.recording(
                "completed", caller_number=left_behind.number, timeout=2 * A_MINUTE
            )
            await moved.stop()
            back = await refusal(home.manager)

    assert "belongs to another LiveKit" in refused
    assert str(new.port) in said.split("\n\n")[-1].split("LiveKit of the settings")[0]
    for each in (recording, ended):
        assert sounds.locate(heard(each).left, sounds.chirp(1.5)).score > THERE
    assert "belongs to another LiveKit" in back


async def test_the_same_livekit_at_another_address_with_another_key_goes_on(
    home: House, tmp_path: Path
) -> None:
    """A load balancer comes before it, and its key is replaced: LiveKit itself proves all that."""
    livekit = home.livekit
    await home.manager.stop()
    livekit.keys = BOTH
    await livekit.restart()
    async with forwarding(livekit.port) as port:
        url = f"ws://{LOOPBACK}:{port}"
        balanced = beside(
            home, livekit, tmp_path / "production", livekit_url=url, settings=OTHER_KEY
        )
        async with closing(balanced):
            await balanced.start()
            health = (await balanced.ask("/health")).json()
            await balanced.stop()
            livekit.keys = OTHER
            await livekit.restart()
            await balanced.start()
    shown = await egress_manager(home.manager, "adopt", "livekit")

    assert health["ill"] == []
    assert str(livekit.port) in shown
    assert str(port) in shown


async def test_a_livekit_says_which_keys_it_knows_and_where_it_is_reached() -> None:
    """A token without any right is enough; another server with the same key is another one."""
    async with LiveKit(keys=BOTH) as one, LiveKit() as two, forwarding(one.port) as port:
        proof = LiveKitIdentityProof(one.http_url, API_KEY, API_SECRET)
        other = LiveKitIdentityProof(two.http_url, "other", "o" * 40)
        wrong = LiveKitIdentityProof(one.http_url, API_KEY, "wrong" * 8)

        assert await proof.knows(proof.own.credential)
        assert await proof.knows(other.own.credential)
        assert not await proof.knows(wrong.own.credential)
        assert not await other.knows(other.own.credential)
        assert await proof.is_reached_at(f"http://{LOOPBACK}:{port}")
        assert not await proof.is_reached_at(two.http_url)
        assert not await proof.is_reached_at(f"http://{LOOPBACK}:{free_port()}")


@contextlib.asynccontextmanager
async def forwarding(to: int) -> AsyncIterator[int]:
    """One more port of loopback that leads to that one."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(LOOPBACK, to)
            await asyncio.gather(carry(reader, back), carry(there, writer))
        writer.close()

    server = await asyncio.start_server(forward, LOOPBACK, 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()

"""More than one process: each call is recorded once, whoever dies meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab import sounds
from lab.manager import Facts, Worker
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.clusters import Cluster, cluster
from tests.e2e.houses import heard, house

pytestmark = pytest.mark.builtin_only("recorders capture; who orders from LiveKit needs none")

#: A fraction that says: this sound is there.
THERE = 0.6

FIRST = sounds.chirp(2)
SECOND = sounds.chirp(2, low=3400, high=400)


@pytest.fixture
async def processes(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """The API, two recorders and a process for the jobs, all on one host."""
    directory = tmp_path / "recordings"
    async with cluster(mongod_server, mongo_database, [directory, directory]) as made:
        yield made


async def breathe_until_held(
    processes: Cluster, phone: Phone, room_name: str, but: Worker | None = None
) -> Worker:
    """Have the phone make no sound until a recorder hears all of its room; which one it is."""
    finding = asyncio.create_task(processes.holder(room_name, but))
    while not finding.done():
        await phone.say(sounds.silence(0.3))
    return await finding


@contextlib.asynccontextmanager
async def talking(
    processes: Cluster, room_name: str, number: str
) -> AsyncIterator[tuple[Phone, Worker]]:
    """A call that a recorder holds, and which one that is."""
    async with (
        Agent(processes.home.livekit, room_name, identity="agent"),
        Phone(processes.home.livekit, room_name, number=number) as phone,
    ):
        yield phone, await breathe_until_held(processes, phone, room_name)


def said_both(recording: Facts) -> float:
    """Both words are there: the seconds between them in the recording."""
    mix = heard(recording)
    one, two = sounds.locate(mix.left, FIRST), sounds.locate(mix.left, SECOND)
    assert min(one.score, two.score) > THERE
    return two.at - one.at


def missing(recording: Facts) -> list[str]:
    """The causes of the recording's holes; how long they are, the benchmark `takeover` tells."""
    return [hole["cause"] for hole in recording["holes"]]


async def test_api_jobs_and_recorders_are_processes_of_their_own(
    processes: Cluster, room_name: str
) -> None:
    """Two recorders, one call: one of them captures it, and there is one recording."""
    async with talking(processes, room_name, "+15550400") as (phone, _):
        await phone.say(FIRST)
        await phone.say(SECOND)
        await phone.hang_up()
    recording = await processes.home.finished(phone)

    said_both(recording)
    assert len(recording["captures"]) == 1
    (only,) = await processes.home.manager.recordings_of()
    assert only["id"] == recording["id"]


async def kill_in_the_middle(
    processes: Cluster, room_name: str, number: str, *, comes_back: bool
) -> tuple[Worker, Facts]:
    """A call whose recorder is killed, and which another one goes on with: that one, and the file.

    The second word is where it was said; what is missing between the two is told.
    """
    async with talking(processes, room_name, number) as (phone, first):
        before = await phone.say(FIRST)
        await phone.say(sounds.silence(1.0))
        await first.kill()
        second = await breathe_until_held(processes, phone, room_name, but=first)
        after = await phone.say(SECOND)
        if comes_back:
            await first.start()
        await phone.hang_up()
    recording = await processes.home.finished(phone)
    assert said_both(recording) == pytest.approx(after.started_at - before.started_at, abs=0.25)
    assert "recorder down" in missing(recording)
    assert len(recording["captures"]) == 2
    return second, recording


async def test_a_recorder_that_is_killed_is_followed_by_another(
    processes: Cluster, room_name: str
) -> None:
    """kill -9: the other one goes on within seconds; one recording says what is missing."""
    await kill_in_the_middle(processes, room_name, "+15550401", comes_back=False)


async def test_a_recorder_that_is_asked_to_end_hands_over_without_a_hole(
    processes: Cluster, room_name: str
) -> None:
    """SIGTERM: the other one is in the room before this one leaves it."""
    async with talking(processes, room_name, "+15550402") as (phone, first):
        await phone.say(FIRST)
        leaving = asyncio.create_task(first.stop(timeout=30))
        await breathe_until_held(processes, phone, room_name, but=first)
        while not leaving.done():
            await phone.say(sounds.silence(0.3))
        await leaving
        await phone.say(SECOND)
        await phone.hang_up()
    recording = await processes.home.finished(phone)

    said_both(recording)
    assert len(recording["captures"]) == 2
    assert not {"recorder down", "connection"} & set(missing(recording))


async def test_redis_that_forgets_all_and_is_away_delays_and_loses_nothing(
    processes: Cluster, room_name: str
) -> None:
    """It is killed during the call, which is over before it is back: the recording comes."""
    async with talking(processes, room_name, "+15550403") as (phone, _):
        await phone.say(FIRST)
        await processes.redis.kill()
        await phone.say(SECOND)
        await phone.hang_up()
    await processes.redis.start()
    recording = await processes.home.finished(phone)

    said_both(recording)
    assert len(await processes.home.manager.recordings_of()) == 1


async def test_several_workers_of_uvicorn_record_a_call_once(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Each of them does everything, and hears of the same call."""
    directory = tmp_path / "recordings"
    settings = {"WEB_CONCURRENCY": "3"}
    async with house(mongod_server, mongo_database, directory, settings=settings) as home:
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550405") as phone,
        ):
            await home.hears(phone)
            await phone.say(FIRST)
            await phone.say(SECOND)
            await phone.hang_up()
        recording = await home.finished(phone)
        (only,) = await home.manager.recordings_of()
        await home.manager.stop(timeout=30)  # uvicorn ends its workers only where it is asked to

    said_both(recording)
    assert only["id"] == recording["id"]
    assert len(recording["captures"]) == 1
    assert len(list(directory.glob(".captures/*"))) == 1
    assert len(list(directory.rglob("*.mp4"))) == 1


async def test_a_recorder_that_is_full_leaves_calls_to_the_other(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """With a limit that no process can hold one of two is full from the beginning."""
    directory = tmp_path / "recordings"
    full = {"EGRESS_MANAGER_MOST_LAG": "0"}
    async with cluster(
        mongod_server, mongo_database, [directory, directory], first=full
    ) as processes:
        async with talking(processes, room_name, "+15550406") as (phone, holder):
            await phone.hang_up()
        await processes.home.finished(phone)

    assert holder is processes.recorders[1]


async def test_where_all_are_full_a_call_is_captured_and_mixed_after_it(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Health raises the alarm; nothing is refused, nothing is lost."""
    settings = {"EGRESS_MANAGER_MOST_LAG": "0"}
    async with house(
        mongod_server, mongo_database, tmp_path / "recordings", settings=settings
    ) as home:
        assert "mixes come after" in await home.manager.ill("recorder")
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550407") as phone,
        ):
            await home.hears(phone)
            await phone.say(FIRST)
            begun = list(home.manager.recordings.rglob("*.mp4*"))
            await phone.say(SECOND)
            await phone.hang_up()
        recording = await home.finished(phone)

    assert begun == []
    said_both(recording)


async def test_a_host_that_dies_is_followed_by_another_one(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Each has a disk of its own: what the first one kept is brought to the second by the store."""
    directories = [tmp_path / "one", tmp_path / "two"]
    async with cluster(mongod_server, mongo_database, directories) as hosts:
        second, recording = await kill_in_the_middle(hosts, room_name, "+15550404", comes_back=True)

    assert Path(recording["filepath"]).is_relative_to(second.recordings)

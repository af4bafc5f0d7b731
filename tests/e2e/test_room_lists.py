"""LiveKit lists no room, or nobody in it, while calls go on: its Redis has lost its keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from egress_manager.adapters.livekit_rooms import LiveKitRooms
from lab import sounds
from lab.manager import Facts
from lab.phones import Agent, Phone
from lab.plans import Line, Part
from lab.servers import LiveKit, Mongod, Redis
from tests.e2e.clusters import cluster
from tests.e2e.houses import House, Stage, heard, house
from tests.e2e.test_survival import until_kept

#: A fraction that says: this sound is there.
THERE = 0.6

FIRST = sounds.chirp(2)
SECOND = sounds.chirp(2, low=3400, high=400)
#: LiveKit is asked at least three times within it.
PAUSE = sounds.silence(7)
BREATH = sounds.silence(0.5)
#: How long a condition may take to come true. Long, because the machine may be busy. Seconds.
PATIENCE = 60.0
#: LiveKit has written its entry of a room for the last time, if nothing changes. Seconds.
WRITTEN = sounds.silence(6)


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    """A Redis that may lose all that it has."""
    async with Redis() as server:
        yield server


@pytest.fixture
async def home(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, engine: str, redis: Redis
) -> AsyncIterator[House]:
    """A house whose LiveKit has that Redis."""
    recordings = tmp_path / "recordings"
    async with house(mongod_server, mongo_database, recordings, engine=engine, redis=redis) as made:
        yield made


async def lists(livekit: LiveKit, room_name: str) -> list[str]:
    """Whom LiveKit lists in a room; nobody where it does not list the room."""
    rooms = LiveKitRooms(livekit.http_url, livekit.api_key, livekit.api_secret)
    try:
        open_rooms = {room.name for room in await rooms.rooms()}
        people = await rooms.participants(room_name) if room_name in open_rooms else ()
        return [person.identity for person in people]
    finally:
        await rooms.aclose()


async def contradicted(home: House) -> Facts:
    """What /health says of lists that a live capture contradicts."""
    counted: Facts = (await home.manager.ask("/health")).json()["room_lists"]
    return counted


async def line_of(home: House, recording: Facts) -> Facts:
    """What the ledger says of its call."""
    now, day = datetime.now(UTC), timedelta(days=1)
    period = {"since": (now - day).isoformat(), "until": (now + day).isoformat()}
    report = (await home.manager.ask("/reports/capture", **period)).raise_for_status().json()
    (line,) = (line for line in report["lines"] if line["recording_id"] == recording["id"])
    return dict(line)


async def is_whole(home: House, recording: Facts) -> bool:
    """Whether both words are there, and the recording is as long as its call.

    Where on a busy machine a word lies is judged in the benchmark `place`.
    """
    mix, line = heard(recording), await line_of(home, recording)
    are_there = min(sounds.locate(mix.left, word).score for word in (FIRST, SECOND)) > THERE
    return are_there and line["reason"] not in ("shorter_than_call", "longer_than_call")


@pytest.mark.several_too
async def test_a_call_goes_on_while_livekit_lists_no_room(
    home: House, redis: Redis, room_name: str
) -> None:
    """Everything is flushed: nothing is cut, whoever records, in one process or in several."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        Phone(home.livekit, room_name, number="+15551000") as phone,
    ):
        await phone.answered()
        await home.hears(phone)
        await phone.say(FIRST)
        await phone.say(WRITTEN)
        await redis.tell("FLUSHALL")
        await phone.say(PAUSE)
        listed = await lists(home.livekit, room_name)
        await phone.say(SECOND)
        await phone.hang_up()
    recording = await home.finished(phone)

    assert listed == []
    assert await is_whole(home, recording), recording


@pytest.mark.builtin_only("whose list it is makes no difference to who records")
class TestOurRecorder:
    """What a live capture sees."""

    @pytest.mark.parametrize(
        "lost",
        [lambda room: ("DEL", "rooms"), lambda room: ("DEL", f"room_participants:{room}")],
        ids=["rooms", "participants"],
    )
    async def test_a_list_that_lacks_somebody_is_counted(
        self, home: House, redis: Redis, room_name: str, lost: Callable[[str], tuple[str, ...]]
    ) -> None:
        """The list of rooms alone is lost, or that of the room's participants."""
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15551001") as phone,
        ):
            await phone.answered()
            await home.hears(phone)
            await phone.say(FIRST)
            await phone.say(WRITTEN)
            # LiveKit may write the list again before anybody asks for it.
            async with asyncio.timeout(PATIENCE):
                while not (counted := await contradicted(home))["contradicted"]:
                    await redis.tell(*lost(room_name))
                    await phone.say(BREATH)
            await phone.say(SECOND)
            await phone.hang_up()
        recording = await home.finished(phone)

        assert await is_whole(home, recording), recording
        assert counted["last_contradicted_at"] is not None
        assert "room_list_contradicted" in home.manager.log.read_text()

    async def test_a_manager_that_is_started_again_finds_a_caller_on_no_list(
        self, home: House, redis: Redis, room_name: str
    ) -> None:
        """kill -9 while LiveKit lists no room: the next start goes to the caller all the same."""
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15551002") as phone,
        ):
            await phone.answered()
            await home.hears(phone)
            one = await phone.say(FIRST)
            await phone.say(WRITTEN)
            await asyncio.to_thread(until_kept, home.manager.recordings, one.ended_at)
            await home.manager.kill()
            await redis.tell("FLUSHALL")
            await home.manager.start()
            await home.manager.recording(
                "recording", caller_number=phone.number, which=lambda r: len(r["captures"]) > 1
            )
            await phone.say(SECOND)
            await phone.hang_up()
        recording = await home.finished(phone)

        assert await is_whole(home, recording), recording
        assert "recorder down" in {hole["cause"] for hole in recording["holes"]}

    async def test_a_caller_who_vanishes_has_left_though_no_list_says_so(
        self, home: House, redis: Redis, room_name: str
    ) -> None:
        """Power failure at the caller's side: LiveKit tells the recorder that it is gone."""
        caller = Part(
            room=room_name, number="+15551003", lines=(Line(sound="speech:60:1"),), leaves_at=90
        )
        async with (
            Agent(home.livekit, room_name, identity="agent") as agent,
            Stage(home.livekit, [caller]) as stage,
        ):
            await agent.say(sounds.silence(0.5))
            await home.manager.recording("recording", caller_number="+15551003")
            await agent.say(WRITTEN)
            await redis.tell("FLUSHALL")
            await agent.say(PAUSE)
            await stage.kill()
            recording = await home.finished(caller_number="+15551003", room_name=room_name)

        (call,) = await home.manager.calls(room_name=room_name)
        assert recording["status"] == "completed"
        assert call["left_at"] is not None


@pytest.mark.builtin_only("recorders capture")
async def test_processes_on_other_hosts_do_not_end_what_one_of_them_sees(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, redis: Redis, room_name: str
) -> None:
    """Two hosts with a recorder each, and jobs: all of them ask LiveKit, one sees the caller."""
    hosts = [tmp_path / "one", tmp_path / "two"]
    async with cluster(mongod_server, mongo_database, hosts, lists=redis) as made:
        async with (
            Agent(made.home.livekit, room_name, identity="agent"),
            Phone(made.home.livekit, room_name, number="+15551004") as phone,
        ):
            await phone.answered()
            await made.home.hears(phone)
            await phone.say(FIRST)
            await phone.say(WRITTEN)
            await redis.tell("FLUSHALL")
            await phone.say(PAUSE)
            await phone.say(SECOND)
            await phone.hang_up()
        recording = await made.home.finished(phone)

        assert await is_whole(made.home, recording), recording


@pytest.mark.builtin_only("a door of ours")
class TestCarries:
    """The question that does not read LiveKit's lists."""

    async def test_who_is_there_is_known_without_a_list(self, redis: Redis, room_name: str) -> None:
        """And who has left is not there, nor is anybody of a room that never was."""
        async with LiveKit(redis=redis) as livekit:
            rooms = LiveKitRooms(livekit.http_url, livekit.api_key, livekit.api_secret)
            async with Agent(livekit, room_name, identity="agent") as agent:
                await redis.tell("FLUSHALL")
                there = await rooms.carries(room_name, "agent")
                another = await rooms.carries(room_name, "nobody")
                await agent.leave()
                left = await rooms.carries(room_name, "agent")
            nowhere = await rooms.carries(f"not-{room_name}", "agent")
            await rooms.aclose()

        assert (there, another, left, nowhere) == (True, False, False, False)

    async def test_a_server_without_redis_answers_it_too(
        self, livekit_server: LiveKit, room_name: str
    ) -> None:
        """Nothing about the participant changes by it."""
        key = (livekit_server.http_url, livekit_server.api_key, livekit_server.api_secret)
        rooms = LiveKitRooms(*key)
        async with Agent(livekit_server, room_name, identity="agent"):
            before = await rooms.participants(room_name)
            there = await rooms.carries(room_name, "agent")
            after = await rooms.participants(room_name)
        await rooms.aclose()

        assert there
        assert before == after

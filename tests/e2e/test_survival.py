"""Whatever breaks during a call: what was on disk is finished, and says what is missing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab import sounds
from lab.disk import NoDisk, disk, fill
from lab.manager import Manager
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.houses import House, heard, house

pytestmark = pytest.mark.builtin_only(
    "captures break; what LiveKit Egress survives is in test_livekit_egress.py"
)

#: A fraction that says: this sound is there.
THERE = 0.6


@pytest.fixture
async def talking(home: House, room_name: str) -> AsyncIterator[tuple[House, Phone, Agent]]:
    """A call that is being captured."""
    async with (
        Agent(home.livekit, room_name, identity="agent") as agent,
        Phone(home.livekit, room_name, number="+15550300") as phone,
    ):
        await phone.answered()
        await home.capturing(phone)
        yield home, phone, agent


async def test_a_manager_that_is_killed_and_started_again_goes_on_with_the_call(
    talking: tuple[House, Phone, Agent],
) -> None:
    """kill -9: before and after are in one recording, between them a hole that says why."""
    home, phone, _ = talking
    before = await phone.say(sounds.chirp(2))
    await asyncio.to_thread(until_kept, home.manager.recordings, before.ended_at)
    await home.manager.kill()
    await home.manager.start()
    await _captured_again(home, phone)
    after = await phone.say(sounds.chirp(2, low=3400, high=400))
    await phone.hang_up()
    recording = await home.finished(phone)
    mix = heard(recording)

    one = sounds.locate(mix.left, sounds.chirp(2))
    two = sounds.locate(mix.left, sounds.chirp(2, low=3400, high=400))
    assert min(one.score, two.score) > THERE
    assert two.at - one.at == pytest.approx(after.started_at - before.started_at, abs=0.25)
    causes = {hole["cause"] for hole in recording["holes"]}
    assert "recorder down" in causes, recording["holes"]


async def test_a_call_that_ended_while_the_manager_was_dead_is_finished_at_the_next_start(
    talking: tuple[House, Phone, Agent],
) -> None:
    """What was on disk becomes a finished recording."""
    home, phone, agent = talking
    words = await phone.say(sounds.chirp(2))
    await asyncio.to_thread(until_kept, home.manager.recordings, words.ended_at)
    await home.manager.kill()
    await phone.hang_up()
    await agent.leave()
    await home.manager.start()
    recording = await home.finished(phone)

    assert sounds.locate(heard(recording).left, sounds.chirp(2)).score > THERE


async def test_a_manager_that_is_asked_to_end_finishes_what_it_can(
    talking: tuple[House, Phone, Agent],
) -> None:
    """SIGTERM in the middle of a call: the journal ends in good order, the next start goes on."""
    home, phone, _ = talking
    await phone.say(sounds.chirp(2))
    await home.manager.stop(timeout=20)
    (journal,) = home.manager.recordings.glob(".captures/*/journal.jsonl")
    assert journal.read_text().splitlines()[-1].startswith('{"is":"ended"')

    await home.manager.start()
    await _captured_again(home, phone)
    await phone.say(sounds.chirp(2, low=3400, high=400))
    await phone.hang_up()
    mix = heard(await home.finished(phone))

    assert sounds.locate(mix.left, sounds.chirp(2)).score > THERE
    assert sounds.locate(mix.left, sounds.chirp(2, low=3400, high=400)).score > THERE


async def test_a_call_goes_on_where_livekit_restarted_in_the_middle_of_it(
    talking: tuple[House, Phone, Agent],
) -> None:
    """The room is another one, the caller's call the same: one recording of before and after."""
    home, phone, _ = talking
    before = await phone.say(sounds.chirp(2))
    await asyncio.to_thread(until_kept, home.manager.recordings, before.ended_at)
    await home.livekit.kill()
    await home.livekit.start()
    await _captured_again(home, phone)
    await phone.say(sounds.chirp(2, low=3400, high=400))
    await phone.hang_up()
    mix = heard(await home.finished(phone))

    assert sounds.locate(mix.left, sounds.chirp(2)).score > THERE
    assert sounds.locate(mix.left, sounds.chirp(2, low=3400, high=400)).score > THERE


async def test_a_call_that_livekit_lost_is_finished(talking: tuple[House, Phone, Agent]) -> None:
    """The server is killed, the caller does not come back: what was said before is in the file."""
    home, phone, agent = talking
    words = await phone.say(sounds.chirp(2))
    await asyncio.to_thread(until_kept, home.manager.recordings, words.ended_at)
    await home.livekit.kill()
    await phone.leave()
    await agent.leave()
    await home.livekit.start()
    recording = await home.finished(phone)

    assert sounds.locate(heard(recording).left, sounds.chirp(2)).score > THERE


async def test_mongodb_away_from_before_a_call_until_after_it_loses_nothing(
    mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """The capture goes on without the store; when it is back, the recording appears."""
    async with (
        Mongod() as mongod,
        house(mongod, mongo_database, tmp_path / "recordings") as home,
    ):
        await mongod.kill()
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550301") as phone,
        ):
            await asyncio.to_thread(_until_capturing, home.manager.recordings)
            await phone.say(sounds.chirp(2))
            await phone.hang_up()
        await mongod.start()
        recording = await home.manager.recording(
            "completed", caller_number=phone.number, timeout=60
        )

        assert sounds.locate(heard(recording).left, sounds.chirp(2)).score > THERE


async def test_edge_case_3_a_disk_that_fills_up_during_a_call_keeps_what_it_has(
    mongod_server: Mongod, mongo_database: str, room_name: str
) -> None:
    """Health says so; when there is room again, the recording is finished."""
    try:
        with disk(megabytes=24) as directory:
            await _fill_up_during_a_call(mongod_server, mongo_database, room_name, directory)
    except NoDisk as no:
        pytest.skip(str(no))


async def _fill_up_during_a_call(
    mongod: Mongod, database: str, room_name: str, directory: Path
) -> None:
    async with house(mongod, database, directory) as home:
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550302") as phone,
        ):
            await phone.answered()
            await home.capturing(phone)
            words = await phone.say(sounds.chirp(2))
            await asyncio.to_thread(until_kept, directory, words.ended_at)
            ballast = fill(directory)
            await _until_ill(home.manager, "storage")
            ballast.unlink()
            await phone.say(sounds.chirp(2, low=3400, high=400))
            await phone.hang_up()
        recording = await home.manager.recording(
            "completed", caller_number=phone.number, timeout=60
        )
        mix = heard(recording)

    assert sounds.locate(mix.left, sounds.chirp(2)).score > THERE
    assert sounds.locate(mix.left, sounds.chirp(2, low=3400, high=400)).score > THERE


async def test_edge_case_3_a_directory_that_cannot_be_written_is_said_so_and_healed(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """A file stands where captures belong; calls are kept once it is gone."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    obstacle = recordings / ".captures"
    obstacle.write_text("in the way")
    async with house(mongod_server, mongo_database, recordings) as home:
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550303") as phone,
        ):
            await phone.answered()
            await phone.say(sounds.chirp(2))
            await _until_ill(home.manager, "recorder")
            obstacle.unlink()
            await phone.say(sounds.chirp(2, low=3400, high=400))
            await phone.hang_up()
        recording = await home.manager.recording(
            "completed", caller_number=phone.number, timeout=60
        )

    assert sounds.locate(heard(recording).left, sounds.chirp(2)).score > THERE


async def _captured_again(home: House, phone: Phone) -> None:
    """Wait until the call is in a second capture."""
    await home.manager.recording(
        "recording", caller_number=phone.number, which=lambda r: len(r["captures"]) > 1
    )


async def _until_ill(manager: Manager, part: str) -> None:
    async with asyncio.timeout(30):
        while (await manager.ask("/health")).json()["parts"][part]["ok"]:
            await asyncio.sleep(0.05)


def until_kept(recordings: Path, moment: float) -> None:
    """Wait until a journal tells of a page that came after `moment`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for journal in recordings.glob(".captures/*/journal.jsonl"):
            for line in journal.read_text().splitlines():
                entry = json.loads(line) if line.endswith("}") else {}
                if entry.get("is") == "page" and entry["arrived"] > moment:
                    return
        time.sleep(0.05)
    raise AssertionError("nothing was kept")


def _until_capturing(recordings: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(recordings.glob(".captures/*/stretch-*.ogg")):
            return
        time.sleep(0.05)
    raise AssertionError("no capture began")

"""Sound calls are verified, and what is missing is told as long as it was, on real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lab import sounds
from lab.manager import Facts
from lab.phones import Agent, Phone, SipParticipant
from lab.servers import Mongod
from tests.e2e.houses import House, heard, house, house_of_a_fixed_room, is_heard
from tests.e2e.test_survival import until_kept

pytestmark = pytest.mark.builtin_only("what LiveKit Egress lost is in its files")

FIXED = "friday-assistant-room"
#: Longer than LiveKit takes from one sender report to the next. Seconds.
REPORTS = 4.0
#: Packets are as long, and decoders blur the edges of what they decode. Seconds.
NEAR = 0.05


@pytest.fixture
async def standing(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> AsyncIterator[House]:
    """A house whose recorder stands in a fixed room, in which an agent waits."""
    async with (
        house_of_a_fixed_room(mongod_server, mongo_database, tmp_path, FIXED) as home,
        Agent(home.livekit, FIXED, identity="agent") as agent,
    ):
        await home.recorder_is_in(FIXED)
        await agent.say(sounds.silence(REPORTS))
        yield home


async def test_calls_are_verified_where_a_recorder_stands(standing: House) -> None:
    """The server counts what it sent since the agent came, and not since the caller did."""
    numbers = ("+15550601", "+15550602")
    for number in numbers:
        async with Phone(standing.livekit, FIXED, number=number) as phone:
            await phone.answered()
            await phone.say(sounds.speech(2 * REPORTS, seed=1))
            await phone.hang_up()
        await asyncio.sleep(1.5)
    for number in numbers:
        recording = await standing.finished(caller_number=number)
        assert recording["verdict"] == "verified", recording["findings"]


async def test_recordings_of_one_stay_are_each_verified(standing: House) -> None:
    """Stopped and started by hand: each is judged by what was sent in its own time."""
    async with Phone(standing.livekit, FIXED, number="+15550603") as phone:
        await phone.answered()
        first = await standing.capturing(phone)
        await phone.say(sounds.speech(REPORTS + 2, seed=1))
        await standing.manager.tell(f"/recordings/{first['id']}/stop")
        await phone.say(sounds.speech(1, seed=2))
        wanted = {"room_name": FIXED, "identity": phone.identity}
        second = (await standing.manager.tell("/recordings", wanted)).json()
        await phone.say(sounds.speech(REPORTS + 2, seed=3))
        await standing.manager.tell(f"/recordings/{second['id']}/stop")
        await phone.hang_up()

    assert first["id"] != second["id"]
    for each in (first, second):
        recording = await _judged(standing, each)
        assert recording["verdict"] == "verified", recording["findings"]


async def test_forty_mutes_are_verified(home: House, room_name: str) -> None:
    """At each mute the server adds silence, some of it where something has been said."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        SipParticipant(home.livekit, room_name, number="+15550604") as phone,
    ):
        await home.hears(phone)
        for n in range(40):
            await phone.say(sounds.speech(0.3, seed=n % 5))
            phone.mute()
            await asyncio.sleep(0.2)
            phone.unmute()
        await phone.say(sounds.speech(REPORTS, seed=1))
        await phone.hang_up()
    recording = await home.finished(phone)

    assert recording["verdict"] == "verified", recording["findings"]


async def test_what_is_missing_at_the_head_is_one_hole(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """The recorder comes with the caller; the agent has been speaking for a while."""
    async with house(mongod_server, mongo_database, tmp_path) as home:
        async with (
            Agent(home.livekit, FIXED, identity="agent") as agent,
            _goes_on(agent, 30.0),
            Phone(home.livekit, FIXED, number="+15550605") as phone,
        ):
            await phone.answered()
            await home.capturing(phone)
            await phone.say(sounds.silence(3))
            await phone.hang_up()
        recording = await home.finished(phone)
    start, end = _silences(heard(recording).right)[0]
    missing = end if start == 0 else 0.0
    (track,) = (t for t in recording["tracks"] if t["participant_identity"] == "agent")
    head = [hole for hole in track["holes"] if hole["start_sec"] == 0]

    assert sum(map(_seconds, head)) == pytest.approx(missing, abs=NEAR)
    assert [hole["cause"] for hole in head] == ["joining"] * len(head)


async def test_what_is_missing_around_a_kill_is_one_hole(home: House, room_name: str) -> None:
    """kill -9 while the caller speaks: what was not written yet is missing because of that."""
    async with (
        Agent(home.livekit, room_name, identity="agent"),
        SipParticipant(home.livekit, room_name, number="+15550606") as phone,
    ):
        await phone.answered()
        await home.capturing(phone)
        async with _goes_on(phone, 60.0):
            await asyncio.sleep(REPORTS)
            await home.manager.kill()
            await home.manager.start()
            again = await home.manager.recording(
                "recording", caller_number=phone.number, which=lambda r: len(r["captures"]) > 1
            )
            began = max(again["captures"])
            await asyncio.to_thread(until_kept, home.manager.recordings, _moment(began) + 2)
        await phone.hang_up()
    recording = await home.finished(phone)
    start, end = max(_silences(heard(recording).left), key=lambda span: span[1] - span[0])
    (track,) = (t for t in recording["tracks"] if t["participant_identity"] == phone.identity)
    (hole,) = (hole for hole in track["holes"] if hole["cause"] == "recorder down")

    assert hole["start_sec"] == pytest.approx(start, abs=NEAR)
    assert hole["end_sec"] == pytest.approx(end, abs=NEAR)
    pauses = [hole for hole in track["holes"] if hole["cause"] == "pause"]
    assert not [hole for hole in pauses if start - 1 < hole["start_sec"] < end + 1]


@asynccontextmanager
async def _goes_on(who: Agent | SipParticipant, seconds: float) -> AsyncIterator[None]:
    """Somebody says one tone meanwhile, without a pause, for so long at most."""
    saying = asyncio.create_task(who.say(sounds.tone(seconds, 500)))
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)


async def _judged(home: House, recording: Facts) -> Facts:
    """That recording, completed and listened to."""
    return await home.manager.recording(
        "completed", which=lambda facts: facts["id"] == recording["id"] and is_heard(facts)
    )


def _silences(side: NDArray[np.int16]) -> list[tuple[float, float]]:
    """From when to when nothing is heard, in seconds; shorter than 30 ms is a wave's own."""
    loud = np.flatnonzero(np.abs(side.astype(np.int32)) > 300)
    edges = [-1, *loud.tolist(), len(side)]
    return [
        ((first + 1) / sounds.RATE, last / sounds.RATE)
        for first, last in pairwise(edges)
        if last - first > 0.03 * sounds.RATE
    ]


def _seconds(hole: Facts) -> float:
    return float(hole["end_sec"] - hole["start_sec"])


def _moment(capture_id: str) -> float:
    """When a capture began, by its id."""
    return int(capture_id.removeprefix("cap_")[:12], 16) / 1000

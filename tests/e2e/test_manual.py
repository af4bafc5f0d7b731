"""Recordings by hand on a real livekit-server: what is asked for is in the file, and no more."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from egress_manager.adapters.livekit_rooms import LiveKitRooms
from lab import sounds
from lab.manager import Facts
from lab.phones import Agent, Browser, Participant, Phone
from lab.servers import LiveKit, Mongod
from tests.e2e.houses import House, heard, house, is_heard
from tests.e2e.listening import sides
from tests.e2e.test_survival import until_kept

#: A fraction that says: this sound is there; and one that says: it is not.
THERE, NOWHERE = 0.6, 0.3

ONE, TWO = sounds.chirp(1.5), sounds.chirp(1.5, low=3400, high=400)
#: What is on its way when somebody has spoken: the SDK's queue, the network, a page.
BREATH = sounds.silence(1.0)


@pytest.fixture
async def home(mongod_server: Mongod, mongo_database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A house in which nothing is recorded by itself."""
    wanted = {"EGRESS_MANAGER_RECORD": "none"}
    recordings = tmp_path / "recordings"
    async with house(mongod_server, mongo_database, recordings, settings=wanted) as home:
        yield home


async def start(home: House, room: str, status: int = 201, key: str = "", **wanted: Any) -> Facts:
    """Have it recorded, and wait until it is."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await home.manager.tell("/recordings", {"room_name": room, **wanted}, **headers)
    assert answer.status_code == status, answer.text
    begun: Facts = answer.json()
    return await reached(home, begun["id"], "recording")


async def stop(home: House, recording: Facts) -> Facts:
    """Stop it, and wait for the file."""
    answer = await home.manager.tell(f"/recordings/{recording['id']}/stop")
    assert answer.status_code == 200, answer.text
    return await reached(home, recording["id"], "completed")


async def reached(home: House, recording_id: str, status: str) -> Facts:
    """Wait until that recording has come so far; one with a file, until it was listened to."""

    def is_there(recording: Facts) -> bool:
        return recording["id"] == recording_id and (status != "completed" or is_heard(recording))

    return await home.manager.recording(status, which=is_there)


async def speak(who: Participant, sound: sounds.PCM) -> None:
    """Say something, with a breath before and after."""
    await who.say(BREATH)
    await who.say(sound)
    await who.say(BREATH)


async def until_left(livekit: LiveKit, room: str) -> None:
    """Wait until no recorder is in a room that others are in."""
    rooms = LiveKitRooms(livekit.http_url, livekit.api_key, livekit.api_secret)
    async with contextlib.aclosing(rooms), asyncio.timeout(30):
        while True:
            people = await rooms.participants(room)
            assert people
            if not any(person.is_recorder for person in people):
                return
            await asyncio.sleep(0.1)


def score(recording: Facts, sound: sounds.PCM, side: str = "left") -> float:
    """How sure it is that a sound is on that side of a recording."""
    return float(sounds.locate(getattr(heard(recording), side), sound).score)


async def test_a_room_of_browsers_is_recorded_from_the_start_to_the_stop(
    home: House, room_name: str
) -> None:
    """No caller, no call: the recorder comes for it, stays, and leaves; the room goes on."""
    async with (
        Browser(home.livekit, room_name, identity="seccotine") as one,
        Browser(home.livekit, room_name, identity="fantasio") as two,
    ):
        begun = await start(home, room_name)
        await speak(one, ONE)
        await speak(two, TWO)
        recording = await stop(home, begun)
        await until_left(home.livekit, room_name)

    assert (recording["source"], recording["call_id"]) == ("manual", None)
    both = ["seccotine", "fantasio"]
    assert sides(recording) == {"left": both, "right": both}
    for side in ("left", "right"):
        assert min(score(recording, ONE, side), score(recording, TWO, side)) > THERE
    identities = [track["participant_identity"] for track in recording["tracks"]]
    assert sorted(identities) == ["fantasio", "seccotine"]
    assert heard(recording).decoded_sec == pytest.approx(recording["duration_sec"], abs=0.05)
    assert not await home.manager.calls()


async def test_one_participant_is_recorded_against_the_others_until_it_leaves(
    home: House, room_name: str
) -> None:
    """Left whoever was named; the room's end is not waited for, nor is a stop."""
    async with Browser(home.livekit, room_name, identity="seccotine") as other:
        async with Browser(home.livekit, room_name, identity="fantasio") as named:
            begun = await start(home, room_name, identity="fantasio")
            await speak(named, ONE)
            await speak(other, TWO)
        recording = await reached(home, begun["id"], "completed")
        await until_left(home.livekit, room_name)

    assert sides(recording) == {"left": ["fantasio"], "right": ["seccotine"]}
    assert score(recording, ONE) > THERE
    assert score(recording, TWO, "right") > THERE
    assert score(recording, TWO) < NOWHERE


async def test_a_call_that_the_policy_left_out_is_recorded_from_the_start_on(
    home: House, room_name: str
) -> None:
    """What was said before is not in the file; the recording ends with the call."""
    async with (
        Agent(home.livekit, room_name, identity="agent") as agent,
        Phone(home.livekit, room_name, number="+15550400") as phone,
    ):
        await phone.answered()
        await speak(phone, ONE)
        begun = await start(home, room_name)
        await speak(phone, TWO)
        await speak(agent, ONE)
        await phone.hang_up()
    recording = await home.finished(phone)
    call = await home.call_of(phone)

    assert (recording["id"], recording["source"]) == (begun["id"], "manual")
    assert (call["recording_id"], call["reason"]) == (begun["id"], "")
    assert sides(recording) == {"left": [phone.identity], "right": ["agent"]}
    assert score(recording, TWO) > THERE
    assert score(recording, ONE, "right") > THERE
    assert score(recording, ONE) < NOWHERE


async def test_a_recording_that_is_stopped_ends_and_its_call_goes_on(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str
) -> None:
    """Of a call that the policy records: nothing that follows is kept, or begins it again."""
    async with house(mongod_server, mongo_database, tmp_path) as home:
        async with (
            Agent(home.livekit, room_name, identity="agent"),
            Phone(home.livekit, room_name, number="+15550401") as phone,
        ):
            await phone.answered()
            begun = await home.capturing(phone)
            await speak(phone, ONE)
            stopped = await stop(home, begun)
            await until_left(home.livekit, room_name)
            await speak(phone, TWO)
            goes_on = await home.call_of(phone)
            await phone.hang_up()
        await _until_over(home, phone)
        (recording,) = await home.manager.recordings_of()

    assert goes_on["left_at"] is None
    same = ("id", "status", "history", "captures", "stopped_at", "duration_sec")
    assert [recording[name] for name in same] == [stopped[name] for name in same]
    assert recording["history"][2]["reason"] == "stopped"
    assert score(recording, ONE) > THERE
    assert score(recording, TWO) < NOWHERE
    assert len(_journals(tmp_path)) == 1


@pytest.mark.parametrize("is_call", [True, False], ids=["call", "room"])
async def test_stopped_and_started_again_at_once_the_recorder_is_still_there(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, room_name: str, is_call: bool
) -> None:
    """Each recording has what was said between its start and its stop, and nobody joins anew."""
    someone = (
        (lambda livekit: Phone(livekit, room_name, number="+15550402"))
        if is_call
        else (lambda livekit: Browser(livekit, room_name, identity="seccotine"))
    )
    wanted = {"EGRESS_MANAGER_RECORD": "none"}
    async with house(mongod_server, mongo_database, tmp_path, settings=wanted) as home:
        async with Agent(home.livekit, room_name, identity="agent"), someone(home.livekit) as who:
            begun = [await start(home, room_name)]
            await speak(who, ONE)
            await told(home, f"/recordings/{begun[-1]['id']}/stop")
            await asyncio.to_thread(_until_captures_ended, tmp_path)
            begun.append(await told(home, "/recordings", {"room_name": room_name}))
            await speak(who, TWO)
            await told(home, f"/recordings/{begun[-1]['id']}/stop")
            begun.append(await told(home, "/recordings", {"room_name": room_name}))
            await speak(who, ONE)
            await told(home, f"/recordings/{begun[-1]['id']}/stop")
        done = [await reached(home, each["id"], "completed") for each in begun]

    assert len({each["id"] for each in done}) == 3
    left = "left"
    scores = [(score(each, ONE, left), score(each, TWO, left)) for each in done]
    assert [(one > THERE, two > THERE) for one, two in scores] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert len(_connections(tmp_path)) == 1
    faults = {finding["name"] for each in done for finding in each["findings"]}
    assert not faults & {"hole", "not_kept", "late_start", "cut_start"}


async def test_a_recording_that_is_stopped_the_moment_it_began_is_over_with_a_reason(
    home: House, room_name: str
) -> None:
    """Again and again: none of them stays, none waits for a verdict that nobody will give."""
    async with Browser(home.livekit, room_name, identity="seccotine"):
        for _ in range(5):
            begun = await told(home, "/recordings", {"room_name": room_name})
            await told(home, f"/recordings/{begun['id']}/stop")
        async with asyncio.timeout(60):
            while not all(map(_is_done, await home.manager.recordings_of())):
                await asyncio.sleep(0.1)
    recordings = await home.manager.recordings_of()

    assert len(recordings) == 5
    for recording in recordings:
        has_file = recording["status"] == "completed"
        assert has_file or (recording["reason"], recording["verdict"]) != ("", "pending")
        assert has_file is (recording["verdict"] != "none")


async def told(home: House, path: str, body: Facts | None = None) -> Facts:
    """Have the API do something; what it says."""
    answer = await home.manager.tell(path, body)
    assert answer.is_success, answer.text
    said: Facts = answer.json()
    return said


def _is_done(recording: Facts) -> bool:
    return recording["status"] in ("aborted", "failed") or is_heard(recording)


def _entries(recordings: Path) -> list[Facts]:
    """What all journals say, whole lines only."""
    lines = [line for path in _journals(recordings) for line in path.read_text().splitlines(True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _connections(recordings: Path) -> set[str]:
    """The recorder's connections to rooms, by identity."""
    return {each["identity"] for each in _entries(recordings) if each["is"] == "connection"}


def _until_captures_ended(recordings: Path, timeout: float = 30.0) -> None:
    """Wait until no capture goes on."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        kinds = [each["is"] for each in _entries(recordings)]
        if kinds.count("ended") == len(_journals(recordings)):
            return
        time.sleep(0.02)
    raise AssertionError("a capture goes on")


async def test_started_many_times_at_once_it_is_recorded_once(home: House, room_name: str) -> None:
    """With a key and without; and a key means its recording also after the stop."""
    async with Browser(home.livekit, room_name, identity="seccotine") as one:
        for headers in ({}, {"Idempotency-Key": "houba"}):
            asked = [
                home.manager.tell("/recordings", {"room_name": room_name}, **headers)
                for _ in range(5)
            ]
            answers = await asyncio.gather(*asked)
            begun = answers[0].json()
            assert sorted(a.status_code for a in answers) == [200] * 4 + [201]
            assert {a.json()["id"] for a in answers} == {begun["id"]}
            await reached(home, begun["id"], "recording")
            await one.say(BREATH)
            await stop(home, begun)
        again = await home.manager.tell("/recordings", {"room_name": room_name}, **headers)

    assert (again.status_code, again.json()["id"]) == (200, begun["id"])
    assert len(await home.manager.recordings_of()) == 2


async def test_a_manager_that_is_killed_and_started_again_goes_on_with_it(
    home: House, room_name: str
) -> None:
    """kill -9: before and after are in one recording, between them a hole that says why."""
    async with Browser(home.livekit, room_name, identity="seccotine") as one:
        begun = await start(home, room_name)
        await speak(one, ONE)
        utterance = await one.say(BREATH)
        await asyncio.to_thread(until_kept, home.manager.recordings, utterance.started_at)
        await home.manager.kill()
        await home.manager.start()
        await home.manager.recording("recording", which=lambda r: len(r["captures"]) > 1)
        await speak(one, TWO)
        recording = await stop(home, begun)

    assert min(score(recording, ONE), score(recording, TWO)) > THERE
    causes = {hole["cause"] for hole in recording["holes"]}
    assert "recorder down" in causes, recording["holes"]


async def test_it_ends_with_its_room(home: House, room_name: str) -> None:
    """Nobody stops it; its room is closed when the last one has left."""
    async with Browser(home.livekit, room_name, identity="seccotine") as one:
        begun = await start(home, room_name)
        await speak(one, ONE)
    recording = await reached(home, begun["id"], "completed")

    assert score(recording, ONE) > THERE
    assert recording["duration_sec"] < 30


@pytest.mark.parametrize("identity", ["fantasio", None])
async def test_a_room_is_recorded_by_livekit_egress(
    mongod_server: Mongod,
    mongo_database: str,
    tmp_path: Path,
    room_name: str,
    identity: str | None,
) -> None:
    """One against the others, or everybody on both sides; until it is stopped."""
    wanted = {"EGRESS_MANAGER_RECORD": "none"}
    async with (
        house(mongod_server, mongo_database, tmp_path, engine="egress", settings=wanted) as home,
        Browser(home.livekit, room_name, identity="seccotine") as one,
        Browser(home.livekit, room_name, identity="fantasio") as two,
    ):
        begun = await start(home, room_name, identity=identity)
        await speak(two, ONE)
        await speak(one, TWO)
        recording = await stop(home, begun)

    both = ["fantasio", "seccotine"]
    left, right = (["fantasio"], ["seccotine"]) if identity else (both, both)
    assert (recording["engine"], recording["fell_back"]) == ("egress", "")
    assert sides(recording) == {"left": left, "right": right}
    assert score(recording, ONE) > THERE
    assert score(recording, TWO, "right") > THERE
    assert (score(recording, ONE, "right") > THERE) is (identity is None)
    assert {track["participant_identity"] for track in recording["tracks"]} == {
        "seccotine",
        "fantasio",
    }


def _journals(recordings: Path) -> list[Path]:
    return list(recordings.glob(".captures/*/journal.jsonl"))


async def _until_over(home: House, phone: Phone) -> None:
    async with asyncio.timeout(30):
        while (await home.call_of(phone))["left_at"] is None:
            await asyncio.sleep(0.05)

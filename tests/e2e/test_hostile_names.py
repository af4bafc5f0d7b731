"""Rooms and callers with the names of the naming tests: recorded, kept in place, found again."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import programs, sounds
from lab.manager import KEY, Facts
from lab.phones import Answer, Phone
from tests.e2e.houses import House
from tests.e2e.listening import listen

pytestmark = pytest.mark.builtin_only("names are made in one place, whoever records")

#: What livekit-server takes for a room and, with `sip_` before it, for an identity: 256 bytes.
NAMES = (
    *("..", "../../etc/passwd", "a/b\\c", ".hidden", "-rf", " ", "{track_id}", "line\nbreak"),
    *("nul\x00", "\x1b[2J", "\u202e+1555", "👩‍👩‍👧é" * 10, "x" * 250, "rec_0123456789abcdef0123"),
)
AT_ONCE = 3
#: A fraction that says: this sound is there, though phones that share a busy machine stutter.
THERE = 0.25


async def test_a_call_with_any_name_is_recorded_and_found_again(home: House) -> None:
    """The file lies in the directory; the API and the command line know the room by its name."""
    numbers = {name: f"+1555060{index:02}" for index, name in enumerate(NAMES)}
    for first in range(0, len(NAMES), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for name in NAMES[first : first + AT_ONCE]:
                group.create_task(_call(home, name, numbers[name]))
    recordings = {name: await _recording(home, name) for name in NAMES}

    for name, recording in recordings.items():
        assert recording["caller_number"] == numbers[name]
        assert recording["identity"] == f"sip_{name}"
        assert sounds.locate(_kept(home, recording["filepath"]), sounds.chirp(1)).score > THERE
        (track,) = recording["tracks"]
        assert sounds.locate(_kept(home, track["filepath"]), sounds.chirp(1)).score > THERE
    files = {recording["filepath"] for recording in recordings.values()}
    assert len({file.casefold() for file in files}) == len(NAMES)
    for name in ("..", "-rf", "\x1b[2J", "👩‍👩‍👧é" * 10):
        (row,) = await asyncio.to_thread(_listed, home, name)
        assert row["id"] == recordings[name]["id"]


async def _call(home: House, name: str, number: str) -> None:
    """Somebody of that name calls into a room of that name, and says something."""
    phone = Phone(home.livekit, name, number=number, identity=f"sip_{name}", answer=Answer.AT_ONCE)
    async with phone:
        await phone.answered()
        await home.capturing(phone)
        await phone.say(sounds.silence(0.5))
        await phone.say(sounds.chirp(1))
        await phone.hang_up()
    await home.finished(phone)


async def _recording(home: House, name: str) -> Facts:
    """What is found by the room's name."""
    (call,) = await home.manager.calls(room_name=name)
    (recording,) = await home.manager.recordings_of(room_name=name)
    assert recording["call_id"] == call["id"]
    assert recording["room_name"] == call["room_name"] == name
    return recording


def _kept(home: House, filepath: str) -> sounds.PCM:
    """The sound of a file that lies where files lie."""
    file, directory = Path(filepath), home.manager.recordings.resolve()
    assert file.resolve() == file
    assert file.is_relative_to(directory)
    return listen(filepath).left


def _listed(home: House, name: str) -> list[Facts]:
    """What the command line lists for the room."""
    command = [sys.executable, "-m", "recording.recording", "recordings", f"--room={name}"]
    service = ["--url", home.manager.url, "--api-key", KEY, "--json"]
    said = subprocess.run(
        command + service,
        env=os.environ | home.manager.environment(),
        cwd=programs.ROOT,
        capture_output=True,
        check=True,
    )
    return list(json.loads(said.stdout)["items"])

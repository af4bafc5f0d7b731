"""A publisher that sends what it likes, beside another call, on a real livekit-server."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from egress_manager.audio import ogg
from egress_manager.domain import quotas
from egress_manager.domain.captures import FOLDER, JOURNAL, Story
from egress_manager.recorder.journal import read_story
from lab import sounds
from lab.hostile import HostilePublisher
from lab.manager import Facts
from lab.rtp_publisher import RtpPublisher, encoded
from tests.e2e.houses import House, is_heard

pytestmark = pytest.mark.builtin_only("what LiveKit Egress does with such a publisher is its own")

HONEST, HOSTILE = "+15550801", "+15550802"
#: How long the attack lasts, and how many packets of sound it sends in a second.
ATTACK, RATE = 10.0, 400
#: How often a second it does the rest: a server whose answers it does not take throws it out.
OFTEN = 20.0
#: What comes at the beginning and at the end of a track makes a file each.
MORE_FILES = 4


def about(room_name: str, number: str) -> Mapping[str, str]:
    """What a SIP caller says of itself."""
    return {
        "sip.callID": f"SCL_{room_name}",
        "sip.callStatus": "active",
        "sip.phoneNumber": number,
        "sip.trunkPhoneNumber": "+15557650000",
    }


async def test_a_hostile_publisher_costs_another_call_nothing(home: House, room_name: str) -> None:
    """The other call is whole; of the hostile one a bounded part is kept, and the rest is named."""
    other_room = f"{room_name}-other"
    voice, breath = encoded(sounds.speech(ATTACK)), encoded(sounds.silence(0.5))
    async with (
        HostilePublisher(
            home.livekit,
            room_name,
            f"sip_{HOSTILE}",
            kind="sip",
            attributes=about(room_name, HOSTILE),
        ) as hostile,
        RtpPublisher(
            home.livekit,
            other_room,
            f"sip_{HONEST}",
            kind="sip",
            attributes=about(other_room, HONEST),
        ) as honest,
    ):
        await honest.track.play(breath)
        await hostile.track.play(breath)
        await home.recorder_is_in(room_name)
        await home.recorder_is_in(other_room)
        await honest.track.play(breath)
        async with asyncio.TaskGroup() as group:
            group.create_task(hostile.attack(seconds=ATTACK, rate=RATE, often=OFTEN))
            group.create_task(honest.track.play(voice))
        await honest.track.play(breath)
    whole = await home.finished(caller_number=HONEST)
    own = await home.manager.recording("completed", "failed", which=is_heard, caller_number=HOSTILE)

    assert (whole["verdict"], whole["holes"]) == ("verified", []), whole["findings"]
    (track,) = whole["tracks"]
    assert set(voice) <= packets_of(Path(track["filepath"]))
    capture, story = capture_of(home, room_name)
    leaps = quotas.LEAPS + ATTACK * quotas.LEAPS_A_SECOND
    assert len(list(capture.glob("stretch-*"))) <= leaps + MORE_FILES
    news = quotas.NEWS_BYTES + 2 * ATTACK * quotas.NEWS_BYTES_A_SECOND
    pages = sum(len(stretch.pages) for stretch in story.stretches.values())
    assert (capture / JOURNAL).stat().st_size < news + 2 * 70_000 + 500 * pages + 100_000
    assert pages < quotas.SHORT_PAGES + 2 * ATTACK * quotas.SHORT_PAGES_A_SECOND
    assert {"changes", "digits", "timestamps"} <= {entry.what for entry in story.left_out.values()}
    assert {"timestamps", "not_noted"} <= {found["name"] for found in own["findings"]}


async def test_what_only_says_that_it_is_encrypted_is_kept(home: House, room_name: str) -> None:
    """Nothing is made of it, since nobody can tell; but it lies in the capture, and plays."""
    voice = encoded(sounds.speech(3.0))
    async with HostilePublisher(
        home.livekit,
        room_name,
        f"sip_{HOSTILE}",
        kind="sip",
        attributes=about(room_name, HOSTILE),
        claims_encryption=True,
    ) as liar:
        await liar.track.play(encoded(sounds.silence(0.5)))
        await home.recorder_is_in(room_name)
        await liar.track.play(voice)
    recording: Facts = await home.manager.recording("failed", caller_number=HOSTILE)

    assert recording["reason"] == "encrypted"
    capture, story = capture_of(home, room_name)
    files = [capture / stretch.began.file for stretch in story.stretches.values()]
    assert set(voice) <= set().union(*map(packets_of, files))


def capture_of(home: House, room_name: str) -> tuple[Path, Story]:
    """The one capture of a room, and what its journal says."""
    found = [
        (directory, story)
        for directory in (home.manager.recordings / FOLDER).iterdir()
        if (story := read_story(directory)).began and story.began.room_name == room_name
    ]
    (only,) = found
    return only


def packets_of(path: Path) -> set[bytes]:
    """The packets of an Ogg Opus file."""
    return {p for page in ogg.read_pages(path.read_bytes()) for p in page.packets}

"""Publishers that send stereo, on a real livekit-server: all of it is heard in the mix."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from egress_manager.audio import ogg
from lab import sounds
from lab.rtp_publisher import RtpPublisher, RtpTrack, encoded
from tests.e2e.houses import Facts, House, heard
from tests.e2e.listening import listen

#: Enough for an encoder to keep two channels whatever is in them. Bit/s.
BITS = 96_000
CALLER, AGENT = sounds.speech(5.0, seed=3), sounds.speech(5.0, seed=5, pitch=210)
NOTHING = sounds.silence(5.0)


def pair(left: NDArray[np.int16], right: NDArray[np.int16]) -> list[bytes]:
    """Packets with two channels."""
    return encoded(np.stack([left, right], axis=1), bits=BITS, music=True)


@contextlib.asynccontextmanager
async def call(home: House, room_name: str) -> AsyncIterator[tuple[RtpTrack, RtpTrack]]:
    """The tracks of a caller and of an agent who are being recorded, and send in mono so far."""
    attributes = {
        "sip.callID": f"SCL_{room_name}",
        "sip.callStatus": "active",
        "sip.phoneNumber": "+15550140",
    }
    caller = RtpPublisher(
        home.livekit, room_name, "sip_+15550140", kind="sip", attributes=attributes, stereo=True
    )
    agent = RtpPublisher(home.livekit, room_name, "agent-1", kind="agent", stereo=True)
    async with caller, agent:
        breath = encoded(sounds.silence(0.5))
        there = asyncio.create_task(home.recorder_is_in(room_name))
        while not there.done():
            await together((caller.track, breath), (agent.track, breath))
        await there
        await together((caller.track, breath), (agent.track, breath))
        yield caller.track, agent.track
        await together((caller.track, breath), (agent.track, breath))


async def together(*parts: tuple[RtpTrack, list[bytes]]) -> None:
    """Send on several tracks at once."""
    async with asyncio.TaskGroup() as group:
        for track, packets in parts:
            group.create_task(track.play(packets))


def level(sound: NDArray[np.int16]) -> float:
    """How loud a sound is where it is loud: the level of its loudest three seconds, dBFS."""
    seconds = np.square(sound[: len(sound) // 4800 * 4800] / 32768).reshape(-1, 4800).mean(axis=1)
    return 10 * float(np.log10(np.convolve(seconds, np.ones(30) / 30, "valid").max() + 1e-12))


def channels(recording: Facts, identity: str) -> int:
    """How many channels the head of somebody's track file says it has."""
    found = next(t for t in recording["tracks"] if t["participant_identity"] == identity)
    return ogg.read_pages(Path(found["filepath"]).read_bytes())[0].packets[0][9]


@pytest.mark.builtin_only
async def test_opposite_phase_after_mono_is_heard_and_kept(home: House, room_name: str) -> None:
    """A microphone that is wired wrongly, and an encoder that begins with mono packets."""
    async with call(home, room_name) as (caller, agent):
        await together((caller, pair(CALLER, -CALLER)), (agent, encoded(NOTHING)))
        await together((caller, encoded(NOTHING)), (agent, encoded(AGENT)))
        await together((caller, pair(CALLER, -CALLER)), (agent, encoded(NOTHING)))
    recording = await home.finished(caller_number="+15550140")
    mix = heard(recording)

    assert recording["verdict"] == "verified", recording["findings"]
    assert level(mix.left) == pytest.approx(level(CALLER), abs=1.5)
    assert level(mix.right) == pytest.approx(level(AGENT), abs=1.5)
    assert channels(recording, "sip_+15550140") == 2
    assert channels(recording, "agent-1") == 1
    kept = next(t for t in recording["tracks"] if t["participant_identity"] == "sip_+15550140")
    for side in (listen(kept["filepath"]).left, listen(kept["filepath"]).right):
        assert level(side) == pytest.approx(level(CALLER), abs=1.5)


@pytest.mark.builtin_only
@pytest.mark.parametrize("kind", ["differ", "one only"])
async def test_ordinary_stereo_is_verified(home: House, room_name: str, kind: str) -> None:
    """Two voices, one on each channel; a headset on one channel."""
    right = {"differ": CALLER, "one only": AGENT * 0}[kind]
    sent = 10 * np.log10(np.mean(10 ** (np.array([level(AGENT), level(right)]) / 10)))
    async with call(home, room_name) as (caller, agent):
        await together((caller, encoded(NOTHING)), (agent, pair(AGENT, right)))
        await together((caller, encoded(CALLER)), (agent, pair(NOTHING, NOTHING)))
    recording = await home.finished(caller_number="+15550140")

    assert recording["verdict"] == "verified", recording["findings"]
    assert level(heard(recording).right) == pytest.approx(sent, abs=2.0)
    assert channels(recording, "agent-1") == 2

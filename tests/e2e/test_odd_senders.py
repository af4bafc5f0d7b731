"""Publishers whose timestamps do what no book says, on a real livekit-server.

Each word has to lie where its first packet came, in the mix and in the track's file.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import pytest

from lab import sounds
from lab.manager import Facts
from lab.rtp_publisher import RtpPublisher, RtpTrack, encoded
from lab.sounds import PCM, RATE
from tests.e2e.houses import House
from tests.e2e.listening import listen, moment

pytestmark = pytest.mark.builtin_only("LiveKit Egress places words by its own rules")

#: How far a word may lie from where it was said. Publisher and recorder share a busy machine; what
#: is looked for here is at least three times as far off. Seconds.
PLACE = 0.04
#: What is less alike than this is another sound.
ALIKE = 0.6
#: A silent beginning, so that the recorder is there before the first word. Seconds.
SETTLING = 1.5
WORD = 1.2


@dataclass(frozen=True, slots=True)
class Word:
    """What was said, and when its first packet left (seconds since 1970)."""

    pcm: PCM
    said_at: float


def word(number: int) -> PCM:
    """A word that is like no other."""
    return sounds.chirp(WORD, 400 + 150 * number, 1600 + 250 * number)


Script = Callable[[RtpPublisher, "Speaker"], Awaitable[None]]


class Speaker:
    """Says words on a track, and knows when."""

    def __init__(self, track: RtpTrack) -> None:
        self.track = track
        self.words: list[Word] = []

    async def say(self, **how: float) -> None:
        pcm = word(len(self.words))
        self.words.append(Word(pcm, await self.track.play(encoded(pcm), **how)))

    async def pause(self, seconds: float, *, counts: bool) -> None:
        """Send nothing for a while; the timestamps go on, or they don't."""
        await asyncio.sleep(seconds)
        if counts:
            self.track.leap(seconds)

    async def breathe(self, seconds: float) -> None:
        await self.track.play(encoded(sounds.silence(seconds)))


async def sends_ahead(publisher: RtpPublisher, speaker: Speaker) -> None:
    """A voice bot that pushes the beginning of each utterance at once."""
    for ahead in (0.32, 1.0, 0.32, 0.15):
        await speaker.pause(0.8, counts=True)
        await speaker.say(ahead=ahead)


async def sends_ahead_and_does_not_count_pauses(publisher: RtpPublisher, speaker: Speaker) -> None:
    """Its timestamps go on where they stopped."""
    for _ in range(4):
        await speaker.pause(1.0, counts=False)
        await speaker.say(ahead=0.3)


async def leaps(publisher: RtpPublisher, speaker: Speaker) -> None:
    """An encoder that was restarted, a stream that was restamped."""
    for leap in (0.0, 0.1, 0.5, 1.9, -0.3):
        speaker.track.leap(leap)
        await speaker.say()
        await speaker.breathe(0.5)


async def stands_still_while_muted(publisher: RtpPublisher, speaker: Speaker) -> None:
    """A client that does not count while it is muted; the server makes up for it now and then."""
    for n in range(5):
        await speaker.say()
        await publisher.mute()
        await speaker.pause(0.7 + 0.2 * n, counts=False)
        await publisher.mute(muted=False)


async def is_slow(publisher: RtpPublisher, speaker: Speaker) -> None:
    """A loop that sleeps too long: a clock that is off by 1 %."""
    pcm = [np.concatenate([word(n), sounds.silence(1.8)]) for n in range(7)]
    began = await speaker.track.play(encoded(np.concatenate(pcm)), pace=1.01)
    speaker.words += [Word(word(n), began + n * (WORD + 1.8) * 1.01) for n in range(7)]


@pytest.mark.parametrize(
    "script",
    [
        sends_ahead,
        sends_ahead_and_does_not_count_pauses,
        leaps,
        stands_still_while_muted,
        is_slow,
    ],
)
async def test_every_word_lies_where_it_was_said(
    home: House, room_name: str, script: Script
) -> None:
    """And nothing is held against the recording."""
    recording, speaker = await called(home, room_name, script)

    (track,) = recording["tracks"]
    began = moment(recording["started_at"])
    for name in (recording["filepath"], track["filepath"]):
        off = [place_of(listen(name).left, began, one) for one in speaker.words]
        assert max(map(abs, off)) < PLACE, (name, off)
    assert recording["verdict"] == "verified", recording["reason"]


@pytest.mark.parametrize("more", [1.88, 0.04])
async def test_no_speaker_vanishes_by_its_timestamps(
    home: House, room_name: str, more: float
) -> None:
    """A packet every 20 ms, each of which says that more time went by: all of them are heard."""

    async def runs_away(publisher: RtpPublisher, speaker: Speaker) -> None:
        for packet in encoded(sounds.speech(6.0)):
            await speaker.track.send(packet)
            speaker.track.leap(more)
            await asyncio.sleep(0.02)

    recording, _ = await called(home, room_name, runs_away)

    (track,) = recording["tracks"]
    for name in (recording["filepath"], track["filepath"]):
        loud = sounds.levels(listen(name).left) > -35
        said = sounds.levels(sounds.speech(6.0)) > -35
        assert loud.sum() > 0.8 * said.sum()


async def called(home: House, room_name: str, script: Script) -> tuple[Facts, Speaker]:
    """A call in which a script is played; its recording, and what was said."""
    number = "+15550105"
    about = {
        "sip.callID": f"SCL_{room_name}",
        "sip.callStatus": "active",
        "sip.phoneNumber": number,
        "sip.trunkPhoneNumber": "+15557650000",
    }
    async with RtpPublisher(
        home.livekit, room_name, f"sip_{number}", kind="sip", attributes=about
    ) as publisher:
        speaker = Speaker(publisher.track)
        await speaker.breathe(SETTLING)
        await home.recorder_is_in(room_name)
        await speaker.breathe(0.5)
        await script(publisher, speaker)
        await speaker.breathe(0.3)
    return await home.finished(caller_number=number), speaker


def place_of(pcm: PCM, began: float, one: Word) -> float:
    """How far a word is from its place. Seconds; endless if it is not there."""
    at = one.said_at - began
    first = max(0, round((at - 2.5) * RATE))
    found = sounds.locate(pcm[first : round((at + 4.0) * RATE)], one.pcm)
    return first / RATE + found.at - at if found.score > ALIKE else float("inf")

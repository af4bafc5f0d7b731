"""Publishers whose timestamps do what no book says, on a real livekit-server.

Each word has to lie where its first packet came, in the mix and in the track's file.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from egress_manager.audio import ogg
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
#: What is less alike than this is another sound. FFmpeg's decoder, with which files are read here,
#: gives back less of a word than libopus does.
ALIKE = 0.4
#: A word is louder than this (dBFS), and between words nothing is for this long (seconds); levels
#: are looked at in windows of this length (seconds).
LOUD, SILENCE, WINDOW = -30.0, 0.15, 0.005
#: A silent beginning, so that the recorder is there before the first word. Seconds.
SETTLING = 1.5
WORD, WORDS = 1.2, 7
#: So many words are like no other; then they come again, later than one is looked for. Higher ones
#: FFmpeg's decoder does not give back.
DISTINCT = 5
#: Mutes in one call, each before a word; one of them is long (seconds).
MUTES, LONG_MUTE = 12, 8.0
#: Who is muted still says what time it is this often. Seconds.
REPORT_EVERY = 1.0


def word(number: int) -> PCM:
    """A word that is like no other nearby."""
    which = number % DISTINCT
    return sounds.chirp(WORD, 400 + 150 * which, 1600 + 250 * which)


Script = Callable[[RtpPublisher, "Speaker"], Awaitable[None]]


class Speaker:
    """Says words on a track; `said` is when the first packet of each left (seconds since 1970).

    All are coded beforehand, by one encoder.
    """

    def __init__(self, track: RtpTrack) -> None:
        self.track = track
        self.said: list[float] = []
        self._packets = encoded(np.concatenate([word(number) for number in range(1 + MUTES)]))
        self._silence = encoded(sounds.silence(SETTLING))

    async def say(self, **how: float) -> None:
        number, share = len(self.said), round(WORD * 50)
        packets = self._packets[number * share : (number + 1) * share]
        self.said.append(await self.track.play(packets, **how))

    async def pause(self, seconds: float, *, counts: bool) -> None:
        """Send nothing for a while; the timestamps go on, or they don't."""
        began = time.monotonic()
        await asyncio.sleep(seconds)
        if counts:
            self.track.leap(time.monotonic() - began)

    async def stand_still(self, seconds: float) -> None:
        """Send sender reports alone: time goes by, and the timestamp that they tell does not."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            await asyncio.sleep(min(rest, REPORT_EVERY))
            await self.track.report()

    async def breathe(self, seconds: float) -> None:
        await self.track.play(self._silence[: round(seconds * 50)])


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
    """A client that does not count while it is muted, and reports so: the server moves its line."""
    await speaker.say()
    for n in range(MUTES):
        await publisher.mute()
        await speaker.stand_still(LONG_MUTE if n == MUTES // 2 else 0.4 + 0.1 * n)
        await publisher.mute(muted=False)
        await speaker.say()


def paced(pace: float) -> Script:
    """A loop that sleeps too long, or too short: a clock that is off by so much."""

    async def script(publisher: RtpPublisher, speaker: Speaker) -> None:
        pcm = [np.concatenate([word(n), sounds.silence(1.8)]) for n in range(WORDS)]
        packets = encoded(np.concatenate(pcm))
        began = await speaker.track.play(packets, pace=pace)
        speaker.said += [began + n * (WORD + 1.8) * pace for n in range(WORDS)]

    return script


@pytest.mark.parametrize(
    ("script", "measured"),
    [
        (sends_ahead, "by_likeness"),
        (sends_ahead_and_does_not_count_pauses, "by_likeness"),
        (leaps, "by_likeness"),
        (stands_still_while_muted, "by_likeness"),
        *((paced(pace), "by_onset") for pace in (0.997, 1.01)),
    ],
)
async def test_every_word_lies_where_it_was_said(
    home: House, room_name: str, script: Script, measured: str
) -> None:
    """And nothing is held against the recording."""
    recording, speaker = await called(home, room_name, script)

    (track,) = recording["tracks"]
    began = moment(recording["started_at"])
    said = [at - began for at in speaker.said]
    measure = by_onset if measured == "by_onset" else by_likeness
    for name in (recording["filepath"], track["filepath"]):
        off = measure(listen(name).left, said)
        assert max(map(abs, off)) < PLACE, (name, off)
    assert recording["verdict"] == "verified", recording["reason"]


@pytest.mark.parametrize("more", [1.88, 0.04, -0.01, -0.02])
async def test_no_speaker_vanishes_by_its_timestamps(
    home: House, room_name: str, more: float
) -> None:
    """A packet every 20 ms, each of which says that more or less time went by, or none at all."""
    voice = sounds.speech(6.0)
    packets = encoded(voice)

    async def runs_away(publisher: RtpPublisher, speaker: Speaker) -> None:
        for packet in packets:
            await speaker.track.send(packet)
            speaker.track.leap(more)
            await asyncio.sleep(0.02)

    recording, _ = await called(home, room_name, runs_away)

    (track,) = recording["tracks"]
    loud = sounds.levels(listen(recording["filepath"]).left) > LOUD
    assert loud.sum() > 0.8 * (sounds.levels(voice) > LOUD).sum()
    kept = set(packets_of(track["filepath"]))
    assert len(set(packets) - kept) < 0.05 * len(set(packets))
    # Where the machine is busy the packets come more than 20 ms apart and lie where they came: with
    # silence between them a track is quieter than the mix, which fades over it.
    faults = {finding["name"] for finding in recording["findings"] if finding["is_fault"]}
    assert faults <= {"level"}, recording["findings"]


async def test_what_a_track_lacks_that_is_published_in_mid_call_is_told(
    home: House, room_name: str
) -> None:
    """Its publisher is speaking already: all that is missing at its head has a cause."""

    async def is_joined(publisher: RtpPublisher, speaker: Speaker) -> None:
        async with RtpPublisher(home.livekit, room_name, "agent-1", kind="agent") as agent:
            await agent.track.play(encoded(sounds.speech(4.0)))

    recording, _ = await called(home, room_name, is_joined)

    [track] = [one for one in recording["tracks"] if one["participant_identity"] == "agent-1"]
    levels = sounds.levels(listen(track["filepath"]).left, window=WINDOW)
    heard = float(np.flatnonzero(levels > LOUD)[0]) * WINDOW
    head = [hole for hole in track["holes"] if hole["end_sec"] < heard + 0.05]
    assert [hole["cause"] for hole in head][-2:] == ["unpublished", "joining"]
    assert head[-1]["end_sec"] == pytest.approx(heard, abs=0.05)
    assert recording["verdict"] == "verified", recording["findings"]


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


def packets_of(path: str) -> list[bytes]:
    """The packets of an Ogg Opus file."""
    return [p for page in ogg.read_pages(Path(path).read_bytes()) for p in page.packets]


def by_likeness(pcm: PCM, said: Sequence[float]) -> list[float]:
    """How far each word is from its place (seconds), found by what it sounds like."""
    off = []
    for number, at in enumerate(said):
        first = max(0, round((at - 2.5) * RATE))
        found = sounds.locate(pcm[first : round((at + 4.0) * RATE)], word(number))
        off.append(first / RATE + found.at - at if found.score > ALIKE else float("inf"))
    return off


def by_onset(pcm: PCM, said: Sequence[float]) -> list[float]:
    """The same, found by where it is loud after a silence: for words at another pace."""
    levels = sounds.levels(pcm, window=WINDOW)
    silence = round(SILENCE / WINDOW)
    loud = np.flatnonzero(levels > LOUD)
    found = [n * WINDOW for n in loud if (levels[max(0, n - silence) : n] < LOUD).all()]
    return [float(one - at) for one, at in zip(found, said, strict=True)]

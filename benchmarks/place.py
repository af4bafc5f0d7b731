"""Whether every word of a long call is at its place, in the mix and in the tracks' own files."""

import statistics
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Figure
from benchmarks.premises import Document, Premises, premises, say, seconds_of
from benchmarks.scenes import identity, number
from lab.plans import Line, Part
from lab.sounds import PCM, RATE, chirp, locate
from lab.theatre import Report, Stage
from tests.e2e.listening import listen

METHOD = (
    "A phone and an agent each say a word (a chirp of 1 s) every 20 s; each word is looked for in "
    "the finished files and compared with when it was handed to the SDK. The SDK and the network "
    "delay all words alike (the median is told beside); what counts is how far a word is from "
    "where that puts it. A word for which the phone's own process needed 3 ms more or less than it "
    "lasts is left out: it was held up by a busy machine, and when it spoke is not known."
)
WORD_SECONDS, EVERY = 1.0, 20.0
WORD = chirp(WORD_SECONDS)
#: No word is looked for farther from where it ought to be. Seconds.
SLACK = 1.0
#: What is found less well than this is not the word. libopus gives back 0.94 of each; FFmpeg's
#: own Opus decoder, with which tracks are read here, 0.4 to 0.6 of the first one, while the phone's
#: encoder is still in another mode.
LEAST_SCORE = 0.3
#: A phone that needed so much more or less time for a word was held up by a busy machine: when its
#: words were said is not known well enough. Milliseconds.
HELD_UP = 3.0
#: How far a word may be from its place. Milliseconds.
PLACE = 20.0
BEGINS_AT = 3.0
MINUTES, QUICK_MINUTES = 20.0, 1.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where one side's words were found in one file: milliseconds after they were said.

    `missing` tells of each that was not found when it was said (s), and how alike what is there is;
    `held_up` counts those that the phone itself could not say in time.
    """

    file: str
    late: list[float]
    missing: list[str]
    held_up: int

    @property
    def off(self) -> list[float]:
        """How far each is from where the median delay puts it. Milliseconds."""
        usual = statistics.median(self.late)
        return [late - usual for late in self.late]


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """One long call."""
    seconds = 60 * (QUICK_MINUTES if quick else MINUTES)
    async with premises() as here:
        say(f"a call of {seconds:g} s")
        async with Stage(here.livekit, parts(seconds)) as stage:
            reports = await stage.over(seconds + 120)
        (recording,) = await here.completed(1)
        places = list(found(here, recording, reports))
    for name in ("mix", "tracks"):
        yield figure(name, [p for p in places if p.file == name], recording)


def parts(seconds: float) -> list[Part]:
    """The phone speaks at 0, 20, 40 …, the agent half-way between."""
    ends_at = BEGINS_AT + seconds

    def lines(first: float) -> tuple[Line, ...]:
        times = (first + EVERY * n for n in range(int(seconds / EVERY)))
        return tuple(Line(sound=f"chirp:{WORD_SECONDS:g}", at=at) for at in times)

    phone = Part(
        room="call-1",
        number=number(1),
        joins_at=BEGINS_AT - 2,
        lines=lines(BEGINS_AT + 1),
        leaves_at=ends_at,
    )
    agent = Part(
        room="call-1",
        kind="agent",
        identity="agent-1",
        joins_at=BEGINS_AT - 1.5,
        lines=lines(BEGINS_AT + 1 + EVERY / 2),
        leaves_at=ends_at + 0.5,
    )
    return [phone, agent]


def found(here: Premises, recording: Document, reports: list[Report]) -> Iterator[Places]:
    """Each side's words in the mix and in its track file."""
    mix = listen(recording["filepath"])
    begins = seconds_of(recording, "started_at")
    for who, side in ((identity(1), mix.left), ("agent-1", mix.right)):
        said = [report for report in reports if report["what"] == "said" and report["who"] == who]
        yield places("mix", side, begins, said)
        (track,) = (t for t in recording["tracks"] if t["participant_identity"] == who)
        yield places("tracks", listen(track["filepath"]).left, begins, said)


def places(file: str, pcm: PCM, begins: float, said: list[Report]) -> Places:
    """Look for every word around where it was said."""
    late, missing, held_up = [], [], 0
    for report in said:
        at = report["started_at"] - begins
        if abs(report["ended_at"] - report["started_at"] - WORD_SECONDS) * 1000 > HELD_UP:
            held_up += 1
            continue
        first = max(0, round((at - SLACK) * RATE))
        window = pcm[first : round((at + WORD_SECONDS + SLACK) * RATE)]
        word = locate(window, WORD)
        if word.score > LEAST_SCORE:
            late.append((first / RATE + word.at - at) * 1000)
        else:
            missing.append(f"at {at:.1f} s: {word.score:.2f}")
    return Places(file, late, missing, held_up)


def figure(name: str, both: list[Places], recording: Document) -> Figure:
    """The farthest of all words of both sides."""
    off = [value for side in both for value in side.off]
    missing = [word for side in both for word in side.missing]
    beside: dict[str, Any] = {
        "words": len(off),
        "not found": missing,
        "left out, phone held up": sum(side.held_up for side in both),
        "off by, median ms": round(statistics.median(map(abs, off)), 2),
        "delay of caller, agent ms": [round(statistics.median(side.late), 1) for side in both],
        "drift over the call ms": [round(drift(side.late), 2) for side in both],
        "packets lost": sum(track["lost"] for track in recording["tracks"]),
        "seconds": round(recording["duration_sec"], 1),
    }
    return Figure(
        name=f"farthest word from its place, {name}",
        value=float("inf") if missing else round(max(map(abs, off)), 2),
        unit="ms",
        at_most=PLACE,
        beside=beside,
    )


def drift(late: list[float]) -> float:
    """How much later the last words are than the first, by their medians of a quarter each."""
    quarter = max(1, len(late) // 4)
    return statistics.median(late[-quarter:]) - statistics.median(late[:quarter])

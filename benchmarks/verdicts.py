"""What the verification says of real calls to which nothing was done, with few and with many."""

import random
from collections.abc import AsyncIterator, Iterator

from benchmarks.figures import Figure
from benchmarks.premises import Document, premises, say
from benchmarks.scenes import number
from lab.plans import Line, Part
from lab.theatre import Stage

METHOD = (
    "So many calls at once on a real livekit-server, half a second apart, in which both sides say "
    "sentences of 0.3 to 3 s with pauses of 0.05 to 4 s, in which the SDK sends nothing; agents "
    "send with DTX and RED, as LiveKit's agents do. Nothing is broken, so every verdict but "
    "`verified` is a false alarm, or the recorder's fault. With many at once on two cores the "
    "speakers' process comes too late with its sound: words break off in the middle, and "
    "timestamps stop meanwhile."
)
ROUNDS, QUICK_ROUNDS = ((5, 1), (20, 3)), ((5, 1),)
SECONDS = 45.0
#: Making the sounds takes a moment for each call. Seconds.
PREPARES, PREPARES_EACH = 3.0, 1.0
#: From one call to the next. Seconds.
APART = 0.5


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """The share of alarms for few calls at once, and for many."""
    for calls, rounds in QUICK_ROUNDS if quick else ROUNDS:
        found = [one for seed in range(rounds) for one in await _verdicts(calls, seed)]
        alarms = [one for one in found if one["verdict"] != "verified"]
        yield Figure(
            name=f"real calls taken for faulty ones, {calls} at once",
            value=round(100 * len(alarms) / len(found), 2),
            unit="%",
            at_most=1.0,
            beside={
                "calls": len(found),
                "alarms": sorted(f"{one['verdict']}: {one['reason']}" for one in alarms) or "none",
            },
        )


async def _verdicts(calls: int, seed: int) -> list[Document]:
    """The recordings of so many calls, listened to."""
    say(f"{calls} at once")
    begins_at = PREPARES + PREPARES_EACH * calls
    parts = [part for call in range(calls) for part in _talk(call, begins_at + APART * call, seed)]
    async with premises() as here:
        async with Stage(here.livekit, parts) as stage:
            await stage.over(begins_at + APART * calls + 3 * SECONDS)
        return await here.judged(calls)


def _talk(call: int, begins_at: float, seed: int) -> Iterator[Part]:
    """A phone and an agent who speak without minding each other."""
    room, ends_at = f"call-{call}", begins_at + SECONDS
    for voice, who in enumerate(("phone", "agent")):
        is_agent = who == "agent"
        chance = random.Random(f"{who} {call} {seed}")
        yield Part(
            room=room,
            kind="agent" if is_agent else "phone",
            number="" if is_agent else number(call),
            identity=f"agent-{call}" if is_agent else "",
            dtx=is_agent,
            red=is_agent,
            joins_at=begins_at,
            lines=tuple(_lines(chance, begins_at + 2, ends_at, voice)),
            leaves_at=ends_at,
        )


def _lines(chance: random.Random, at: float, ends_at: float, voice: int) -> Iterator[Line]:
    while at + 3 < ends_at:
        seconds = round(chance.uniform(0.3, 3.0), 1)
        yield Line(sound=f"speech:{seconds}:{10 * voice + chance.randint(0, 3)}", at=at)
        at += seconds + chance.uniform(0.05, 4.0)

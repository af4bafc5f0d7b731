"""What the verification says of real calls to which nothing was done, of several kinds."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from benchmarks.figures import Figure
from benchmarks.premises import Document, Premises, premises, say
from benchmarks.scenes import identity, number
from lab.plans import Line, Part
from lab.theatre import Stage

METHOD = (
    "Calls of several kinds on a real livekit-server, many at once. Talks of 45 s, in which both "
    "sides say sentences of 0.3 to 3 s with pauses of 0.05 to 4 s, in which the SDK sends nothing. "
    "Short calls of 3 to 6 s, one after another. Calls in which both sides mute and unmute "
    "themselves forty times. Fixed rooms in which an agent waits and the recorder stands: callers "
    "come one after another, some within a second, and ring longer than a sender report. Talks in "
    "fixed rooms whose recording is stopped by hand and started again. Agents send with DTX and "
    "RED, as LiveKit's agents do. Nothing is broken, so every verdict but `verified` is a false "
    "alarm, or the recorder's fault. With many at once on two cores the speakers' process comes "
    "too late with its sound: words break off in the middle, and timestamps stop meanwhile."
)
SECONDS = 45.0
#: Making the sounds takes a moment for each call. Seconds.
PREPARES, PREPARES_EACH = 3.0, 1.0
#: From one talk to the next. Seconds.
APART = 0.5
#: Short calls last so long, and one begins so long after another. Seconds.
SHORT, SHORT_APART = (3.0, 6.0), 1.0
MUTES = 40
#: What was recorded of one kind is listened to within this, on a machine that has no time. Seconds.
JUDGED = 600.0
#: How long a word is, and a mute after it. Seconds.
WORD, MUTE = (0.3, 0.6), (0.1, 0.5)
#: From when the recorder stands, the agent waits so long for the first caller. Seconds.
STANDS = 8.0
#: In a fixed room: how long it rings, how long a call is, and how soon the next one comes.
RINGS, FIXED, NEXT = 4.0, 8.0, (0.3, 6.0)
#: What is recorded before a recording is stopped, until it is started again, and after that.
BEFORE, BETWEEN, AFTER = 7.0, 2.0, 9.0


@dataclass(frozen=True, slots=True)
class Kind:
    """`calls` calls of one kind. `parts(calls, seed)` says who takes part in them.

    `beside` is done while they are played; `each` recordings are made of each call.
    """

    name: str
    calls: int
    parts: Callable[[int, int], list[Part]]
    rounds: int = 1
    each: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    beside: Callable[[Premises, int], Awaitable[None]] | None = None


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """The share of alarms of each kind of call, of all these, and of many calls at once."""
    every: list[Document] = []
    for kind in QUICK_KINDS if quick else KINDS:
        found = await _found(kind)
        every += found
        yield _figure(kind.name, found)
    yield _figure("all of these", every)
    if not quick:
        yield _figure(CROWD.name, await _found(CROWD))


async def _found(kind: Kind) -> list[Document]:
    return [one for seed in range(kind.rounds) for one in await _verdicts(kind, seed)]


def _figure(name: str, found: list[Document]) -> Figure:
    alarms = [one for one in found if one["verdict"] != "verified"]
    return Figure(
        name=f"real calls taken for faulty ones, {name}",
        value=round(100 * len(alarms) / len(found), 2),
        unit="%",
        at_most=0.0,
        beside={
            "calls": len(found),
            "alarms": sorted(f"{one['verdict']}: {one['reason']}" for one in alarms) or "none",
        },
    )


async def _verdicts(kind: Kind, seed: int) -> list[Document]:
    """The recordings of so many calls, listened to."""
    parts = kind.parts(kind.calls, seed)
    ends_at = max(part.leaves_at or 0.0 for part in parts)
    say(f"{kind.name}, round {seed + 1} of {kind.rounds}: {ends_at:.0f} s")
    async with premises(kind.settings) as here:
        async with Stage(here.livekit, parts) as stage:
            beside = kind.beside(here, kind.calls) if kind.beside else asyncio.sleep(0)
            await asyncio.gather(stage.over(ends_at + 2 * SECONDS), beside)
        found = await here.judged(kind.calls * kind.each, timeout=JUDGED)
    alarms = [one["reason"] for one in found if one["verdict"] != "verified"]
    say(f"{kind.name}, round {seed + 1} of {kind.rounds}: {len(found)} calls, alarms: {alarms}")
    return found


# --- kinds of calls -------------------------------------------------------------------------------


def _begins_at(calls: int) -> float:
    return PREPARES + PREPARES_EACH * calls


def _talks(calls: int, seed: int) -> list[Part]:
    """Phones and agents who speak without minding each other."""
    first = _begins_at(calls)
    return [
        part
        for call in range(calls)
        for part in _talk(call, f"call-{call}", first + APART * call, SECONDS, seed)
    ]


def _talk(call: int, room: str, begins_at: float, seconds: float, seed: int) -> Iterator[Part]:
    for voice, who in enumerate(("phone", "agent")):
        chance = random.Random(f"{who} {call} {seed}")
        ends_at = begins_at + seconds
        lines = tuple(_lines(chance, begins_at + min(2.0, seconds / 4), ends_at, voice))
        yield _part(who, call, room, begins_at, lines, ends_at)


def _part(
    who: str, call: int, room: str, joins_at: float, lines: tuple[Line, ...], leaves_at: float
) -> Part:
    """A phone, or an agent that sends as LiveKit's do."""
    is_agent = who == "agent"
    return Part(
        room=room,
        kind="agent" if is_agent else "phone",
        number="" if is_agent else number(call),
        identity=f"agent-{room}" if is_agent else "",
        dtx=is_agent,
        red=is_agent,
        joins_at=joins_at,
        lines=lines,
        leaves_at=leaves_at,
    )


def _lines(chance: random.Random, at: float, ends_at: float, voice: int) -> Iterator[Line]:
    longest = min(3.0, (ends_at - at) / 2)
    while at + longest < ends_at:
        seconds = round(chance.uniform(0.3, longest), 1)
        yield Line(sound=f"speech:{seconds}:{10 * voice + chance.randint(0, 3)}", at=at)
        at += seconds + chance.uniform(0.05, 4.0)


def _short(calls: int, seed: int) -> list[Part]:
    """A call a second, that is answered at once, and what is said in it."""
    first, chance = _begins_at(calls) / 4, random.Random(seed)
    return [
        part if part.kind == "agent" else replace(part, answer="at_once")
        for call in range(calls)
        for part in _talk(
            call, f"call-{call}", first + SHORT_APART * call, chance.uniform(*SHORT), seed
        )
    ]


def _muting(calls: int, seed: int) -> list[Part]:
    """Both sides say a word, mute, say a word, and so on."""
    begins_at = _begins_at(calls)
    lasts = 4.0 + MUTES * (WORD[1] + MUTE[1])
    parts = []
    for call in range(calls):
        for voice, who in enumerate(("phone", "agent")):
            chance, at = random.Random(f"{who} {call} {seed}"), begins_at + APART * call
            lines = []
            for _ in range(MUTES):
                said = f"speech:{chance.uniform(*WORD):.1f}:{10 * voice + chance.randint(0, 3)}"
                lines += [Line(sound=said), Line(sound=f"mute:{chance.uniform(*MUTE):.2f}")]
            parts.append(_part(who, call, f"call-{call}", at, tuple(lines), at + lasts))
    return parts


def _standing(rooms: int, calls: int, seed: int) -> list[Part]:
    """An agent a room who waits and answers; callers one after another.

    LiveKit closes a room that only an agent is in: somebody keeps it open.
    """
    parts, begins_at = [], _begins_at(calls)
    for room in range(rooms):
        chance, at = random.Random(f"{room} {seed}"), begins_at + STANDS + APART * room
        answers: list[Line] = []
        for call in range(room, calls, rooms):
            ends_at = at + RINGS + FIXED
            lines = tuple(_lines(chance, at + RINGS, ends_at - 1, 0))
            phone = _part("phone", call, _fixed(room), at, lines, ends_at)
            parts.append(replace(phone, answers_at=at + RINGS))
            answers += _lines(chance, at + RINGS + 1, ends_at - 2, 1)
            at = ends_at + chance.uniform(*NEXT)
        agent = _part("agent", 0, _fixed(room), begins_at, tuple(answers), at)
        keeper = replace(agent, kind="browser", identity=f"keeper-{room}", lines=())
        parts += [agent, replace(keeper, publishes=False)]
    return parts


def _fixed(room: int) -> str:
    return f"fixed-{room}"


def _by_hand(calls: int, seed: int) -> list[Part]:
    """Talks in fixed rooms that last until the second recording is over."""
    first, lasts = _begins_at(calls), BEFORE + BETWEEN + AFTER + 40
    return [
        part
        for call in range(calls)
        for part in _talk(call, _fixed(call), first + APART * call, lasts, seed)
    ]


async def _stop_and_start(here: Premises, calls: int) -> None:
    """Of every call: stop its recording, start another one, stop that."""
    await asyncio.gather(*(_stop_and_start_one(here, call) for call in range(calls)))


async def _stop_and_start_one(here: Premises, call: int) -> None:
    begun = await here.manager.recording("recording", caller_number=number(call))
    for seconds in (BEFORE, AFTER):
        await asyncio.sleep(seconds)
        (await here.manager.tell(f"/recordings/{begun['id']}/stop")).raise_for_status()
        if seconds == AFTER:
            return
        await asyncio.sleep(BETWEEN)
        wanted = {"room_name": _fixed(call), "identity": identity(call)}
        answer = await here.manager.tell("/recordings", wanted)
        begun = answer.raise_for_status().json()


def _in_fixed_rooms(rooms: int) -> dict[str, str]:
    return {"EGRESS_MANAGER_STANDING_ROOMS": ",".join(map(_fixed, range(rooms)))}


def _kinds(share: int, rounds: int) -> tuple[Kind, ...]:
    """Every kind that a machine of two cores has time for; of each so many times as many calls."""
    return (
        Kind("5 at once", 5, _talks, rounds=rounds),
        Kind("3 to 6 s long", 10 * share, _short),
        Kind("muted forty times", 6, _muting, rounds=rounds),
        Kind("standing recorder", 6 * share, partial(_standing, 6), settings=_in_fixed_rooms(6)),
        Kind(
            "stopped and started by hand",
            6,
            _by_hand,
            rounds=rounds,
            each=2,
            settings=_in_fixed_rooms(6),
            beside=_stop_and_start,
        ),
    )


#: 220 recordings, and 60 of calls that the machine has no time for.
KINDS, CROWD = _kinds(8, 4), Kind("20 at once", 20, _talks, rounds=3)
QUICK_KINDS = _kinds(1, 1)

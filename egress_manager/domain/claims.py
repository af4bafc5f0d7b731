"""Which of our processes is at what: claims, and who is alive to hold them.

Several processes, on one host or on many, look after the same calls. Whoever is at something that
one is enough for holds a *claim* to it. A claim says who should go on, and who is not needed; it
never stops what runs: when in doubt two capture a room, and the packets are woven together later.

Whether a process lives, others tell by its *beat*, a number that it counts up: one that stands
still for `LAPSE`, by the watch of who looks, has lapsed. So nobody has to trust anybody's clock.

Pure. Moments are seconds on the monotonic clock of who looks.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: A process whose beat stands still for this long has lapsed. With the look of the others and the
#: joining of a room it makes the hole that a dead recorder leaves: at most 3 s. Seconds.
LAPSE: Final = 1.8

#: What claims are to, by the beginning of their names.
ROOM: Final = "room:"
WORK: Final = "work:"

#: The claim of nobody.
NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """A process that says that it is there.

    `place` is the recordings directory that it works on (`domain/places.py`), `host` the machine.
    `records` says that it captures calls, `is_full` that it should get no more of them, and
    `is_leaving` that it is about to end: what it holds is to be had. `unattended` is in how many
    rooms somebody is to be recorded and it has not heard anything in time.
    """

    id: str
    place: str
    host: str = ""
    records: bool = False
    beat: int = 0
    is_full: bool = False
    is_leaving: bool = False
    unattended: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is at something; `token` counts how often it has changed hands, `asked` who wanted it.

    `is_ready` says that the holder has it in hand: whoever had it before may let go.
    """

    name: str
    holder: str = NOBODY
    token: int = 0
    asked: int = 0
    is_ready: bool = False


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one who looks knows of a process: since when its beat is what it is. None: never seen.

    `is_gone`: its host's kernel says that it has ended.
    """

    presence: Presence | None
    since: float
    is_gone: bool = False


Pulses = Mapping[str, Pulse]


def felt(
    known: Pulses,
    present: Iterable[Presence],
    holders: Iterable[str],
    gone: Collection[str],
    moment: float,
) -> dict[str, Pulse]:
    """What is known after another look at who is present, and who holds something.

    `gone` are processes of which this host knows that they have ended.
    """
    pulses: dict[str, Pulse] = {}
    for presence in present:
        before = known.get(presence.id)
        is_same = before and before.presence and before.presence.beat == presence.beat
        since = before.since if before and is_same else moment
        pulses[presence.id] = Pulse(presence, since, presence.id in gone)
    for holder in holders:
        if holder != NOBODY and holder not in pulses:
            before = known.get(holder)
            pulses[holder] = Pulse(None, before.since if before else moment, holder in gone)
    return pulses


def lapsed(pulses: Pulses, moment: float) -> frozenset[str]:
    """Those who are dead, or as good as dead: what they hold is to be had."""
    return frozenset(
        name for name, pulse in pulses.items() if pulse.is_gone or moment - pulse.since >= LAPSE
    )


def to_be_had(pulses: Pulses, moment: float) -> frozenset[str]:
    """Whose claims another may take: nobody's, those of the lapsed, and of those who leave."""
    leaving = (name for name, p in pulses.items() if p.presence and p.presence.is_leaving)
    return lapsed(pulses, moment) | frozenset(leaving) | {NOBODY}


def others_who_record(pulses: Pulses, me: str, moment: float) -> tuple[Presence, ...]:
    """The other processes that could capture a room now."""
    free = to_be_had(pulses, moment)
    return tuple(
        pulse.presence
        for name, pulse in pulses.items()
        if name != me and name not in free and pulse.presence and pulse.presence.records
    )


def takes_on(me: Presence, others: Iterable[Presence]) -> bool:
    """Whether a process takes another capture: not while it is full and somebody else is not.

    When all are full it takes it nevertheless: rather a mix that comes late than a call that is
    refused.
    """
    if me.is_leaving or not me.records:
        return False
    return not me.is_full or all(other.is_full for other in others)

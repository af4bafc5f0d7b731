"""Every fault: how it is done and undone, at which stages it tells, and what a user sees of it.

The table of the README is made of `ROWS`, the suite of `FAULTS`: what is said is what is done.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from chaos import disks, hostile, lists
from chaos.clocks import HOUR
from chaos.house import CLOCK, DISK, LISTS, WIRE, House, start
from chaos.post import Way
from chaos.rows import (
    CLOCK_STEPS,
    CUT,
    DISK_ILL,
    DISK_SLOW,
    HOSTILE,
    HOSTILE_CLIENTS,
    LISTS_LOST,
    LOSS,
    OVERTAKEN,
    WEBHOOKS_ILL,
    Row,
)
from chaos.schedule import BUILTIN, EGRESS, HOUSES, SEVERAL, Stage
from lab.wire import Wire

#: How long a process that was killed stays away, and one that was stopped stands still. Seconds.
DEAD, FROZEN = 1.0, 10.0
#: How long a disk is ill, and a clock wrong. Seconds.
ILL, WRONG = 6.0, 10.0
#: LiveKit is asked for its lists a few times within this. Seconds.
ASKED: Final = 8.0
#: How long a process may take to end in good order. Seconds.
_STOPS: Final = 25.0

Deed = Callable[[House], AbstractAsyncContextManager[None]]
EVERYWHERE: Final = tuple(Stage)
IN_THE_CALL: Final = (Stage.RINGING, Stage.TALKING)
#: Before anything is kept, while it is, and while files are made.
ONCE_EACH: Final = (*IN_THE_CALL, Stage.RENDERING)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    `deed` does it, and undoes it after `lasts` seconds; None: when all calls are over.
    Two faults of one `target` strike one after the other. `stages` are where it tells most.
    `houses` are those that it is a fault for; `needs` is what such a house has to have.
    `blinds` names the ways of learning of a call that it closes.
    """

    row: Row
    deed: Deed
    lasts: float | None
    target: str
    stages: tuple[Stage, ...] = IN_THE_CALL
    houses: tuple[str, ...] = HOUSES
    needs: Collection[str] = ()
    blinds: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that can be killed, frozen and restarted."""

    row: Row
    stages: tuple[Stage, ...]
    houses: tuple[str, ...] = HOUSES
    blinds: Collection[str] = ()


#: The ways by which a call becomes known.
WEBHOOKS, POLLING = "webhooks", "polling"

PROCESSES: Final[Mapping[str, _Process]] = {
    "manager": _Process(
        Row(
            "Egress Manager is killed, hangs for 10 s, or is restarted",
            "The call goes on. What was kept is on the disk, and the next start goes on with the "
            "same recording: one file, with a hole `recorder down` of the time between. What comes "
            "while it hangs is kept at its place, as far as the kernel's buffers go.",
        ),
        EVERYWHERE,
        blinds=(WEBHOOKS, POLLING),
    ),
    "jobs": _Process(
        Row(
            "`egress-manager jobs` is killed, hangs for 10 s, or is restarted",
            "Captures go on. Files are late until it is back, or another process does the work; "
            "nothing is done twice.",
        ),
        (Stage.TALKING, Stage.RENDERING),
        (SEVERAL,),
        blinds=(POLLING,),
    ),
    "recorder": _Process(
        Row(
            "`egress-manager recorder` is killed, hangs for 10 s, or is restarted",
            "Another recorder takes its calls over, in the same recordings: with a hole of at most "
            "3 s where it died, with none where it was asked to end.",
        ),
        (Stage.RINGING, Stage.TALKING, Stage.MUTED),
        (SEVERAL,),
    ),
    "livekit": _Process(
        Row(
            "livekit-server is killed, hangs for 10 s, or is restarted",
            "Callers who come back are recorded on, in the same recording, with a hole "
            "`connection`; of those who don't, the recording ends where the sound did.",
        ),
        (Stage.RINGING, Stage.TALKING, Stage.HUNG_UP),
        blinds=(WEBHOOKS, POLLING),
    ),
    "mongod": _Process(
        Row(
            "MongoDB is killed, hangs for 10 s, or is restarted",
            "Capturing goes on. The recording appears, and is finished, when MongoDB is back.",
        ),
        (Stage.RINGING, Stage.TALKING, Stage.RENDERING),
    ),
    "redis": _Process(
        Row(
            "Redis is killed, hangs for 10 s, or is restarted",
            "Where LiveKit Egress records, LiveKit can't reach it meanwhile: the built-in recorder "
            "takes over. Work is late, and none is done twice.",
        ),
        (Stage.RINGING, Stage.TALKING),
        (EGRESS, SEVERAL),
    ),
    "egress": _Process(
        Row(
            "LiveKit Egress is killed, hangs for 10 s, or is restarted",
            "Where LiveKit tells that a job failed, the built-in recorder takes over, and what was "
            "delivered before is used. One that was killed tells nothing, and its file is gone: "
            "what it alone had is in no recording, and the reason says so (`egress_never_ended`).",
        ),
        (Stage.ANSWERED, Stage.TALKING, Stage.HUNG_UP),
        (EGRESS,),
    ),
}


@contextlib.asynccontextmanager
async def _killed(house: House, name: str) -> AsyncIterator[None]:
    """kill -9, and started again."""
    server = house.busiest(name)
    await server.kill()
    try:
        yield
    finally:
        await start(server)


@contextlib.asynccontextmanager
async def _frozen(house: House, name: str) -> AsyncIterator[None]:
    """SIGSTOP and SIGCONT."""
    server = house.busiest(name)
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextlib.asynccontextmanager
async def _restarted(house: House, name: str) -> AsyncIterator[None]:
    """SIGTERM, and started again when it has ended."""
    server = house.busiest(name)
    await server.stop(_STOPS)
    try:
        yield
    finally:
        await start(server)


@contextlib.asynccontextmanager
async def _cut(house: House) -> AsyncIterator[None]:
    """Signalling, API and sound."""
    wire = _wire(house)
    wire.cut_signal()
    wire.cut_media()
    wire.cut_api()
    try:
        yield
    finally:
        wire.heal_media()
        wire.heal_api()
        wire.heal_signal()


@contextlib.asynccontextmanager
async def _weather(house: House, verb: str, fraction: float) -> AsyncIterator[None]:
    """On the way from the server to the recorder."""
    do = getattr(_wire(house), verb)
    do(fraction)
    try:
        yield
    finally:
        do(0.0)


def _wire(house: House) -> Wire:
    assert house.wire is not None
    return house.wire


@contextlib.asynccontextmanager
async def _on_the_way(house: House, way: Way) -> AsyncIterator[None]:
    """Webhooks from now on."""
    house.post.way = way
    try:
        yield
    finally:
        house.post.way = Way.STRAIGHT


#: How each is done, for how long, and at which of the process's stages it tells.
_DEEDS: Final[Mapping[str, tuple[Any, float, tuple[Stage, ...]]]] = {
    "kill": (_killed, DEAD, EVERYWHERE),
    "freeze": (_frozen, FROZEN, ONCE_EACH),
    "restart": (_restarted, 0.0, ONCE_EACH),
}


def _process_faults() -> dict[str, Fault]:
    return {
        f"{deed}-{name}": Fault(
            process.row,
            partial(do, name=name),
            lasts,
            target=name,
            stages=tuple(stage for stage in process.stages if stage in telling),
            houses=process.houses,
            blinds=process.blinds,
        )
        for name, process in PROCESSES.items()
        for deed, (do, lasts, telling) in _DEEDS.items()
    }


def _network_faults() -> dict[str, Fault]:
    lossy = {
        f"loss-{percent}": Fault(
            LOSS,
            partial(_weather, verb="drop", fraction=percent / 100),
            None,
            "lost",
            (Stage.TALKING,),
            needs=(WIRE,),
        )
        for percent in (1, 5, 20)
    }
    cuts = {
        f"cut-{seconds}": Fault(
            CUT, _cut, float(seconds), "network", needs=(WIRE,), blinds=(POLLING,)
        )
        for seconds in (1, 5, 30)
    }
    reordered = partial(_weather, verb="reorder", fraction=0.1)
    doubled = partial(_weather, verb="duplicate", fraction=0.1)
    return {
        **cuts,
        **lossy,
        "reordered": Fault(OVERTAKEN, reordered, None, "order", (Stage.TALKING,), needs=(WIRE,)),
        "duplicated": Fault(OVERTAKEN, doubled, None, "copies", (Stage.TALKING,), needs=(WIRE,)),
    }


def _disk_faults() -> dict[str, Fault]:
    stages = (Stage.RINGING, Stage.TALKING, Stage.HUNG_UP)
    deeds = {
        "disk-full": (DISK_ILL, disks.full),
        "disk-read-only": (DISK_ILL, disks.read_only),
        "disk-slow": (DISK_SLOW, disks.slow),
    }
    return {
        name: Fault(row, partial(_disk, do), ILL, DISK, stages, needs=(DISK,))
        for name, (row, do) in deeds.items()
    }


def _disk(do: Callable[..., AbstractAsyncContextManager[None]], house: House) -> Any:
    return do(house.disk)


def _clock(ahead: int, house: House) -> Any:
    return house.clock.stepped(ahead)


def _clock_faults() -> dict[str, Fault]:
    return {
        f"clock-{name}": Fault(
            CLOCK_STEPS,
            partial(_clock, ahead),
            WRONG,
            CLOCK,
            needs=(CLOCK,),
            blinds=(WEBHOOKS, POLLING),
        )
        for name, ahead in {"ahead": HOUR, "behind": -HOUR}.items()
    }


def _webhook_faults() -> dict[str, Fault]:
    return {
        f"webhooks-{way}": Fault(
            WEBHOOKS_ILL,
            partial(_on_the_way, way=way),
            None,
            WEBHOOKS,
            (Stage.RINGING, Stage.TALKING),
            blinds=(WEBHOOKS,) if way is Way.LOST else (),
        )
        for way in Way
        if way is not Way.STRAIGHT
    }


def _list_faults() -> dict[str, Fault]:
    return {
        f"lists-{name}": Fault(LISTS_LOST, partial(_lists, lose=lose), ASKED, LISTS, needs=(LISTS,))
        for name, lose in lists.WAYS.items()
    }


def _lists(house: House, lose: lists.Lose) -> AbstractAsyncContextManager[None]:
    assert house.lists is not None
    return lists.lost(house.lists, lose)


FAULTS: Final[Mapping[str, Fault]] = {
    **_process_faults(),
    **_network_faults(),
    **_disk_faults(),
    **_clock_faults(),
    **_webhook_faults(),
    **_list_faults(),
    "hostile-clients": Fault(
        HOSTILE_CLIENTS, hostile.clients, hostile.BESET, "port", houses=(BUILTIN, SEVERAL)
    ),
    "hostile-publisher": Fault(
        HOSTILE, hostile.publishers, None, "publishers", houses=(BUILTIN, SEVERAL)
    ),
}

#: Every line of the README's table, once, in the order of the faults.
ROWS: Final = tuple(dict.fromkeys(fault.row for fault in FAULTS.values()))


async def strike(fault: Fault, house: House) -> None:
    """Do it, wait, and undo it."""
    async with fault.deed(house):
        if fault.lasts is None:
            await house.calls_are_over.wait()
        else:
            await asyncio.sleep(fault.lasts)

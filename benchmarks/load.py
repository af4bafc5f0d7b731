"""What calls cost while they are recorded: processor time and memory, for 1, 5 and 10 at once."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from benchmarks.figures import Figure
from benchmarks.premises import Premises, premises, say
from benchmarks.scenes import BYE, GREETING, dialogue
from benchmarks.tree import Seconds, since
from lab.theatre import Stage

CPU_METHOD = (
    "So many calls at once in which a caller and an agent speak in turn, from before the first "
    "joins until all files are finished (mix and both tracks) and have been listened to; CPU "
    "seconds of the process tree, less what it used idle for as long, by minute of recording. A "
    "short call has been there before."
)
MEMORY_METHOD = (
    "The same calls: memory (of the process tree; pages of programs and libraries, whose share "
    "changes with what else runs, left out) is looked at every 2 s while all of them go on; the "
    "median of the second half, and the slope of a line through 1, 5 and 10 calls."
)
AT_ONCE = (1, 5, 10)
SECONDS, QUICK_SECONDS = 90.0, 20.0
IDLE_SECONDS, SETTLE = 15.0, 6.0
#: A call of its own comes first: what only the first one costs is not the cost of a call.
WARM_UP, WARM_UP_SECONDS = 999, 8.0
LOOK_EVERY = 2.0
#: Making the sounds takes a moment for each call. Seconds.
PREPARES, PREPARES_EACH = 3.0, 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What so many calls took: CPU seconds by process, idle time deducted; MiB while they went."""

    calls: int
    minutes: float
    cpu: Seconds
    idle_rate: float
    memory: Sequence[float]
    memory_by_process: Mapping[str, float]
    idle_memory: float
    idle_with_programs: float

    @property
    def cpu_each_minute(self) -> float:
        """CPU seconds for a minute of one call, all processes together."""
        return sum(self.cpu.values()) / self.minutes

    @property
    def usual_memory(self) -> float:
        """MiB: the median of the second half of the calls."""
        return statistics.median(self.memory[len(self.memory) // 2 :])


@dataclass(slots=True)
class _Looks:
    """What was seen of memory while all calls went on. MiB."""

    memory: list[float] = field(default_factory=list)
    by_process: Mapping[str, float] = field(default_factory=dict)


async def cpu(*, quick: bool) -> AsyncIterator[Figure]:
    """Processor time."""
    for calls in AT_ONCE:
        load = await _once(calls, _seconds(quick))
        yield Figure(
            name=f"CPU seconds a call-minute, {calls} at once",
            value=round(load.cpu_each_minute, 2),
            unit="s",
            at_most=2.5,
            beside={
                **{name: round(spent / load.minutes, 2) for name, spent in load.cpu.items()},
                "idle, s a minute": round(60 * load.idle_rate, 2),
                "call-minutes": round(load.minutes, 2),
            },
        )


async def memory(*, quick: bool) -> AsyncIterator[Figure]:
    """Memory."""
    loads = [await _once(calls, _seconds(quick)) for calls in AT_ONCE]
    used = [load.usual_memory for load in loads]
    yield Figure(
        name="memory a further call",
        value=round(float(np.polyfit(AT_ONCE, used, 1)[0]), 2),
        unit="MiB",
        at_most=10.0,
        beside={
            "MiB at 1, 5, 10 calls": [round(mib, 1) for mib in used],
            "most seen": [round(max(load.memory), 1) for load in loads],
            "MiB idle": round(loads[0].idle_memory, 1),
            "MiB idle, with programs and libraries": round(loads[0].idle_with_programs, 1),
            **{f"{name} at 10": mib for name, mib in loads[-1].memory_by_process.items()},
        },
    )


def _seconds(quick: bool) -> float:
    return QUICK_SECONDS if quick else SECONDS


@cache
def _once(calls: int, seconds: float) -> "asyncio.Task[Load]":
    """Measured once, though two benchmarks are made of it."""
    return asyncio.create_task(measure(calls, seconds))


async def measure(calls: int, seconds: float) -> Load:
    """A manager of its own for so many calls."""
    say(f"{calls} at once for {seconds:g} s")
    begins_at = PREPARES + PREPARES_EACH * calls
    first = dialogue(WARM_UP, begins_at=PREPARES, seconds=WARM_UP_SECONDS)
    parts = [
        part
        for call in range(1, calls + 1)
        for part in dialogue(call, begins_at=begins_at, seconds=seconds)
    ]
    async with premises() as here:
        async with Stage(here.livekit, first) as stage:
            await stage.over(60)
        await here.judged(1)
        await asyncio.sleep(SETTLE)
        idle_rate = await idle(here)
        at_rest = here.tree.memory(), here.tree.memory_with_programs()
        clock, before = asyncio.get_running_loop().time, here.tree.cpu()
        began, looks = clock(), _Looks()
        async with Stage(here.livekit, parts) as stage:
            await stage.reached("answered", times=calls, timeout=begins_at + 60)
            looking = asyncio.create_task(_look(here, looks, seconds - GREETING - BYE))
            await stage.over(seconds + 120)
            await looking
        (_, *recordings) = await here.judged(1 + calls)
        used, lasted = since(before, here.tree.cpu()), clock() - began
    minutes = sum(recording["duration_sec"] for recording in recordings) / 60
    net = {**used, "main": used["main"] - idle_rate * lasted}
    return Load(calls, minutes, net, idle_rate, looks.memory, looks.by_process, *at_rest)


async def idle(here: Premises) -> float:
    """CPU seconds a second while there is nothing to do."""
    before = here.tree.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    return sum(since(before, here.tree.cpu()).values()) / IDLE_SECONDS


async def _look(here: Premises, looks: _Looks, seconds: float) -> None:
    for _ in range(int(seconds / LOOK_EVERY)):
        await asyncio.sleep(LOOK_EVERY)
        looks.memory.append(here.tree.memory())
    looks.by_process = here.tree.memory_by_process()

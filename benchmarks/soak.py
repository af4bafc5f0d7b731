"""Whether anything grows while calls come and go: memory, handles, threads, tasks."""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.figures import Figure
from benchmarks.premises import Premises, premises, say
from benchmarks.scenes import dialogue
from lab.theatre import Stage

METHOD = (
    "Five calls at once, each replaced by another when it is over (30 to 40 s), for twenty "
    "minutes. Memory (of the process tree; pages of programs and libraries, whose share changes "
    "with what else runs, left out) is looked at every 5 s; growth is the slope of a line through "
    "it after minute 5. Handles (but for the pool of connections to MongoDB), threads "
    "and asyncio tasks are compared at rest, after five calls at once and after all of it."
)
LANES = 5
SHORTEST, LONGEST = 30.0, 40.0
MINUTES, QUICK_MINUTES = 20.0, 4.0
#: Where growth begins to count, as a share of the whole.
WARM = 0.25
LOOK_EVERY = 5.0
#: How long it takes until nothing of a call goes on any more; HTTP connections to livekit-server
#: are kept for 15 s. Seconds.
REST = 20.0
GROWTH_SECONDS = 600.0
#: Connections to it are kept in a pool, which grows with what is asked at once: no leak.
POOL = "MongoDB"
#: asyncio's pool of threads begins another where none is free, up to so many: no leak either.
MOST_THREADS = min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True, slots=True)
class AtRest:
    """What there is while no call goes on."""

    handles: Counter[str]
    threads: int
    tasks: Counter[str]
    memory: Mapping[str, float]


@dataclass(slots=True)
class Watch:
    """Memory over time: seconds since it began, MiB."""

    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    async def look(self, here: Premises) -> None:
        """Go on until cancelled."""
        began = time.monotonic()
        while True:
            self.times.append(time.monotonic() - began)
            self.memory.append(here.tree.memory())
            await asyncio.sleep(LOOK_EVERY)

    def after(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """What was seen from then on."""
        times, memory = np.array(self.times), np.array(self.memory)
        return times[times >= seconds], memory[times >= seconds]


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Warm up, rest, let calls come and go, rest."""
    seconds = 60 * (QUICK_MINUTES if quick else MINUTES)
    numbers, watch = itertools.count(1), Watch()
    async with premises() as here:
        say("warming up")
        await calls_until(time.monotonic() + 1, here, numbers)
        before = await at_rest(here)
        say(f"calls for {seconds / 60:g} minutes")
        looking = asyncio.create_task(watch.look(here))
        await calls_until(time.monotonic() + seconds, here, numbers)
        looking.cancel()
        placed = next(numbers) - 1
        await here.completed(placed)
        after = await at_rest(here)
    yield growth(watch, seconds, placed, before, after)
    for figure in left_over(before, after):
        yield figure


async def calls_until(end: float, here: Premises, numbers: "itertools.count[int]") -> None:
    """Keep all lanes busy until then, and finish the calls that go on."""

    async def lane(first: float) -> None:
        chance, begins_at = random.Random(first), 1.0 + first
        while True:
            seconds = chance.uniform(SHORTEST, LONGEST)
            await one_call(here, next(numbers), begins_at, seconds)
            begins_at = 1.0
            if time.monotonic() > end:
                return

    async with asyncio.TaskGroup() as group:
        for number in range(LANES):
            group.create_task(lane(number * 1.5))


async def one_call(here: Premises, number: int, begins_at: float, seconds: float) -> None:
    """A phone and an agent in a process of their own."""
    parts = dialogue(number, begins_at=begins_at, seconds=seconds)
    async with Stage(here.livekit, parts) as stage:
        await stage.over(begins_at + seconds + 60)


async def at_rest(here: Premises) -> AtRest:
    """Wait until nothing goes on, and look."""
    await asyncio.sleep(REST)
    tasks = Counter(await here.manager.tasks())
    await asyncio.sleep(1.0)
    tree = here.tree
    ports = {here.mongod.port: POOL, here.livekit.port: "livekit-server"}
    return AtRest(Counter(tree.handles(ports)), tree.threads(), tasks, tree.memory_by_process())


def growth(watch: Watch, seconds: float, placed: int, before: AtRest, after: AtRest) -> Figure:
    """MiB in ten minutes, by the slope of all that was seen once warm."""
    times, memory = watch.after(WARM * seconds)
    slope = float(np.polyfit(times, memory, 1)[0])
    half = len(memory) // 2
    return Figure(
        name="growth in ten minutes",
        value=round(slope * GROWTH_SECONDS, 2),
        unit="MiB",
        at_most=1.0,
        beside={
            "calls": placed,
            "MiB, medians of first and second half": [
                round(float(np.median(part)), 1) for part in (memory[:half], memory[half:])
            ],
            "MiB, least and most": [round(float(v), 1) for v in (memory.min(), memory.max())],
            **{
                f"MiB of {name} at rest before, after": [before.memory.get(name, 0.0), mib]
                for name, mib in after.memory.items()
            },
        },
    )


def left_over(before: AtRest, after: AtRest) -> Iterator[Figure]:
    """How many more there are than before."""
    yield _left_over("handles", before.handles, after.handles)
    yield _left_over("tasks", before.tasks, after.tasks)
    first, last = Counter(threads=before.threads), Counter(threads=after.threads)
    yield _left_over("threads", first, last, at_most=MOST_THREADS)


def _left_over(name: str, first: Counter[str], last: Counter[str], at_most: int = 0) -> Figure:
    pooled = f"socket to {POOL}"
    return Figure(
        name=f"{name} more than before",
        value=last.total() - first.total() - (last[pooled] - first[pooled]),
        unit="",
        at_most=at_most,
        beside={
            "before": first.total(),
            "after": last.total(),
            **{f"+ {kind}": count for kind, count in (last - first).items()},
            **{f"- {kind}": count for kind, count in (first - last).items()},
        },
    )

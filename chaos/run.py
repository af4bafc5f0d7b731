"""One run: a house, some calls, faults at their stages, quiet, and then the laws."""

import asyncio
import contextlib
import json
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil

from chaos.aftermath import Aftermath, Struck
from chaos.calls import Call
from chaos.faults import FAULTS, strike
from chaos.house import House, house, start
from chaos.invariants import broken
from chaos.look import family, look, until_quiet
from chaos.schedule import Schedule, Stage
from egress_manager.domain.captures import FOLDER, JOURNAL
from lab.processes import ServerFailed

#: The first call is patient; so many come beside it, so long after it.
BESIDE: Final = 2
APART: Final = (0.5, 5.0)
#: Faults are undone by then. Seconds.
HEALED_WITHIN: Final = 120.0
#: Packets that waited in buffers while somebody stood still are through after this. Seconds.
DRAINED: Final = 1.0
#: How long processes of ours may take to end when all is quiet. Seconds.
ENDED_WITHIN: Final = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; none `broken`: all laws hold. `fates` counts calls by the ledger."""

    schedule: Schedule
    broken: Sequence[str]
    seconds: float
    fates: dict[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """As results files have it."""
        return {
            "seed": self.schedule.seed,
            "schedule": str(self.schedule),
            "command": self.schedule.command,
            "broken": list(self.broken),
            "seconds": round(self.seconds, 1),
            "fates": self.fates,
        }


class Drama:
    """The faults of a run, each begun when the first call reaches its stage."""

    def __init__(self, home: House, schedule: Schedule) -> None:
        self.struck: list[Struck] = []
        self.failed: list[str] = []
        self._home = home
        self._schedule = schedule
        self._locks = {fault.target: asyncio.Lock() for fault in FAULTS.values()}
        self._passing: list[asyncio.Task[None]] = []
        self._lasting: list[asyncio.Task[None]] = []

    async def reached(self, stage: Stage) -> None:
        """Begin what is to begin now."""
        for each in self._schedule.strikes:
            if each.stage is stage:
                fault = FAULTS[each.fault]
                task = asyncio.create_task(self._strike(each.fault), name=str(each))
                (self._lasting if fault.lasts is None else self._passing).append(task)
        await asyncio.sleep(0)

    async def healed(self) -> None:
        """Wait until what passes by itself has passed, and what queued up meanwhile is through."""
        if any(not task.done() for task in self._passing):
            await asyncio.wait(self._passing, timeout=HEALED_WITHIN)
            await asyncio.sleep(DRAINED)

    async def over(self) -> None:
        """All calls are: undo everything."""
        self._home.calls_are_over.set()
        if tasks := [*self._passing, *self._lasting]:
            await asyncio.wait(tasks, timeout=HEALED_WITHIN)
        self.failed += [f"{task.get_name()} was never undone" for task in tasks if not task.done()]

    async def _strike(self, name: str) -> None:
        fault = FAULTS[name]
        async with self._locks[fault.target]:
            began = time.time()
            try:
                await strike(fault, self._home)
            except Exception as error:
                self.failed.append(f"{name}: {type(error).__name__}: {error}")
            self.struck.append(Struck(name, began, time.time(), frozenset(fault.blinds)))


async def run(schedule: Schedule, keep: Path) -> Outcome:
    """Do it; the logs of a run that broke a law are kept below `keep`."""
    began = time.monotonic()
    needs = {need for each in schedule.strikes for need in FAULTS[each.fault].needs}
    async with house(schedule.house, needs, schedule.seed) as home:
        after, found = await _played(home, schedule)
        processes = await _end(home)
        after = replace(after, processes=processes)
        found += broken(after)
        if found:
            await asyncio.to_thread(_keep, home, after, keep)
    fates: dict[str, int] = {}
    for line in after.lines:
        answer = " ".join(filter(None, (line["fate"], line["reason"])))
        fates[answer] = fates.get(answer, 0) + 1
    return Outcome(schedule, found, time.monotonic() - began, fates)


async def _played(home: House, schedule: Schedule) -> tuple[Aftermath, list[str]]:
    """From the first ring until all is quiet; what is left, and what kept us from looking."""
    drama, chance = Drama(home, schedule), random.Random(schedule.seed)
    first = Call(home, 0, is_patient=True)
    others = [Call(home, 1 + number, is_patient=False) for number in range(BESIDE)]
    waits = [chance.uniform(*APART) for _ in others]
    await asyncio.gather(
        _first(first, drama),
        *(_later(call, wait) for call, wait in zip(others, waits, strict=True)),
    )
    await drama.over()
    deaths = await _resurrect(home)
    restless = await until_quiet(home)
    after = await look(home, [call.told for call in (first, *others)], drama.struck)
    unsealed = [words for words in restless if words.endswith("not sealed")]
    found = [*drama.failed, *unsealed]
    return replace(after, deaths=deaths), found


async def _first(call: Call, drama: Drama) -> None:
    await call.run(drama.reached, drama.healed)
    await call.watch(drama.reached)


async def _later(call: Call, wait: float) -> None:
    await asyncio.sleep(wait)
    await call.run(_nothing_happens, _at_once)


async def _nothing_happens(stage: Stage) -> None:
    """Only the first call moves faults."""


async def _at_once() -> None:
    """Who is not patient waits for nobody."""


async def _resurrect(home: House) -> list[str]:
    """Start whoever ended by itself, as a supervisor would; who that was."""
    dead = [name for name, server in home.servers.items() if not server.is_running]
    for name in dead:
        with contextlib.suppress(ServerFailed):
            await start(home.servers[name])
    return dead


async def _end(home: House) -> list[str]:
    """Ask our processes to end; those below them that do not."""
    ours = await asyncio.to_thread(family, home)
    for name in home.ours:
        await home.servers[name].stop(ENDED_WITHIN)
    _, alive = await asyncio.to_thread(psutil.wait_procs, ours, ENDED_WITHIN)
    return [" ".join(process.cmdline()) for process in alive if process.is_running()]


def _keep(home: House, after: Aftermath, keep: Path) -> None:
    """Copy the logs and the journals, and write down what was looked at."""
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir(parents=True)
    facts = json.dumps(asdict(after), indent=1, default=sorted)
    (keep / "aftermath.json").write_text(facts)
    for name, server in home.servers.items():
        with contextlib.suppress(OSError):
            shutil.copy(server.log, keep / f"{name}.log")
    for journal in (home.manager.recordings / FOLDER).glob(f"*/{JOURNAL}"):
        shutil.copy(journal, keep / f"{journal.parent.name}.jsonl")

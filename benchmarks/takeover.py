"""How soon another recorder goes on where one was killed, and how much of the call is lost."""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time

from benchmarks.figures import Figure
from benchmarks.premises import say
from egress_manager.audio.source import CaptureFiles
from egress_manager.domain.captures import FOLDER
from lab import sounds
from lab.manager import Facts, Worker
from lab.phones import Agent, Phone
from lab.servers import Mongod
from tests.e2e.clusters import Cluster, cluster

METHOD = (
    "Two recorders, a process for the jobs and one for the API; a call, and in the middle of it "
    "the recorder that captures it is killed with -9. On one host both work on the same "
    "directory, on two hosts each has its own. Until the other one hears: from the kill to media "
    "in its journal. Lost: the longest hole of the finished recording. The killed recorder is "
    "started again before the next call."
)
RUNS, QUICK_RUNS = 20, 3
#: At most so much may be missing. Seconds.
MOST_LOST = 3.0
FINISH_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one call. Seconds."""

    heard_after: float
    lost: float


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """On one host, and from host to host."""
    runs = QUICK_RUNS if quick else RUNS
    for where, directories in (("on one host", ("one", "one")), ("on two hosts", ("one", "two"))):
        say(f"{runs} recorders killed {where}")
        with tempfile.TemporaryDirectory(prefix="benchmark-takeover-") as here:
            paths = [Path(here) / name for name in directories]
            async with Mongod() as mongod, cluster(mongod, "takeover", paths) as processes:
                taken = [await one(processes, number) for number in range(runs)]
        for figure in figures(where, taken):
            yield figure


async def one(processes: Cluster, number: int) -> Taken:
    """A call whose recorder dies."""
    room, livekit = f"takeover-{number}", processes.home.livekit
    async with (
        Agent(livekit, room, identity="agent"),
        Phone(livekit, room, number=f"+1555{number:04}") as phone,
    ):
        first = await _talk_until_held(processes, phone, room)
        await phone.say(sounds.speech(2.0, seed=number))
        killed_at = time()
        await first.kill()
        await _talk_until_held(processes, phone, room, but=first)
        await phone.say(sounds.speech(1.0, seed=number))
        await first.start()
        await phone.hang_up()
    recording = await processes.home.manager.recording(
        "completed", caller_number=phone.number, timeout=FINISH_TIMEOUT
    )
    taken = Taken(_heard_at(processes, recording) - killed_at, _longest_hole(recording))
    say(f"run {number + 1}: heard after {taken.heard_after:.2f} s, lost {taken.lost:.2f} s")
    return taken


async def _talk_until_held(
    processes: Cluster, phone: Phone, room: str, but: Worker | None = None
) -> Worker:
    finding = asyncio.create_task(processes.holder(room, but))
    while not finding.done():
        await phone.say(sounds.speech(0.5))
    return await finding


def _heard_at(processes: Cluster, recording: Facts) -> float:
    """When media came to the capture that went on."""
    last = max(recording["captures"])
    (directory,) = {
        each.recordings / FOLDER / last
        for each in processes.recorders
        if (each.recordings / FOLDER / last).exists()
    }
    capture = CaptureFiles(directory)
    capture.read()
    return next(each.at for each in capture.story.connections if each.state == "media")


def _longest_hole(recording: Facts) -> float:
    """Seconds for which nothing was kept of somebody who spoke."""
    return max((hole["end_sec"] - hole["start_sec"] for hole in recording["holes"]), default=0.0)


def figures(where: str, taken: Sequence[Taken]) -> Iterator[Figure]:
    """The worst of all runs, for none may lose more; the median beside it."""
    after, lost = [each.heard_after for each in taken], [each.lost for each in taken]
    raw = {
        "runs": len(taken),
        "lost, median s": round(statistics.median(lost), 2),
        "until the other one hears, median s": round(statistics.median(after), 2),
        "worst s": round(max(after), 2),
    }
    yield Figure(
        name=f"lost of a call whose recorder was killed, {where}",
        value=round(max(lost), 2),
        unit="s",
        at_most=MOST_LOST,
        beside=raw,
    )

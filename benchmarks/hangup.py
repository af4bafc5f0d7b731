"""How long one waits for the finished mix after the caller has hung up."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.premises import LOOK, Premises, premises, say
from benchmarks.scenes import GREETING, dialogue, identity
from lab.theatre import Stage

METHOD = (
    "Three calls of three minutes, hung up 8 s apart; from the phone's leaving (as it tells "
    "itself) to the moment a look into the database, every 10 ms, finds `completed` and the file "
    "is there; the median and the worst."
)
CALLS, APART = 3, 8.0
SECONDS, QUICK_SECONDS = 180.0, 20.0
PREPARES = 6.0


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Place the calls, and watch for each recording."""
    seconds = QUICK_SECONDS if quick else SECONDS
    waits = await waited(seconds)
    yield Figure(
        name="hang-up to the finished mix",
        value=round(statistics.median(waits), 2),
        unit="s",
        at_most=1.0,
        beside={
            "all, s": [round(wait, 2) for wait in waits],
            "seconds of each call": seconds + GREETING,
        },
    )


async def waited(seconds: float) -> list[float]:
    """For each call, seconds from the phone's leaving to the finished file."""
    numbers = range(1, CALLS + 1)
    parts = [
        part
        for call in numbers
        for part in dialogue(call, begins_at=PREPARES + APART * (call - 1), seconds=seconds)
    ]
    say(f"{CALLS} calls of {seconds + GREETING:g} s")
    async with premises() as here, Stage(here.livekit, parts) as stage:
        deadline = time.monotonic() + PREPARES + APART * CALLS + seconds + 60
        finished = await asyncio.gather(
            *(finished_at(here, f"call-{call}", deadline) for call in numbers)
        )
        await stage.over()
        left = [await stage.reached("left", who=identity(call)) for call in numbers]
    return [at - report["at"] for at, report in zip(finished, left, strict=True)]


async def finished_at(here: Premises, room: str, deadline: float) -> float:
    """When the recording of a room is completed and its file is there (seconds since 1970)."""
    recordings, wanted = here.database["recordings"], {"room_name": room, "status": "completed"}
    while (recording := await recordings.find_one(wanted, {"filepath": 1})) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{room} is not finished\n{here.manager.log_tail()}")
        await asyncio.sleep(LOOK)
    if not Path(recording["filepath"]).exists():  # noqa: ASYNC240 - a local file, asked for once
        raise TimeoutError(f"{room} is completed, and its file is not there")
    return time.time()

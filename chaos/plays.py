"""Many runs, each in a process of its own, a few at a time."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from chaos.disks import give_back
from chaos.schedule import Schedule
from lab.programs import ROOT

Result = dict[str, Any]
#: A run that takes longer hangs. Seconds.
RUN_TIMEOUT: Final = 420.0
#: What a run says when a fault can't be made on this machine.
LEFT_OUT: Final = 2
_TAIL: Final = 1500


async def play(schedules: Iterable[Schedule], workers: int) -> AsyncIterator[Result]:
    """Their results, as they come; see `Outcome.facts`."""
    waiting = iter(schedules)
    running: set[asyncio.Task[Result]] = set()
    try:
        while True:
            while len(running) < workers and (schedule := next(waiting, None)) is not None:
                running.add(asyncio.create_task(_play(schedule)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _play(schedule: Schedule) -> Result:
    """One run; what it leaves on the machine is removed, however it ended."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chaos", "run", *schedule.words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(directory)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT):
            out, err = await process.communicate()
    except TimeoutError:
        out, err = b"", b"the run itself hangs"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await asyncio.to_thread(_tidy, directory)
    return _result(schedule, process.returncode, out, err, time.monotonic() - began)


def _result(schedule: Schedule, code: int | None, out: bytes, err: bytes, seconds: float) -> Result:
    lines = out.decode(errors="replace").splitlines()
    if lines and lines[-1].startswith("{"):
        return dict(json.loads(lines[-1]))
    said = err.decode(errors="replace").strip()[-_TAIL:]
    return {
        "seed": schedule.seed,
        "schedule": str(schedule),
        "command": schedule.command,
        "broken": [] if code == LEFT_OUT else [f"the run came to nothing: {said}"],
        "left_out": said if code == LEFT_OUT else "",
        "seconds": round(seconds, 1),
        "fates": {},
    }


def _tidy(directory: Path) -> None:
    for place in directory.glob("*/disk"):
        if os.path.ismount(place):
            give_back(place)
    shutil.rmtree(directory, ignore_errors=True)


def read_results(file: Path) -> list[Result]:
    """What a results file has; a torn last line is passed over."""
    results = []
    if file.exists():
        for line in file.read_text().splitlines():
            with contextlib.suppress(ValueError):
                results.append(json.loads(line))
    return results


def table(results: Sequence[Result]) -> str:
    """What came of each, the broken ones last with all that was broken."""
    lines = []
    for result in sorted(results, key=lambda r: (bool(r["broken"]), r["schedule"])):
        mark = "FAIL" if result["broken"] else "left out" if result.get("left_out") else "ok"
        fates = ", ".join(f"{count} {fate}" for fate, count in sorted(result["fates"].items()))
        lines.append(f"{mark:8}  {result['seconds']:6.1f} s  {result['schedule']}  {fates}")
        if result["broken"]:
            lines += [f"            {words}" for words in result["broken"]]
            lines.append(f"            repeat it: {result['command']}")
    return "\n".join(lines)

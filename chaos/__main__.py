"""`python -m chaos matrix|random|run`: break things on purpose, and look what is left."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from chaos.clocks import NoClock
from chaos.faults import FAULTS
from chaos.matrix import matrix
from chaos.plays import LEFT_OUT, play, read_results, table
from chaos.run import run
from chaos.schedule import BUILTIN, HOUSES, Schedule, Strike, drawn
from lab.disk import NoDisk
from lab.programs import ROOT, ProgramMissing

#: Where runs that broke a law leave their logs, and the results of random ones are.
KEEP: Final = ROOT / ".chaos"
RESULTS: Final = KEEP / "random.jsonl"
#: Most of a run is waiting.
WORKERS: Final = 5


def main() -> int:
    """The exit code: 1 where a law was broken, 2 where a fault can't be made on this machine."""
    given = _arguments()
    KEEP.mkdir(exist_ok=True)
    return int(given.do(given))


def _run(given: argparse.Namespace) -> int:
    """One run, in this process."""
    schedule = Schedule(tuple(given.strikes), given.house, given.seed)
    name = "+".join([*map(str, schedule.strikes), schedule.house, str(schedule.seed)])
    try:
        outcome = asyncio.run(run(schedule, KEEP / name))
    except (NoDisk, NoClock, ProgramMissing) as missing:
        print(f"left out: {missing}", file=sys.stderr)
        return LEFT_OUT
    print(json.dumps(outcome.facts()))
    for words in outcome.broken:
        print(words, file=sys.stderr)
    if outcome.broken:
        print(f"logs: {KEEP / name}\nrepeat it: {schedule.command}", file=sys.stderr)
    return 1 if outcome.broken else 0


def _matrix(given: argparse.Namespace) -> int:
    """Every fault; or those whose names have one of the words in them."""
    every = matrix(everywhere=given.everywhere)
    wanted = [s for s in every if not given.only or any(w in str(s) for w in given.only)]
    return asyncio.run(_play(wanted, given.workers, given.results))


def _random(given: argparse.Namespace) -> int:
    """Seeded pairs."""
    fits = {name: fault.houses for name, fault in FAULTS.items()}
    seeds = range(given.seed, given.seed + given.runs)
    wanted = [drawn(seed, fits) for seed in seeds]
    return asyncio.run(_play(wanted, given.workers, given.results))


async def _play(wanted: Iterable[Schedule], workers: int, file: Path | None) -> int:
    """Run all that the file does not have, and say how far it is; the exit code of them all."""
    task = asyncio.current_task()
    if task is not None:  # what runs is ended and tidied away, as after Ctrl-C
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    wanted = list(wanted)
    kept = {each["command"]: each for each in read_results(file)} if file is not None else {}
    results = [kept[schedule.command] for schedule in wanted if schedule.command in kept]
    rest = [schedule for schedule in wanted if schedule.command not in kept]
    async for result in play(rest, workers):
        results.append(result)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as added:
                added.write(json.dumps(result) + "\n")
        failed = sum(bool(each["broken"]) for each in results)
        said = f"{len(results)}/{len(wanted)}, {failed} failed"
        print(f"{said}: {table([result])}", file=sys.stderr, flush=True)
    print(table(results))
    print(f"{len(results)} runs, {sum(bool(each['broken']) for each in results)} failed")
    return 1 if any(result["broken"] for result in results) else 0


def _strike(text: str) -> Strike:
    found = Strike.read(text)
    if found.fault not in FAULTS:
        raise argparse.ArgumentTypeError(f"no fault {found.fault!r}; there are {', '.join(FAULTS)}")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("run", help="one run, of the faults that are named")
    one.add_argument("strikes", nargs="*", type=_strike, metavar="FAULT@STAGE")
    one.add_argument("--house", choices=HOUSES, default=BUILTIN)
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(do=_run)
    every = verbs.add_parser("matrix", help="every fault at its telling stages, once each")
    every.add_argument("only", nargs="*", help="words that the names of faults or stages have")
    every.add_argument("--everywhere", action="store_true", help="at every stage of a call")
    every.set_defaults(do=_matrix, results=None)
    some = verbs.add_parser("random", help="pairs of faults, drawn from seeds")
    some.add_argument("--runs", type=int, default=20)
    some.add_argument("--seed", type=int, default=1, help="the first; each run has the next")
    some.set_defaults(do=_random, results=RESULTS)
    for several in (every, some):
        several.add_argument("--workers", type=int, default=WORKERS, help="runs at a time")
        several.add_argument(
            "--results", type=Path, help="one JSON object a line; what it has is not run again"
        )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

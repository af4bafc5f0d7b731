"""`python -m benchmarks [NAME …] [--quick]`: measure, print, and write `benchmarks/README.md`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import uvloop

from benchmarks import (
    comeback,
    hangup,
    hostile,
    intake,
    joining,
    load,
    place,
    proof,
    soak,
    storm,
    takeover,
    verdicts,
)
from benchmarks.figures import Benchmark, Machine, Measured, load_average, today
from benchmarks.page import keep
from benchmarks.premises import say
from lab.processes import ServerFailed
from lab.programs import ProgramMissing

#: In the order in which they are run and shown.
BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "joining": Benchmark(joining.METHOD, joining.measure),
    "cpu": Benchmark(load.CPU_METHOD, load.cpu),
    "memory": Benchmark(load.MEMORY_METHOD, load.memory),
    "hangup": Benchmark(hangup.METHOD, hangup.measure),
    "intake": Benchmark(intake.METHOD, intake.measure),
    "hostile": Benchmark(hostile.METHOD, hostile.measure),
    "storm": Benchmark(storm.METHOD, storm.measure),
    "takeover": Benchmark(takeover.METHOD, takeover.measure),
    "comeback": Benchmark(comeback.METHOD, comeback.measure),
    "ending": Benchmark(comeback.ENDING_METHOD, comeback.ending),
    "soak": Benchmark(soak.METHOD, soak.measure),
    "place": Benchmark(place.METHOD, place.measure),
    "proof": Benchmark(proof.METHOD, proof.measure, binds=True),
    "verdicts": Benchmark(verdicts.METHOD, verdicts.measure, binds=True),
    "verification": Benchmark(proof.COST_METHOD, proof.cost),
}


async def run(names: Sequence[str], *, quick: bool) -> bool:
    """Measure one after another; whether all came to figures, and none misses what binds."""
    machine, is_all_well = str(Machine.here()), True
    for name in names:
        say(f"{name}: {BENCHMARKS[name].method}")
        command = f"python -m benchmarks {name}{' --quick' if quick else ''}"
        load, results = load_average(), []
        try:
            async for figure in BENCHMARKS[name].measure(quick=quick):
                results.append(Measured(name, figure, command, machine, load, today()))
                print(results[-1].to_json(), flush=True)
        except (ServerFailed, TimeoutError) as error:
            say(f"{name} came to nothing: {error}")
            is_all_well = False
        if broken := BENCHMARKS[name].broken(result.figure for result in results):
            say(f"{name} misses its target: {', '.join(broken)}")
            is_all_well = False
        keep(results, BENCHMARKS)
    return is_all_well


def main() -> int:
    """The exit code: 1 where something could not be measured, or a verdict is wrong.

    How fast and how large things are depends on the machine: there a missed target is a result.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="shorter, to see that it works")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    try:
        is_all_well = uvloop.run(run(given.names or list(BENCHMARKS), quick=given.quick))
    except ProgramMissing as error:
        say(str(error))
        return 1
    return 0 if is_all_well else 1


if __name__ == "__main__":
    sys.exit(main())

"""Results are kept in `results.jsonl`, and written as tables into `README.md` between two marks."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.figures import Benchmark, Figure, Measured

_HERE = Path(__file__).parent
PAGE, RESULTS = _HERE / "README.md", _HERE / "results.jsonl"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
_HEAD = ("figure", "measured", "target", "met", "raw figures", "load", "on")


def keep(new: Iterable[Measured], benchmarks: Mapping[str, Benchmark]) -> None:
    """Put new results in the place of older ones of the same name, and write the page anew.

    A quick one never replaces one that took its time.
    """
    known = {result.key: result for result in _known()}
    for result in new:
        old = known.get(result.key)
        if old is None or old.is_quick or not result.is_quick:
            known[result.key] = result
    order = list(benchmarks)
    results = sorted(
        (result for result in known.values() if result.benchmark in benchmarks),
        key=lambda result: order.index(result.benchmark),
    )
    RESULTS.write_text("".join(result.to_json() + "\n" for result in results))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{_tables(results, benchmarks)}\n{END}{after}")


def _known() -> Iterator[Measured]:
    if RESULTS.exists():
        yield from map(Measured.from_json, RESULTS.read_text().splitlines())


def _tables(results: list[Measured], benchmarks: Mapping[str, Benchmark]) -> str:
    lines = []
    for name, group in groupby(results, lambda result: result.benchmark):
        rows = list(group)
        ways = sorted({f"`{row.command}` on {row.machine}" for row in rows})
        lines += [f"### {name}", "", benchmarks[name].method, "", *(f"{way}:" for way in ways), ""]
        lines += [_row(_HEAD), _row(["---"] * len(_HEAD))]
        lines += [_row(_cells(row)) for row in rows]
        lines.append("")
    return "\n".join(lines)


def _cells(measured: Measured) -> Iterator[str]:
    figure = measured.figure
    yield figure.name
    yield f"**{_number(figure.value)}** {figure.unit}".strip()
    yield _target(figure)
    yield {None: "", True: "yes", False: "**no**"}[figure.is_met]
    yield "; ".join(f"{name} {_number(value)}" for name, value in figure.beside.items())
    yield f"{measured.load}{' (quick)' if measured.is_quick else ''}"
    yield measured.at


def _target(figure: Figure) -> str:
    if figure.at_most is not None:
        return f"≤ {_number(figure.at_most)}"
    return "" if figure.at_least is None else f"≥ {_number(figure.at_least)}"


def _number(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_number, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

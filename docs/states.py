"""Writes what `docs/recordings.md` says about states from the tables in the code.

python -m docs.states        # writes it anew; a test fails where it has drifted
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from egress_manager.domain.findings import KINDS, Weight
from egress_manager.domain.recordings import DEADLINE, NEXT, RANK, STATUS, State

PAGE = Path(__file__).parent / "recordings.md"
END = "<!-- end of generated -->"

#: What a finding of each weight means for the verdict, and what a person makes of it.
WEIGHTS = {
    Weight.REJECTS: "the mix is `rejected`; a track's own file makes the recording `flawed`",
    Weight.FLAWS: "the recording is `flawed`",
    Weight.HIDES: "the verdict is `unheard`",
    Weight.NOTES: "none: it tells what the call was",
}


def page_with_states(page: str) -> str:
    """The page, with what stands between the marks written anew."""
    for name, text in (("states", states()), ("findings", findings())):
        begin = f"<!-- generated: {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(END)
        page = f"{before}{begin}\n\n{text}\n\n{END}{after}"
    return page


def findings() -> str:
    """Everything that can be found, by its weight."""
    rows = [
        f"| `{name}` | {kind.words} | {kind.unit} | {WEIGHTS[kind.weight]} |"
        for name, kind in KINDS.items()
    ]
    return "\n".join(["| finding | what it says | amount in | fault |", "|---|---|---|---|", *rows])


def states() -> str:
    """The diagram, and the table below it."""
    return "\n".join(["```mermaid", *_diagram(), "```", "", *_table()])


def _diagram() -> Iterator[str]:
    yield "flowchart LR"
    for state in State:
        left, right = ("[", "]") if DEADLINE[state] else ("([", "])")
        yield f"  {state}{left}{state}{right}"
    for before, after in _observed():
        yield f"  {before} --> {after}"
    for before, ways in NEXT.items():
        for after in sorted(ways, key=list(State).index):
            yield f"  {before} ==> {after}"


def _observed() -> Iterator[tuple[State, State]]:
    """What recorders report in the usual order: on to the end, then one of the outcomes."""
    by_rank = sorted(RANK, key=lambda state: RANK[state])
    on_the_way = by_rank[: by_rank.index(State.ENDING) + 1]
    yield from pairwise(on_the_way)
    for outcome in by_rank[len(on_the_way) :]:
        yield State.ENDING, outcome


def _table() -> Iterator[str]:
    yield "| state | public `status` | looked at again after |"
    yield "|---|---|---|"
    for state in State:
        wait = DEADLINE[state]
        yield f"| `{state}` | `{STATUS[state]}` | {_words(wait) if wait else 'never: final'} |"


def _words(wait: timedelta) -> str:
    seconds = int(wait.total_seconds())
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0 and seconds > length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


if __name__ == "__main__":
    PAGE.write_text(page_with_states(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

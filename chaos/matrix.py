"""Every fault at its telling stages, or at every one, once each: the same runs every time."""

from collections.abc import Iterator
from typing import Final

from chaos.faults import FAULTS, Fault
from chaos.schedule import EGRESS, SEVERAL, Schedule, Stage, Strike

#: Cheap ones that break something of every kind and hold on a busy machine: for `make test`.
FAST: Final = (
    Strike("kill-manager", Stage.TALKING),
    Strike("kill-mongod", Stage.RENDERING),
    Strike("cut-1", Stage.TALKING),
    Strike("webhooks-lost", Stage.RINGING),
)

#: What strikes in houses other than its first, too: there somebody else has LiveKit's lists, or
#: reads them.
ELSEWHERE: Final = (
    Schedule((Strike("lists-flushed", Stage.TALKING),), EGRESS),
    Schedule((Strike("lists-failed-over", Stage.TALKING),), EGRESS),
    Schedule((Strike("lists-flushed", Stage.TALKING),), SEVERAL),
    Schedule((Strike("lists-restarted-empty", Stage.TALKING),), SEVERAL),
)


def matrix(*, everywhere: bool = False) -> Iterator[Schedule]:
    """The longest first, so that the last ones to run are short.

    `everywhere`: at all stages, also where a fault tells little.
    """
    for name, fault in sorted(FAULTS.items(), key=lambda item: -(item[1].lasts or 0.0)):
        for stage in Stage if everywhere else fault.stages:
            yield alone(Strike(name, stage), fault)
    yield from ELSEWHERE


def alone(strike: Strike, fault: Fault) -> Schedule:
    """One fault, in the house that it is meant for most."""
    return Schedule((strike,), fault.houses[0])

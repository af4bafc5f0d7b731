"""A few of the faults that `make chaos` makes, each in a house of its own: no law is broken."""

import pytest

from chaos.faults import FAULTS
from chaos.matrix import FAST, alone
from chaos.plays import play, table

pytestmark = pytest.mark.builtin_only("what LiveKit Egress survives is in the matrix")

#: Phones that are starved say nothing whole: one run at a time leaves them a core.
AT_ONCE = 1


async def test_what_breaks_during_a_call_costs_nothing_that_was_kept() -> None:
    """The process, its store, its network and its news, one at a time."""
    schedules = [alone(strike, FAULTS[strike.fault]) for strike in FAST]
    results = [result async for result in play(schedules, AT_ONCE)]

    assert not [result for result in results if result["broken"]], table(results)
    assert len(results) == len(FAST)

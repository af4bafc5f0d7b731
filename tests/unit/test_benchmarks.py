"""Which targets of benchmarks have to be met, and on which a slow machine may fall short."""

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.figures import Figure
from benchmarks.proof import FALSE_ALARMS

MET = Figure(name="met", value=0.0, unit="%", at_most=0.0)
MISSED = Figure(name="missed", value=0.3, unit="%", at_most=0.0)
WITHOUT = Figure(name="without a target", value=7.0, unit="%")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_verdict_that_is_wrong_fails_the_benchmark(name):
    """Of speed and memory a missed target is a result like another."""
    binds = name in {"proof", "verdicts"}

    assert BENCHMARKS[name].broken([MET, MISSED, WITHOUT]) == (["missed"] if binds else [])


def test_no_clean_call_may_be_taken_for_a_faulty_one():
    """Not one in a hundred."""
    assert FALSE_ALARMS == 0

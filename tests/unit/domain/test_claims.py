"""Who is alive, by the beat of others and one's own watch; who takes what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.claims import (
    LAPSE,
    NOBODY,
    Presence,
    Pulses,
    felt,
    lapsed,
    others_who_record,
    takes_on,
    to_be_had,
)


def seen(*looks: tuple[float, list[Presence]], holders: tuple[str, ...] = ()) -> Pulses:
    """What is known after these looks."""
    pulses: Pulses = {}
    for moment, present in looks:
        pulses = felt(pulses, present, holders, (), moment)
    return pulses


def process(beat: int, **facts: bool) -> Presence:
    """The other process."""
    return Presence("other", "place", records=True, beat=beat, **facts)


def test_a_beat_that_goes_on_is_life_whatever_any_clock_says() -> None:
    """Only that it changes counts."""
    pulses = seen((0.0, [process(1)]), (LAPSE, [process(2)]), (2 * LAPSE, [process(3)]))

    assert lapsed(pulses, 2 * LAPSE) == set()


def test_a_beat_that_stands_still_lapses() -> None:
    """As long as that it is believed, and no longer."""
    pulses = seen((0.0, [process(1)]), (1.0, [process(1)]))

    assert lapsed(pulses, LAPSE - 0.01) == set()
    assert lapsed(pulses, LAPSE) == {"other"}


def test_a_process_that_is_seen_for_the_first_time_has_its_time() -> None:
    """However old its last beat may be: who has just come can't know."""
    pulses = seen((1000.0, [process(7)]))

    assert lapsed(pulses, 1000.0) == set()


def test_a_holder_whom_nobody_ever_saw_lapses_too() -> None:
    """Its process has left no other trace."""
    pulses = seen((0.0, []), (1.0, []), holders=("ghost", NOBODY))

    assert lapsed(pulses, LAPSE - 0.01) == set()
    assert lapsed(pulses, LAPSE) == {"ghost"}


def test_whose_end_this_host_knows_of_has_lapsed_at_once() -> None:
    """The kernel says so."""
    pulses = felt({}, [process(1)], (), {"other"}, 0.0)

    assert lapsed(pulses, 0.0) == {"other"}


def test_what_who_leaves_holds_is_to_be_had_although_it_lives() -> None:
    """So that somebody is there before it goes; and it gets nothing new."""
    pulses = seen((0.0, [process(1, is_leaving=True)]))

    assert lapsed(pulses, 0.0) == set()
    assert to_be_had(pulses, 0.0) == {"other", NOBODY}
    assert others_who_record(pulses, "me", 0.0) == ()


@pytest.mark.parametrize(
    ("me", "others", "takes"),
    [
        ({}, [], True),
        ({"is_full": True}, [], True),
        ({"is_full": True}, [{"is_full": True}], True),
        ({"is_full": True}, [{"is_full": True}, {}], False),
        ({"is_leaving": True}, [], False),
        ({"records": False}, [], False),
    ],
)
def test_who_is_full_takes_another_capture_only_where_all_are(
    me: dict[str, bool], others: list[dict[str, bool]], takes: bool
) -> None:
    """A call is never refused."""
    mine = Presence("me", "place", **({"records": True} | me))
    theirs = [Presence(f"P{n}", "place", **facts) for n, facts in enumerate(others)]

    assert takes_on(mine, theirs) is takes


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=50))
def test_nobody_lapses_whose_beat_changed_lately(
    looks: list[tuple[float, bool]],
) -> None:
    """Whatever the pace of the looks."""
    moment, beat, changed_at, pulses = 0.0, 0, 0.0, seen((0.0, [process(0)]))
    for wait, beats in looks:
        moment += wait
        if beats:
            beat, changed_at = beat + 1, moment
        pulses = felt(pulses, [process(beat)], (), (), moment)
        assert ("other" in lapsed(pulses, moment)) is (moment - changed_at >= LAPSE)

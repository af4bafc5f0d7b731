"""Moments as the stores keep them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.moments import as_stored, to_milliseconds
from egress_manager.domain.recordings import Event, Observation, Recording, State


@given(st.datetimes(timezones=st.timezones()))
def test_less_than_a_millisecond_is_cut_and_nothing_else(moment: datetime) -> None:
    """Once is enough, and the order of moments stays."""
    stored = to_milliseconds(moment)

    assert timedelta(0) <= moment - stored < timedelta(milliseconds=1)
    assert to_milliseconds(stored) == stored
    assert stored.tzinfo is UTC


def test_a_moment_without_a_zone_is_a_mistake() -> None:
    """Nobody knows when it was."""
    with pytest.raises(ValueError, match="time zone"):
        to_milliseconds(datetime(2026, 11, 22))  # noqa: DTZ001 - that is the point


def test_moments_are_cut_however_deep_they_lie() -> None:
    """In a recording's report, and in its history."""
    fine = datetime(2026, 11, 22, 13, 0, 0, 1_999, tzinfo=timezone(timedelta(hours=1)))
    plain = datetime(2026, 11, 22, 12, 0, 0, 1_000, tzinfo=UTC)

    stored = as_stored(
        Recording(
            "rec_1",
            "call_1",
            None,
            "builtin",
            "r",
            Observation(State.PLANNED, fine),
            fine,
            history=(Event("recording.planned", fine),),
        )
    )

    assert stored.seen.at == plain
    assert stored.created_at == plain
    assert stored.history == (Event("recording.planned", plain),)


def test_what_was_stored_once_is_returned_as_it_is() -> None:
    """Nothing is copied where nothing is cut: most that is written was read before."""
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    seen = Observation(State.PLANNED, at)
    stored = Recording("rec_1", "call_1", None, "builtin", "r", seen, at, history=(Event("e", at),))

    assert as_stored(stored) is stored

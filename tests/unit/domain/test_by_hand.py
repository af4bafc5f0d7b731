"""What by hand means for a recording: ids, begins and ends that hold whatever is told later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.domain.manual import Wish, as_recorded, id_by_key, next_id, stopped
from egress_manager.domain.naming import recording_id_of
from egress_manager.domain.recordings import MANUAL, Observation, Recording, State

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


ACTIVE = Recording(
    "rec_1",
    "call_1",
    "EG_1",
    "builtin",
    "palombia",
    Observation(State.ACTIVE, NOON),
    NOON,
    state=State.ACTIVE,
    started_at=at(20),
)
CALL = Call(
    "call_1",
    Room("palombia"),
    "sip_1",
    (Stay("PA_1"),),
    NOON,
    NOON,
    answered_at=at(5),
    status="active",
    recording_id="rec_1",
)

reports = st.builds(
    Observation,
    state=st.sampled_from(
        [State.STARTING, State.ACTIVE, State.ENDING, State.ABORTED, State.FAILED, State.CAPTURED]
    ),
    at=st.integers(0, 100).map(at),
    take=st.integers(0, 3),
)


@given(st.lists(reports))
def test_whatever_is_told_after_a_stop_no_further_take_begins(told: list[Observation]) -> None:
    """The caller may come back as often as it likes."""
    recording = stopped(ACTIVE, at(50)).observe(Observation(State.ENDING, at(50), "stopped"))
    for report in told:
        recording = recording.observe(report)

    assert recording.seen.take == 0
    assert not recording.is_going_on


def test_a_stop_is_noted_once() -> None:
    """And not at all where all is over."""
    once = stopped(ACTIVE, at(50))
    over = replace(ACTIVE, state=State.RENDERED)

    assert (once.stop_asked_at, once.stopped_at) == (at(50), at(50))
    assert stopped(once, at(60)) == once
    assert stopped(over, at(60)) == over


def test_a_stop_while_it_ends_keeps_its_end() -> None:
    """It only can't go on any more."""
    ending = replace(ACTIVE, state=State.ENDING, stopped_at=at(40))

    assert stopped(ending, at(50)) == replace(ending, stop_asked_at=at(50))


@pytest.mark.parametrize(
    ("left_at", "stop", "end"),
    [(None, None, None), (60, None, 60), (None, 50, 50), (60, 50, 50), (40, 50, 40)],
)
def test_a_call_is_recorded_until_its_end_or_the_stop(
    left_at: int | None, stop: int | None, end: int | None
) -> None:
    """Whichever comes first; and told twice it is the same."""
    call = replace(CALL, left_at=None if left_at is None else at(left_at))
    recording = replace(ACTIVE, stop_asked_at=None if stop is None else at(stop))
    recorded = as_recorded(call, recording)

    assert recorded.left_at == (None if end is None else at(end))
    assert recorded.joined_at == NOON
    assert as_recorded(recorded, recording) == recorded


def test_a_call_is_recorded_from_the_start_by_hand_on() -> None:
    """Not from its own."""
    assert as_recorded(CALL, replace(ACTIVE, source=MANUAL)).joined_at == at(20)


@pytest.mark.parametrize(("stop", "was_answered"), [(4, False), (6, True)])
def test_an_answer_after_the_stop_is_none(stop: int, was_answered: bool) -> None:
    """What was recorded is ringing."""
    recording = replace(ACTIVE, stop_asked_at=at(stop))

    assert as_recorded(CALL, recording).was_answered is was_answered


def test_ids_are_those_of_recordings_and_differ() -> None:
    """By key, by room, by identity, and by what was before."""
    wish, other = Wish("palombia"), Wish("palombia", "fantasio")
    ids = [
        id_by_key("houba"),
        id_by_key("hop"),
        next_id(wish, None),
        next_id(other, None),
        next_id(wish, ACTIVE),
    ]

    assert len(set(ids)) == len(ids)
    assert [recording_id_of(f"x-{each}.mp4") for each in ids] == ids

"""Which calls are recorded, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.policy import REASONS, Engine, Policy, Scope, decide


def test_all_calls_are_recorded_unless_something_else_is_said() -> None:
    """The default of a recorder is to record."""
    decision = decide(Policy(), "friday-assistant-room")

    assert decision.record
    assert decision.reason == "policy_all"


def test_recording_can_be_switched_off() -> None:
    """And the call says that this is why."""
    decision = decide(Policy(Scope.NONE, rooms=("*",)), "friday-assistant-room")

    assert not decision.record
    assert decision.words == "recording is switched off"


@pytest.mark.parametrize(
    ("room_name", "recorded"),
    [
        ("call-1", True),
        ("desk-7", True),
        ("desk-77", False),
        ("CALL-1", False),
        ("my-call-1", False),
        ("", False),
    ],
)
def test_rooms_are_recorded_that_match_a_pattern(room_name: str, recorded: bool) -> None:
    """The whole name matches, upper and lower case being different."""
    policy = Policy(Scope.ROOMS, rooms=("call-*", "desk-[0-9]"))

    decision = decide(policy, room_name)

    assert decision.record is recorded
    assert decision.reason == ("policy_room_matches" if recorded else "policy_room_differs")


@given(st.sampled_from(Scope), st.lists(st.text()), st.text())
def test_every_decision_has_a_reason_with_words(
    scope: Scope, rooms: list[str], room_name: str
) -> None:
    """Whatever the patterns and the room are called."""
    decision = decide(Policy(scope, tuple(rooms)), room_name)

    assert decision.reason in REASONS
    assert decision.words


@pytest.mark.parametrize(
    ("engine", "room_name", "by"),
    [
        (Engine.BUILTIN, "call-1", Engine.BUILTIN),
        (Engine.BUILTIN, "video-1", Engine.EGRESS),
        (Engine.EGRESS, "call-1", Engine.EGRESS),
        (Engine.EGRESS, "video-1", Engine.BUILTIN),
    ],
)
def test_some_rooms_are_recorded_by_the_other_engine(
    engine: Engine, room_name: str, by: Engine
) -> None:
    """Whichever is the rule of the house."""
    policy = Policy(engine=engine, other_engine_rooms=("video-*",))

    assert decide(policy, room_name).engine is by

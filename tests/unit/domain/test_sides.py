"""Who is heard on which side of the mix."""

from dataclasses import replace

import pytest

from egress_manager.domain.captures import ParticipantChanged, ParticipantGone, Story
from egress_manager.domain.recordings import RenderPlan
from egress_manager.domain.sides import sides

AT = 1_790_000_000.0
PLAN = RenderPlan("rec_1", ("c",), ("PA_1", "PA_1b"), AT, AT + 60, "m.mp4", "{track_id}.ogg")


def story(*entries) -> Story:
    """A story of those entries."""
    told = Story()
    told.tell(entries)
    return told


def someone(sid: str, at: float = AT, **more) -> ParticipantChanged:
    """A participant, who is called like its sid."""
    return ParticipantChanged(at, sid, sid.lower(), **more)


def test_the_caller_is_left_and_everyone_else_right():
    """A caller who comes back has two stays; a recorder is nowhere."""
    told = story(
        someone("PA_1"),
        someone("PA_2"),
        someone("PA_1b", AT + 9),
        someone("PA_r", is_recorder=True),
    )

    seats = sides([told], PLAN)

    assert (seats.left, seats.right) == (("PA_1", "PA_1b"), ("PA_2",))
    assert seats.left_out == {"PA_r": "recorder"}
    assert [seats.of(sid) for sid in ("PA_1b", "PA_2", "PA_r")] == ["left", "right", None]


def test_another_caller_in_the_room_is_right_unless_the_plan_says_no():
    """A setting leaves other callers of a shared room out."""
    told = story(someone("PA_1"), someone("PA_9"))
    plan = replace(PLAN, other_caller_sids=("PA_9",))

    assert sides([told], plan).right == ("PA_9",)
    without = sides([told], replace(plan, include_other_callers=False))
    assert (without.right, without.left_out) == ((), {"PA_9": "other_caller"})


def test_who_left_before_or_came_after_is_not_in_the_mix():
    """One capture may serve several calls."""
    told = story(
        someone("PA_1"),
        someone("PA_early", AT - 50),
        ParticipantGone(AT - 1, "PA_early", "pa_early"),
        someone("PA_late", AT + 61),
    )

    assert sides([told], PLAN).left_out == {"PA_early": "not_there", "PA_late": "not_there"}


PHONE, BROWSER = {"kind": "SIP"}, {"kind": "STANDARD"}


def test_without_a_call_whoever_has_the_identity_is_left():
    """In every stay; everybody else is right, callers too."""
    plan = replace(PLAN, caller_sids=(), left_identity="pa_2")
    back = ParticipantChanged(AT + 9, "PA_2b", "pa_2")
    seats = sides([story(someone("PA_1", **PHONE), someone("PA_2"), back)], plan)

    assert (seats.left, seats.right) == (("PA_2", "PA_2b"), ("PA_1",))


def test_of_a_room_all_callers_are_left():
    """Agents and people in browsers right."""
    people = (someone("PA_1", **PHONE), someone("PA_2", **BROWSER), someone("PA_3", kind="AGENT"))
    seats = sides([story(*people)], replace(PLAN, caller_sids=(), of_room=True))

    assert (seats.left, seats.right) == (("PA_1",), ("PA_2", "PA_3"))


@pytest.mark.parametrize("kind", [PHONE, BROWSER])
def test_of_a_room_where_one_side_would_have_nobody_everybody_is_on_both(kind):
    """Nobody should have to listen with one ear."""
    people = (someone("PA_1", **kind), someone("PA_2", **kind))
    seats = sides([story(*people)], replace(PLAN, caller_sids=(), of_room=True))

    assert (seats.left, seats.right) == (("PA_1", "PA_2"), ("PA_1", "PA_2"))
    assert seats.of("PA_2") == "both"

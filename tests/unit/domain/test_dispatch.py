"""From one room to one per call: what is changed of dispatch rules, what stays, what to mind."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from egress_manager.domain.dispatch import (
    Change,
    DispatchRule,
    Kind,
    Standing,
    cautions,
    check_prefix,
    differences,
    plan,
    rule_of,
    standing,
)
from egress_manager.domain.policy import Policy, Scope
from egress_manager.errors import BadRequest, NotFound
from egress_manager.testing import MemoryDispatchRules
from tests.unit.migration.memory import direct

with_room = partial(MemoryDispatchRules().with_room_per_call, prefix="call-")


def rule(rule_id: str = "SDR_1", kind: str = "direct", **more: Any) -> DispatchRule:
    """A rule of that kind."""
    inner = {"room_name": "friday"} if kind == "direct" else {"room_prefix": "call-"}
    inner |= more.pop("inner", {})
    facts = {"sip_dispatch_rule_id": rule_id, "rule": {f"dispatch_rule_{kind}": inner}, **more}
    return rule_of(facts, b"whole", str(facts))


def test_direct_rules_are_changed_and_others_left_alone_with_a_reason() -> None:
    """Whatever is there, every rule is spoken of."""
    rules = [rule("A"), rule("B", "individual"), rule("C", "callee"), rule("D", "unheard_of")]

    planned = plan(rules, (), with_room)

    assert [change.before.id for change in planned.changes] == ["A"]
    assert [change.after.kind for change in planned.changes] == [Kind.INDIVIDUAL]
    assert {left.rule.id for left in planned.left_alone} == {"B", "C", "D"}
    assert all(left.why for left in planned.left_alone)


def test_rules_that_still_let_calls_meet_are_said_to() -> None:
    """Without its random part, a room's name is the same for two calls of one number."""
    rules = [
        rule("A", "individual", inner={"no_randomness": True}),
        rule("B", "callee"),
        rule("C", "callee", inner={"randomize": True}),
    ]

    meet = {left.rule.id: "meet" in left.why for left in plan(rules, (), with_room).left_alone}

    assert meet == {"A": True, "B": True, "C": False}


def test_ids_restrict_the_plan() -> None:
    """Others are not even spoken of."""
    planned = plan([rule("A"), rule("B"), rule("C", "callee")], ("B",), with_room)

    assert [change.before.id for change in planned.changes] == ["B"]
    assert not planned.left_alone


def test_a_rule_that_there_is_not_is_an_error() -> None:
    """A slip of the pen must not look like a rule that needs nothing."""
    with pytest.raises(NotFound, match="SDR_9"):
        plan([rule("A")], ("SDR_9",), with_room)


def test_a_rule_of_an_unknown_kind_is_refused_where_it_is_asked_for() -> None:
    """What is not understood is not touched."""
    strange = replace(rule("A"), kind=Kind.UNKNOWN)

    with pytest.raises(BadRequest, match="does not know its kind"):
        plan([strange], ("A",), with_room)


def test_what_is_not_understood_has_an_unknown_kind() -> None:
    """Though its facts look like a kind that we know."""
    facts = direct()

    assert rule_of(facts, b"", "").kind is Kind.DIRECT
    assert rule_of(facts, b"", "", is_understood=False).kind is Kind.UNKNOWN


@pytest.mark.parametrize("prefix", ["call-", "c", "a.b_c-1", "x" * 32])
def test_prefixes_that_rooms_files_and_patterns_can_bear(prefix: str) -> None:
    """They come back as they are."""
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["", "-call", "../call", "a b", "call*", "x" * 33, "ä", "a\n"])
def test_prefixes_that_nothing_should_bear(prefix: str) -> None:
    """With a sentence that says which would do."""
    with pytest.raises(BadRequest, match="prefix"):
        check_prefix(prefix)


def test_differences_name_what_changes_and_nothing_else() -> None:
    """Field by field, in LiveKit's own words."""
    before = rule(attributes={"tenant": "acme"}, trunk_ids=["ST_1"])

    found = list(differences(before, with_room(before)))

    assert [(each.field, each.before, each.after) for each in found] == [
        ("rule.dispatch_rule_direct.room_name", "friday", None),
        ("rule.dispatch_rule_individual.room_prefix", None, "call-"),
    ]


def test_secrets_are_masked_in_differences() -> None:
    """A PIN is not for the terminal, nor for whoever reads its scrollback."""
    before = rule(inner={"pin": "4711"})

    shown = str(list(differences(before, with_room(before))))

    assert "dispatch_rule_individual.pin" in shown
    assert "4711" not in shown


def test_a_difference_that_we_cannot_name_is_told_all_the_same() -> None:
    """Rules that differ in fields which are newer than we are."""
    one = rule()

    assert [each.after for each in differences(one, replace(one, mark="other"))] == ["different"]
    assert not list(differences(one, one))


def said(before: DispatchRule, policy: Policy | None = None) -> str:
    """All that is to be minded."""
    return "\n".join(cautions([Change(before, with_room(before))], policy or Policy()))


def test_cautions_say_how_rooms_will_be_called_and_who_looks_for_the_old_one() -> None:
    """And that an agent has to be named, or to come unasked."""
    told = said(rule())

    assert "call-_<number>_<random>" in told
    assert "what knows friday by name" in told
    assert "room_config.agents" in told
    assert "PIN" not in told


def test_cautions_are_only_those_that_apply() -> None:
    """A rule that names its agent and hides numbers."""
    told = said(rule(room_config={"agents": [{"agent_name": "a"}]}, hide_phone_number=True))

    assert "room_config.agents" not in told
    assert "call-_<last digits>_<random>" in told


def test_callers_who_met_by_pin_will_not_any_more() -> None:
    """A direct rule with a PIN is a conference."""
    assert "callers who met in friday" in said(rule(inner={"pin": "4711"}))


@pytest.mark.parametrize(
    ("policy", "is_warned"),
    [
        (Policy(), False),
        (Policy(Scope.NONE), False),
        (Policy(Scope.ROOMS, ("friday",)), True),
        (Policy(Scope.ROOMS, ("friday", "call-*")), False),
        (Policy(Scope.ROOMS, ("monday",)), False),
    ],
)
def test_a_policy_that_would_miss_the_new_rooms_is_warned_of(
    policy: Policy, is_warned: bool
) -> None:
    """Calls that are recorded now, and would not be then."""
    assert ("would not be recorded" in said(rule(), policy)) is is_warned


def test_a_policy_by_which_another_engine_would_record_is_warned_of() -> None:
    """Patterns of rooms decide who records, too."""
    told = said(rule(), Policy(other_engine_rooms=("call-*",)))

    assert "would be recorded by egress, no longer by builtin" in told
    assert "recorded by" not in said(rule(), Policy(other_engine_rooms=("call-*", "friday")))


def test_how_a_rule_stands_is_told_by_its_mark() -> None:
    """As before, as we made it, as somebody else did, or gone."""
    before = rule()
    change = Change(before, with_room(before))

    assert standing(change, before) is Standing.AS_BEFORE
    assert standing(change, change.after) is Standing.AS_CHANGED
    assert standing(change, replace(before, mark="other")) is Standing.CHANGED_SINCE
    assert standing(change, None) is Standing.GONE

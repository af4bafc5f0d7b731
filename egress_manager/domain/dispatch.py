"""SIP trunks and dispatch rules, and the way from one fixed room to a room for each call.

A rule of the direct kind leads every call into one room, an individual one makes a room for each
call. Only direct rules are changed, each as a whole: everything else that LiveKit keeps in a rule
stays as it is, also what this version does not know.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from egress_manager.domain.calls import Direction
from egress_manager.domain.policy import Policy, decide
from egress_manager.errors import BadRequest, NotFound

#: Where is kept what rules were, below the recordings directory.
FOLDER: Final = ".sip"

#: A rule in LiveKit's own words (protobuf JSON, with the fields' names as in the .proto files).
Facts = Mapping[str, Any]

#: What rooms are called in front of the caller's number, unless said otherwise.
PREFIX: Final = "call-"

#: A room that LiveKit could make: prefix, the caller's number, and something random.
_EXAMPLE: Final = "{prefix}_+15550100_vL8kPq2sTn4x"

_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")

#: Fields that nobody should read over a shoulder, by the last part of their names.
_SECRET: Final = re.compile(
    r"(^|[._])(pin|password|secret|secret_key|access_key|account_key|session_token|credentials)$"
)

#: Shown in the place of a secret.
_MASK: Final = "********"


class Kind(StrEnum):
    """How a dispatch rule finds the room of a call."""

    DIRECT = "direct"
    INDIVIDUAL = "individual"
    CALLEE = "callee"
    UNKNOWN = "unknown"


#: Why a rule is left as it is, by its kind.
LEFT_ALONE: Final[Mapping[Kind, str]] = {
    Kind.INDIVIDUAL: "it makes a room for each caller already",
    Kind.CALLEE: "it makes rooms by the number that was called",
    Kind.UNKNOWN: "this version does not know its kind: change it by hand, or upgrade",
}

#: Added where rooms have no random part, so that two calls can meet in one.
_CALLS_MEET: Final = "; two calls of one number at a time meet in one room"


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP trunk; `addresses` are those that may call (inbound), or the one called (outbound)."""

    id: str
    direction: Direction
    name: str
    numbers: tuple[str, ...]
    addresses: tuple[str, ...]
    has_password: bool


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """A SIP dispatch rule.

    `room` is the room's name, or for other kinds than direct the prefix of the rooms' names.
    `calls_meet` says whether two calls can come to be in one room. `message` is the whole of it as
    LiveKit sends it, `facts` the same in words, as far as this version knows the fields; `mark` is
    the same for the same rule, whenever it was stored.
    """

    id: str
    name: str
    kind: Kind
    room: str
    has_pin: bool
    hides_numbers: bool
    calls_meet: bool
    trunk_ids: tuple[str, ...]
    numbers: tuple[str, ...]
    inbound_numbers: tuple[str, ...]
    agents: tuple[str, ...]
    message: bytes
    facts: Facts
    mark: str

    @property
    def called(self) -> str:
        """What people call it."""
        return f"{self.name} ({self.id})" if self.name else self.id


@dataclass(frozen=True, slots=True)
class Change:
    """A rule as it is, and as it shall be."""

    before: DispatchRule
    after: DispatchRule


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A rule that stays as it is, and why."""

    rule: DispatchRule
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what is not."""

    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a rule that changes; None where it is not set. Secrets are masked."""

    field: str
    before: str | None
    after: str | None


def rule_of(facts: Facts, message: bytes, mark: str, *, is_understood: bool = True) -> DispatchRule:
    """A rule in our words, from LiveKit's; `is_understood` false makes its kind unknown."""
    kind, inner = _kind_of(facts.get("rule", {})) if is_understood else (Kind.UNKNOWN, {})
    agents = facts.get("room_config", {}).get("agents", ())
    return DispatchRule(
        id=facts.get("sip_dispatch_rule_id", ""),
        name=facts.get("name", ""),
        kind=kind,
        room=inner.get("room_name") or inner.get("room_prefix") or "",
        has_pin=bool(inner.get("pin")),
        hides_numbers=facts.get("hide_phone_number", False),
        calls_meet=kind is not Kind.UNKNOWN and _MEET[kind](inner),
        trunk_ids=tuple(facts.get("trunk_ids", ())),
        numbers=tuple(facts.get("numbers", ())),
        inbound_numbers=tuple(facts.get("inbound_numbers", ())),
        agents=tuple(agent.get("agent_name", "") for agent in agents),
        message=message,
        facts=facts,
        mark=mark,
    )


def _kind_of(rule: Facts) -> tuple[Kind, Facts]:
    """The kind, and what stands below its name."""
    for kind in Kind:
        if (inner := rule.get(f"dispatch_rule_{kind}")) is not None:
            return kind, inner
    return Kind.UNKNOWN, {}


#: Whether two calls can come to be in one room, by the kind of the rule and what stands in it.
_MEET: Final[Mapping[Kind, Callable[[Facts], bool]]] = {
    Kind.DIRECT: lambda inner: True,
    Kind.INDIVIDUAL: lambda inner: bool(inner.get("no_randomness")),
    Kind.CALLEE: lambda inner: not inner.get("randomize"),
}


def plan(
    rules: Sequence[DispatchRule],
    only: Collection[str],
    with_room_per_call: Callable[[DispatchRule], DispatchRule],
) -> Plan:
    """What leads from these rules to a room for each call; `only` names rules, none means all.

    Raises `NotFound` for a rule that there is not, `BadRequest` for one that was asked for by name
    and is not understood.
    """
    known = {rule.id: rule for rule in rules}
    for rule_id in only:
        if rule_id not in known:
            raise NotFound(f"LiveKit has no dispatch rule {rule_id}")
        if known[rule_id].kind is Kind.UNKNOWN:
            raise BadRequest(f"{known[rule_id].called}: {LEFT_ALONE[Kind.UNKNOWN]}")
    wanted = [rule for rule in rules if not only or rule.id in only]
    return Plan(
        tuple(Change(r, with_room_per_call(r)) for r in wanted if r.kind is Kind.DIRECT),
        tuple(LeftAlone(r, _why_left(r)) for r in wanted if r.kind is not Kind.DIRECT),
    )


def _why_left(rule: DispatchRule) -> str:
    return LEFT_ALONE[rule.kind] + (_CALLS_MEET if rule.calls_meet else "")


def check_prefix(prefix: str) -> str:
    """A prefix that rooms, files and patterns can bear. Raises `BadRequest` for any other."""
    if not _PREFIX.fullmatch(prefix):
        raise BadRequest(
            "the prefix can't be used: write up to 32 letters, digits, '.', '_' and '-', "
            "the first one a letter or a digit"
        )
    return prefix


def cautions(changes: Sequence[Change], policy: Policy) -> Iterator[str]:
    """What who applies this should know: each a sentence."""
    for change in changes:
        old, new = change.before, change.after
        number = "<last digits>" if new.hides_numbers else "<number>"
        yield f"{old.called}: its rooms will be called {new.room}_{number}_<random>."
        yield (
            f"{old.called}: what knows {old.room} by name (agents that wait there, clients, "
            "settings) will not find these calls there any more."
        )
        if not new.agents:
            yield (
                f"{old.called}: it names no agent (room_config.agents), so only workers without "
                "an agent_name come to its rooms."
            )
        if new.has_pin:
            yield (
                f"{old.called}: it asks for a PIN, which stays; callers who met in {old.room} "
                "will each be in a room of their own."
            )
        yield from _of_policy(change, policy)


def _of_policy(change: Change, policy: Policy) -> Iterator[str]:
    """Where patterns of rooms' names mean another thing for the new ones."""
    old, new = change.before, change.after
    now, then = decide(policy, old.room), decide(policy, _EXAMPLE.format(prefix=new.room))
    if now.record and not then.record:
        yield (
            f"{old.called}: EGRESS_MANAGER_RECORD_ROOMS does not match its rooms, so these calls "
            "would not be recorded any more."
        )
    elif then.record and now.engine is not then.engine:
        yield (
            f"{old.called}: EGRESS_MANAGER_OTHER_ENGINE_ROOMS decides otherwise for its rooms: "
            f"these calls would be recorded by {then.engine}, no longer by {now.engine}."
        )


def differences(before: DispatchRule, after: DispatchRule) -> Iterator[Difference]:
    """What differs, field by field; nothing for rules that are the same."""
    old, new = dict(_leaves(before.facts)), dict(_leaves(after.facts))
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    for name in changed:
        yield Difference(name, _shown(name, old.get(name)), _shown(name, new.get(name)))
    if not changed and before.mark != after.mark:
        yield Difference("(what this version does not know)", "as it was", "different")


def _leaves(facts: Facts, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if _SECRET.search(name):
        return _MASK
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Standing(StrEnum):
    """How a rule is now, compared with what we made of it."""

    AS_BEFORE = "as it was"
    AS_CHANGED = "as we changed it"
    CHANGED_SINCE = "changed by somebody since"
    GONE = "gone"


def standing(made: Change, now: DispatchRule | None) -> Standing:
    """How a rule is now that was changed, or was to be changed, like that."""
    if now is None:
        return Standing.GONE
    if now.mark == made.before.mark:
        return Standing.AS_BEFORE
    return Standing.AS_CHANGED if now.mark == made.after.mark else Standing.CHANGED_SINCE

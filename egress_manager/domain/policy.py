"""Which calls are recorded, and by which recorder: one policy for the house, from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

#: What the reasons mean, for people.
REASONS: Final[Mapping[str, str]] = {
    "policy_all": "every call is recorded",
    "policy_none": "recording is switched off",
    "policy_room_matches": "the room's name matches a pattern of the rooms to be recorded",
    "policy_room_differs": "the room's name matches no pattern of the rooms to be recorded",
}


class Scope(StrEnum):
    """Whose calls a policy wants."""

    ALL = "all"
    NONE = "none"
    ROOMS = "rooms"


class Engine(StrEnum):
    """Who records: the recorder that is part of this product, or LiveKit Egress."""

    BUILTIN = "builtin"
    EGRESS = "egress"

    @property
    def other(self) -> "Engine":
        """The one that this is not."""
        return Engine.EGRESS if self is Engine.BUILTIN else Engine.BUILTIN


@dataclass(frozen=True, slots=True)
class Policy:
    """`rooms` and `other_engine_rooms` have patterns as in a shell (`support-*`), with their case.

    `rooms` counts for ROOMS only. Calls in `other_engine_rooms` are recorded by the engine that
    `engine` is not.
    """

    scope: Scope = Scope.ALL
    rooms: tuple[str, ...] = ()
    engine: Engine = Engine.BUILTIN
    other_engine_rooms: tuple[str, ...] = ()

    @property
    def uses_egress(self) -> bool:
        """Whether LiveKit Egress records any room."""
        return self.engine is Engine.EGRESS or bool(self.other_engine_rooms)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call is recorded, by whom, and why: a word that stays the same over versions."""

    record: bool
    reason: str
    engine: Engine = Engine.BUILTIN

    @property
    def words(self) -> str:
        """The reason, for people."""
        return REASONS[self.reason]


def decide(policy: Policy, room_name: str) -> Decision:
    """The policy's answer for a call in that room. No match is the safe answer: not recorded."""
    engine = engine_of(policy, room_name)
    match policy.scope:
        case Scope.ALL:
            return Decision(True, "policy_all", engine)
        case Scope.NONE:
            return Decision(False, "policy_none", engine)
        case Scope.ROOMS:
            matches = _matches(policy.rooms, room_name)
            reason = "policy_room_matches" if matches else "policy_room_differs"
            return Decision(matches, reason, engine)


def engine_of(policy: Policy, room_name: str) -> Engine:
    """Who records in that room, if anything is recorded there."""
    is_other = _matches(policy.other_engine_rooms, room_name)
    return policy.engine.other if is_other else policy.engine


def _matches(patterns: tuple[str, ...], room_name: str) -> bool:
    return any(fnmatchcase(room_name, pattern) for pattern in patterns)

"""Which calls are recorded: for now one policy for the whole house, from the settings."""

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


@dataclass(frozen=True, slots=True)
class Policy:
    """`rooms` has patterns as in a shell (`support-*`), matched with their case; for ROOMS only."""

    scope: Scope = Scope.ALL
    rooms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a call is recorded, and why: a word that stays the same over versions."""

    record: bool
    reason: str

    @property
    def words(self) -> str:
        """The reason, for people."""
        return REASONS[self.reason]


def decide(policy: Policy, room_name: str) -> Decision:
    """The policy's answer for a call in that room. No match is the safe answer: not recorded."""
    match policy.scope:
        case Scope.ALL:
            return Decision(True, "policy_all")
        case Scope.NONE:
            return Decision(False, "policy_none")
        case Scope.ROOMS:
            matches = any(fnmatchcase(room_name, pattern) for pattern in policy.rooms)
            return Decision(matches, "policy_room_matches" if matches else "policy_room_differs")

"""A call: one caller's stay in a room, as all news together tell it.

A call is keyed by `sip.callID` where there is one (a caller who drops out and comes back with it is
the same call), else by the participant's stay (its sid). Two callers in one room are two calls.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from egress_manager.domain.incoming import (
    Kind,
    Room,
)

#: Identities that livekit-sip gives when nothing else was set (livekit.md 5.1: `sip_<from user>`).
SIP_IDENTITY_PREFIX: Final = "sip_"

#: Participants that never are a caller, whatever they are called.
NEVER_CALLERS: Final = frozenset({Kind.EGRESS, Kind.AGENT, Kind.INGRESS})

#: What looks like a telephone number: an optional plus, then 3 to 15 digits (E.164).
_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")


class Direction(StrEnum):
    """Who dialled, seen from us."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class CallTrack:
    """An audio track that was published in the room while the call went on."""

    track_sid: str
    participant_sid: str
    participant_identity: str
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One SIP call as it is seen in a room; `reason` says why it is (not) recorded.

    `participant_sids` has every stay of the caller: more than one where it dropped out and came back.
    `joined_at` is the first that anybody saw of the caller, `left_at` the last; `answered_at` is when
    `sip.callStatus` became `active`. `seen_at` is when the caller was last known to be there, and
    `seen_firsthand` whether the server itself (asked, or through a capture) ever showed the caller.
    `status` is the last `sip.callStatus`, empty where there are no SIP attributes.
    """

    id: str
    room: Room
    identity: str
    participant_sids: tuple[str, ...]
    joined_at: datetime
    seen_at: datetime
    caller_number: str | None = None
    called_number: str | None = None
    direction: Direction = Direction.INBOUND
    sip_call_id: str | None = None
    trunk_id: str | None = None
    dispatch_rule_id: str | None = None
    agent_identity: str | None = None
    answered_at: datetime | None = None
    left_at: datetime | None = None
    left_reason: str = ""
    status: str = ""
    seen_firsthand: bool = False
    tracks: tuple[CallTrack, ...] = ()
    recording_id: str | None = None
    reason: str = ""
    version: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the caller is gone."""
        return self.left_at is not None

    @property
    def was_answered(self) -> bool:
        """Whether anybody answered; a call without SIP attributes counts as answered at once."""
        return self.answered_at is not None or self.status in ("", "active")

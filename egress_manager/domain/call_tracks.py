"""The audio tracks that a call remembers: so many of anybody, and so many in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from egress_manager.domain.incoming import Source
from egress_manager.domain.quotas import COUNTED, TRACKS_OF_CALL, TRACKS_OF_ONE


@dataclass(frozen=True, slots=True)
class CallTrack:
    """An audio track that was published in the room while the call went on."""

    track_sid: str
    participant_sid: str
    participant_identity: str
    first_seen_at: datetime
    is_encrypted: bool = False


class _Published(Protocol):
    """A track in a document."""

    @property
    def participant_identity(self) -> str: ...


def has_room(tracks: Sequence[_Published], identity: str) -> bool:
    """Whether a document with these tracks remembers another one, of that participant."""
    if len(tracks) >= TRACKS_OF_CALL:
        return False
    return sum(track.participant_identity == identity for track in tracks) < TRACKS_OF_ONE


def counted(left_out: int, source: Source) -> int:
    """How many tracks are not remembered, with another one that somebody told of.

    A webhook tells of each once. Who asks, or is in the room, sees the same ones again and again:
    that there are any is all that this says.
    """
    if source is not Source.WEBHOOK:
        return max(left_out, 1)
    return min(left_out + 1, COUNTED)

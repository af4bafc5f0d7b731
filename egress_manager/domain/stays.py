"""The stays of a call's caller in its room: each from a join to its end, as news tell it."""

from dataclasses import dataclass, replace
from datetime import datetime

from egress_manager.domain.incoming import ParticipantSeen, Source
from egress_manager.domain.quotas import STAYS_OF_CALL


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay of the caller in the room, by participant sid.

    `since` is when the stay was first seen, in the room of that sid. `left_at` is the first exact
    word of its end; where only a poll found it gone (`is_presumed`), a later sighting takes the end
    back. `is_witnessed`: a recorder of ours that was in the room saw the end.
    """

    participant_sid: str
    since: datetime | None = None
    room_sid: str = ""
    left_at: datetime | None = None
    is_presumed: bool = False
    is_witnessed: bool = False

    def covers(self, at: datetime) -> bool:
        """Whether the caller was there at that moment, as far as is known."""
        return (self.since is None or self.since <= at) and not (self.left_at and self.left_at < at)

    def merge(self, other: "Stay") -> "Stay":
        """The same stay with what both know; which of the two was told first does not matter."""
        known = [at for at in (self.since, other.since) if at]
        end = min((s for s in (self, other) if s.left_at), key=_certainty, default=self)
        return Stay(
            self.participant_sid,
            min(known, default=None),
            self.room_sid or other.room_sid,
            end.left_at,
            end.is_presumed,
            self.is_witnessed or other.is_witnessed,
        )


def _certainty(stay: Stay) -> tuple[bool, datetime]:
    """Exact ends before presumed ones, then the earliest."""
    assert stay.left_at is not None
    return stay.is_presumed, stay.left_at


def with_stay(stays: tuple[Stay, ...], stay: Stay) -> tuple[Stay, ...]:
    """Add a stay, or what is new about it."""
    known = {s.participant_sid: s for s in stays}
    sid = stay.participant_sid
    known[sid] = known[sid].merge(stay) if sid in known else stay
    return tuple(sorted(known.values(), key=lambda s: s.participant_sid))


def remembered(known: tuple[Stay, ...], stays: tuple[Stay, ...]) -> tuple[Stay, ...]:
    """As many of the stays as a call remembers: of too many, the one that ended first is forgotten.

    `known` are those before. Where all go on, they stay, and nothing is added.
    """
    if len(stays) <= max(len(known), STAYS_OF_CALL):
        return stays
    ended = [stay for stay in stays if stay.left_at]
    if not ended:
        return known
    first = min(ended, key=_ended_at)
    return tuple(stay for stay in stays if stay is not first)


def _ended_at(stay: Stay) -> datetime:
    assert stay.left_at is not None
    return stay.left_at


def seen_again(stays: tuple[Stay, ...], news: ParticipantSeen) -> tuple[Stay, ...]:
    """Take back the presumed end of a stay that is seen, first-hand, after it."""
    if news.source is Source.WEBHOOK:
        return stays

    def is_there(stay: Stay) -> bool:
        same = stay.participant_sid == news.participant.sid
        return same and stay.is_presumed and bool(stay.left_at and stay.left_at < news.at)

    return tuple(
        replace(stay, left_at=None, is_presumed=False) if is_there(stay) else stay for stay in stays
    )


def end_of(stays: tuple[Stay, ...]) -> datetime | None:
    """The end of the last stay; None while one goes on."""
    ends = [stay.left_at for stay in stays]
    return None if None in ends else max(end for end in ends if end)

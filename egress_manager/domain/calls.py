"""A call: one caller's stay in a room, as all news together tell it.

A call is keyed by `sip.callID` where there is one (a caller who drops out and comes back with it is
the same call), else by the participant's stay (its sid). Two callers in one room are two calls.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain.incoming import (
    Kind,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    Source,
    TrackSeen,
)
from egress_manager.domain.numbers import SIP_IDENTITY_PREFIX, number_of
from egress_manager.domain.provenance import NOT_STORED, Provenance
from egress_manager.domain.seal import Seal

#: Participants that never are a caller, whatever they are called.
NEVER_CALLERS: Final = frozenset({Kind.EGRESS, Kind.AGENT, Kind.INGRESS})

#: A call whose join lies further back than this was found late, by asking.
FOUND_LATE: Final = timedelta(seconds=10)
#: LiveKit's times are known to be so near to ours; who joined longer ago was seen late.
SEEN_LATE: Final = timedelta(seconds=1)

#: While LiveKit is asked, a call that goes on is seen at least this often.
UNSEEN: Final = timedelta(seconds=9)

#: Reasons of a recorder that was away when somebody left, and found out when it came back.
FOUND_OUT: Final = frozenset({"missing_on_rejoin", "room_replaced"})

#: Why a call ended that nobody saw for long.
UNREACHABLE: Final = "livekit_unreachable"

#: That a caller is still there is written down this often, not with every look.
SEEN_EVERY: Final = timedelta(seconds=5)


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
    is_encrypted: bool = False


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


@dataclass(frozen=True, slots=True)
class Call:
    """One SIP call as it is seen in a room; `reason` says why it is not recorded.

    `stays` has more than one where the caller dropped out and came back. `joined_at` is made of
    `first_seen_at`, the first that anybody saw of the caller, and of what LiveKit says; `left_at`
    is the end of the last stay, None while one goes on. `answered_at` is when `sip.callStatus`
    became `active`, `heard_at` when sound of the caller came before anything had said so;
    `status` is the furthest `sip.callStatus`, empty where there are no SIP attributes. `seen_at`
    is when the caller was last known to be there, and `seen_firsthand` whether the server itself
    (asked, or through a capture) ever showed the caller. `resumed`: how often it ended by mistake.
    """

    id: str
    room: Room
    identity: str
    stays: tuple[Stay, ...]
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
    heard_at: datetime | None = None
    left_at: datetime | None = None
    left_reason: str = ""
    status: str = ""
    seen_firsthand: bool = False
    tracks: tuple[CallTrack, ...] = ()
    recording_id: str | None = None
    reason: str = ""
    first_seen_at: datetime | None = None
    livekit_joined_at: datetime | None = None
    resumed: int = 0
    seal: Seal | None = None
    version: int = 0
    provenance: Provenance = field(default=Provenance.SIGNED, compare=False, metadata=NOT_STORED)

    @property
    def is_over(self) -> bool:
        """Whether the caller is gone."""
        return self.left_at is not None

    @property
    def is_unsealed(self) -> bool:
        """Whether it is over, and was changed since it was sealed, or never was."""
        return self.is_over and (self.seal is None or self.seal.version != self.version)

    @property
    def was_answered(self) -> bool:
        """Whether anybody answered; a call without SIP attributes counts as answered at once.

        livekit-sip sends no sound of one who called and was not answered (livekit.md 5.3); of one
        who was called there may be some before.
        """
        is_heard = self.heard_at is not None and self.direction is Direction.INBOUND
        return is_heard or self.answered_at is not None or self.status in ("", "active")

    @property
    def had_company(self) -> bool:
        """Whether somebody else published a track: livekit-sip answers then (livekit.md 5.3)."""
        return any(track.participant_identity != self.identity for track in self.tracks)

    @property
    def was_watched(self) -> bool:
        """Whether a recorder of ours was there to the end, and so would know of an answer."""
        ends = {stay.left_at: stay for stay in self.stays if stay.left_at}
        return bool(ends) and ends[max(ends)].is_witnessed

    @property
    def was_lost(self) -> bool:
        """Whether nobody was looking before it ended, so that nobody can tell how."""
        unseen_for = (self.left_at or self.seen_at) - self.seen_at
        return self.left_reason == UNREACHABLE or unseen_for > UNSEEN

    @property
    def is_encrypted(self) -> bool:
        """Whether somebody's sound can't be understood by who has no key."""
        return any(track.is_encrypted for track in self.tracks)

    @property
    def participant_sids(self) -> tuple[str, ...]:
        """The sids of all stays."""
        return tuple(stay.participant_sid for stay in self.stays)

    def was_there(self, at: datetime) -> bool:
        """Whether the caller was in the room at that moment, in any stay."""
        return any(stay.covers(at) for stay in self.stays)

    @property
    def take(self) -> int:
        """How often the call went on after it was over: the recording's take."""
        return max(0, len(self.stays) - 1) + self.resumed

    def see(self, news: ParticipantSeen) -> "Call":
        """Fold in a sighting of the caller, in whatever order sightings arrive."""
        person, attributes = news.participant, news.participant.attributes
        seen = replace(
            self,
            room=replace(self.room, sid=self.room.sid or news.room.sid),
            stays=_seen_again(
                _with_stay(self.stays, Stay(person.sid, news.at, news.room.sid)), news
            ),
            first_seen_at=min(self.first_seen_at or news.at, news.at),
            livekit_joined_at=_earlier(self.livekit_joined_at, person.joined_at),
            seen_at=news.at if news.at - self.seen_at >= SEEN_EVERY else self.seen_at,
            status=max(self.status, attributes.get("sip.callStatus", ""), key=_rank),
            seen_firsthand=self.seen_firsthand or news.source is not Source.WEBHOOK,
        )
        seen = _with_details(seen, person)
        if attributes.get("sip.callStatus") == "active":
            seen = replace(seen, answered_at=min(self.answered_at or news.at, news.at))
        if person.is_heard:
            seen = replace(seen, heard_at=min(self.heard_at or news.at, news.at))
        left_at = _end_of(seen.stays)
        goes_on = self.is_over and left_at is None and len(seen.stays) == len(self.stays)
        left_reason, resumed = seen.left_reason if left_at else "", seen.resumed + goes_on
        seen = replace(seen, left_at=left_at, left_reason=left_reason, resumed=resumed)
        return replace(seen, joined_at=_joined_at(seen))

    def lose(self, news: ParticipantLeft) -> "Call":
        """Fold in the end of one stay of the caller."""
        is_presumed = news.source is Source.POLL
        is_witnessed = news.source is Source.CAPTURE and news.reason not in FOUND_OUT
        end = Stay(news.participant.sid, None, "", news.at, is_presumed, is_witnessed)
        stays = _with_stay(self.stays, end)
        return replace(
            self,
            stays=stays,
            left_at=_end_of(stays),
            status=max(
                self.status, news.participant.attributes.get("sip.callStatus", ""), key=_rank
            ),
            seen_firsthand=self.seen_firsthand or news.source is not Source.WEBHOOK,
            left_reason=self.left_reason or news.reason,
        )

    def lost(self, reason: str) -> "Call":
        """Nobody has seen the caller for long: open stays ended when the caller was last seen."""
        stays = tuple(
            stay
            if stay.left_at
            else replace(stay, left_at=self.seen_at + SEEN_EVERY, is_presumed=True)
            for stay in self.stays
        )
        return replace(self, stays=stays, left_at=_end_of(stays), left_reason=reason)

    def hear(self, news: TrackSeen) -> "Call":
        """Fold in a track that was in the room at `news.at`, if the caller was there then."""
        is_known = news.track.sid in {track.track_sid for track in self.tracks}
        if is_known or not self.was_there(news.at):
            return self
        person = news.participant
        track = CallTrack(
            news.track.sid, person.sid, person.identity, news.at, news.track.is_encrypted
        )
        return replace(self, tracks=(*self.tracks, track))

    def hear_all(self, news: ParticipantSeen) -> "Call":
        """Fold in the tracks that somebody publishes."""
        call = self
        for track in news.participant.tracks if not news.participant.is_recorder else ():
            call = call.hear(TrackSeen(news.at, news.room, news.participant, track, news.source))
        return call

    def because(self, reason: str) -> "Call":
        """With the reason why it is not recorded; empty where it is."""
        return replace(self, reason=reason)

    def meet(self, participant: Participant) -> "Call":
        """Fold in that somebody else is in the room: the first agent is the call's agent."""
        if self.agent_identity or participant.kind is not Kind.AGENT or participant.is_recorder:
            return self
        return replace(self, agent_identity=participant.identity)


def is_caller(participant: Participant) -> bool:
    """Whether a participant is a call of its own: kind SIP, or named so where no kind is said."""
    if participant.is_recorder or participant.kind in NEVER_CALLERS:
        return False
    if participant.kind is None:
        return participant.identity.startswith(SIP_IDENTITY_PREFIX)
    return participant.kind is Kind.SIP


def call_id_of(room: Room, participant: Participant) -> str:
    """`call_…`: the same for all news of the same call, whoever brings them."""
    sip_call_id = participant.attributes.get("sip.callID")
    stay = sip_call_id or f"{room.sid or room.name}/{participant.sid or participant.identity}"
    return "call_" + _digest(f"{room.name}\n{stay}")


def recording_id_of(call_id: str) -> str:
    """`rec_…`: a call's recording, known before anything is stored."""
    return "rec_" + _digest(call_id)


def egress_id_of(call_id: str) -> str:
    """`EG_…`: what the built-in recorder calls its job, so that the user's document has one."""
    return "EG_" + _digest(f"egress {call_id}")[:14]


def new_call(news: ParticipantSeen) -> Call:
    """The call of a caller who is seen for the first time."""
    person = news.participant
    return Call(
        id=call_id_of(news.room, person),
        room=news.room,
        identity=person.identity,
        stays=(Stay(person.sid, news.at, news.room.sid),),
        joined_at=news.at,
        seen_at=news.at,
    ).see(news)


def _joined_at(call: Call) -> datetime:
    """When the caller came: when we saw it, or before that, where LiveKit says so.

    LiveKit's own time of joining was on another machine's clock, and is only known to be so near:
    it counts for a call that we saw late.
    """
    seen, told = call.first_seen_at or call.joined_at, call.livekit_joined_at
    return told if told and seen - told > SEEN_LATE else seen


def _earlier(known: datetime | None, told: datetime | None) -> datetime | None:
    return min((at for at in (known, told) if at), default=None)


def _with_stay(stays: tuple[Stay, ...], stay: Stay) -> tuple[Stay, ...]:
    """Add a stay, or what is new about it."""
    known = {s.participant_sid: s for s in stays}
    sid = stay.participant_sid
    known[sid] = known[sid].merge(stay) if sid in known else stay
    return tuple(sorted(known.values(), key=lambda s: s.participant_sid))


def _seen_again(stays: tuple[Stay, ...], news: ParticipantSeen) -> tuple[Stay, ...]:
    """Take back the presumed end of a stay that is seen, first-hand, after it."""
    if news.source is Source.WEBHOOK:
        return stays

    def is_there(stay: Stay) -> bool:
        same = stay.participant_sid == news.participant.sid
        return same and stay.is_presumed and bool(stay.left_at and stay.left_at < news.at)

    return tuple(
        replace(stay, left_at=None, is_presumed=False) if is_there(stay) else stay for stay in stays
    )


def _end_of(stays: tuple[Stay, ...]) -> datetime | None:
    """The end of the last stay; None while one goes on."""
    ends = [stay.left_at for stay in stays]
    return None if None in ends else max(end for end in ends if end)


#: How far a call is, by `sip.callStatus` (livekit.md 5.1). What is unknown counts as nothing.
_STATUS_RANK: Final = {"dialing": 1, "ringing": 2, "automation": 3, "active": 4, "hangup": 5}


def _rank(status: str) -> int:
    return _STATUS_RANK.get(status, 0)


def _with_details(call: Call, person: Participant) -> Call:
    """Numbers, direction and SIP ids, as far as they are not known yet."""
    attributes = person.attributes
    outbound = "sip.trunkID" in attributes and "sip.ruleID" not in attributes
    remote = attributes.get("sip.phoneNumber") or number_of(person)
    ours = attributes.get("sip.trunkPhoneNumber")
    caller, called = (ours, remote) if outbound else (remote, ours)
    return replace(
        call,
        caller_number=call.caller_number or caller,
        called_number=call.called_number or called,
        direction=Direction.OUTBOUND if outbound else call.direction,
        sip_call_id=call.sip_call_id or attributes.get("sip.callID"),
        trunk_id=call.trunk_id or attributes.get("sip.trunkID"),
        dispatch_rule_id=call.dispatch_rule_id or attributes.get("sip.ruleID"),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]

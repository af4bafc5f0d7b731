"""A call: one caller's stay in a room, as all news together tell it.

A call is keyed by `sip.callID` where there is one (a caller who drops out and comes back with it is
the same call), else by the participant's stay (its sid). Two callers in one room are two calls.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain.call_tracks import CallTrack as CallTrack
from egress_manager.domain.call_tracks import counted, has_room
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
from egress_manager.domain.quotas import NAME
from egress_manager.domain.seal import Seal
from egress_manager.domain.stays import Stay as Stay
from egress_manager.domain.stays import end_of, remembered, seen_again, with_stay

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
class Call:
    """One SIP call as it is seen in a room; `reason` says why it is not recorded.

    `stays` has more than one where the caller dropped out and came back. `joined_at` is made of
    `first_seen_at`, the first that anybody saw of the caller, and of what LiveKit says; `left_at`
    is the end of the last stay, None while one goes on. `answered_at` is when `sip.callStatus`
    became `active`, `heard_at` when sound of the caller came before anything had said so;
    `status` is the furthest `sip.callStatus`, empty where there are no SIP attributes. `seen_at`
    is when the caller was last known to be there, and `seen_firsthand` whether the server itself
    (asked, or through a capture) ever showed the caller. `resumed`: how often it ended by mistake.
    `tracks_left_out` and `stays_left_out`: how many more there were than a call remembers, at
    least (see `quotas.TRACKS_OF_CALL`).
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
    tracks_left_out: int = 0
    stays_left_out: int = 0
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
        """Whether all sound of it can't be understood by who has no key, as its tracks say."""
        return bool(self.tracks) and all(track.is_encrypted for track in self.tracks)

    @property
    def claims_encryption(self) -> bool:
        """Whether any track says that it is encrypted: anybody can say so of its own."""
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
        return max(0, self._stays_in_all - 1) + self.resumed

    @property
    def _stays_in_all(self) -> int:
        return len(self.stays) + self.stays_left_out

    def see(self, news: ParticipantSeen) -> "Call":
        """Fold in a sighting of the caller, in whatever order sightings arrive."""
        person, attributes = news.participant, news.participant.attributes
        seen = self._with_stay(Stay(person.sid, news.at, news.room.sid))
        seen = replace(
            seen,
            room=replace(self.room, sid=self.room.sid or news.room.sid),
            stays=seen_again(seen.stays, news),
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
        left_at = end_of(seen.stays)
        same = seen._stays_in_all == self._stays_in_all
        goes_on = self.is_over and left_at is None and same
        left_reason, resumed = seen.left_reason if left_at else "", seen.resumed + goes_on
        seen = replace(seen, left_at=left_at, left_reason=left_reason, resumed=resumed)
        return replace(seen, joined_at=_joined_at(seen))

    def lose(self, news: ParticipantLeft) -> "Call":
        """Fold in the end of one stay of the caller."""
        is_presumed = news.source is Source.POLL
        is_witnessed = news.source is Source.CAPTURE and news.reason not in FOUND_OUT
        end = Stay(news.participant.sid, None, "", news.at, is_presumed, is_witnessed)
        known = self._with_stay(end)
        return replace(
            known,
            left_at=end_of(known.stays),
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
        return replace(self, stays=stays, left_at=end_of(stays), left_reason=reason)

    def hear(self, news: TrackSeen) -> "Call":
        """Fold in a track that was in the room at `news.at`, if the caller was there then."""
        is_known = news.track.sid in {track.track_sid for track in self.tracks}
        if is_known or not self.was_there(news.at):
            return self
        person = news.participant
        if not has_room(self.tracks, person.identity):
            return replace(self, tracks_left_out=counted(self.tracks_left_out, news.source))
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

    def _with_stay(self, stay: Stay) -> "Call":
        """The call with a stay, or with what is new about it, as far as stays are remembered."""
        wanted = with_stay(self.stays, stay)
        stays, left_out = remembered(self.stays, wanted), self.stays_left_out
        if stays is self.stays and wanted != stays:  # all of them go on
            left_out = max(left_out, 1)
        elif len(stays) < len(wanted):
            left_out += 1
        return replace(self, stays=stays, stays_left_out=left_out)

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
    sip_call_id = participant.attributes.get("sip.callID", "")[:NAME]
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


#: How far a call is, by `sip.callStatus` (livekit.md 5.1). What is unknown counts as nothing.
_STATUS_RANK: Final = {"dialing": 1, "ringing": 2, "automation": 3, "active": 4, "hangup": 5}


def _rank(status: str) -> int:
    return _STATUS_RANK.get(status, 0)


def _with_details(call: Call, person: Participant) -> Call:
    """Numbers, direction and SIP ids, as far as they are not known yet; none is without end."""
    attributes = {name: value[:NAME] for name, value in person.attributes.items()}
    outbound = "sip.trunkID" in attributes and "sip.ruleID" not in attributes
    remote = attributes.get("sip.phoneNumber") or (number_of(person) or "")[:NAME] or None
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

"""What LiveKit can tell us, in our own words.

The same news comes three ways: by webhook, by asking (polling), and from the capture that is in the
room. Each kind of news is one frozen value here; `flows/ingest.py` folds them into calls and
recordings, in any order and any number of times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Who told us."""

    WEBHOOK = "webhook"
    POLL = "poll"
    CAPTURE = "capture"


class Kind(StrEnum):
    """LiveKit's kinds of participant, by LiveKit's names; one that we do not know is OTHER."""

    STANDARD = "STANDARD"
    INGRESS = "INGRESS"
    EGRESS = "EGRESS"
    SIP = "SIP"
    AGENT = "AGENT"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Room:
    """A LiveKit room: the name that was chosen, and the sid of this life of it."""

    name: str
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Track:
    """An audio track as LiveKit shows it; `mime` is lower case (`audio/opus`, `audio/red`)."""

    sid: str
    name: str = ""
    mime: str = "audio/opus"
    is_muted: bool = False
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant as LiveKit shows it.

    `kind` is None where the news did not say (LiveKit's track events, and webhooks made by hand).
    `metadata` is the text LiveKit carries; a JSON object made by hand arrives as its JSON text.
    `is_recorder` is LiveKit's permission flag of egresses and of our own captures. `tracks` are the
    audio tracks that it publishes, as far as the news say so. `is_heard`: sound of it came.
    """

    sid: str
    identity: str
    name: str = ""
    kind: Kind | None = None
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    joined_at: datetime | None = None
    is_recorder: bool = False
    tracks: tuple[Track, ...] = ()
    is_heard: bool = False


@dataclass(frozen=True, slots=True)
class ParticipantSeen:
    """Somebody joined, is still there, or changed an attribute.

    `capture_id` names the capture that saw it first-hand, where one did.
    """

    at: datetime
    room: Room
    participant: Participant
    source: Source
    capture_id: str | None = None


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody left. `at`: exact from a webhook or a capture, the moment of asking from a poll."""

    at: datetime
    room: Room
    participant: Participant
    source: Source
    reason: str = ""
    capture_id: str | None = None


@dataclass(frozen=True, slots=True)
class TrackSeen:
    """An audio track is published; only the identity and the sid of its owner are sure."""

    at: datetime
    room: Room
    participant: Participant
    track: Track
    source: Source


@dataclass(frozen=True, slots=True)
class RoomListed:
    """The room holds these participants and nobody else (the answer to a poll).

    `asked_at` and `at` are when it was asked and when it was answered: who came before the first is
    gone if not listed. Not `is_complete`: somebody who is not listed may be there all the same.
    """

    at: datetime
    room: Room
    participants: tuple[Participant, ...]
    asked_at: datetime
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class RoomFinished:
    """The room is closed: whoever was in it is gone."""

    at: datetime
    room: Room
    source: Source


class EgressKind(StrEnum):
    """What a job of LiveKit Egress records."""

    MIX = "mix"
    TRACK = "track"


class Sides(StrEnum):
    """Who is heard on which side of a mix of LiveKit Egress (livekit.md 2.2, 2.3)."""

    CALLER_LEFT = "caller_left"
    AGENTS_LEFT = "agents_left"
    ALTERNATING = "alternating"
    ONE_VOICE = "one_voice"
    EVERYBODY_BOTH = "everybody_both"


@dataclass(frozen=True, slots=True)
class EgressReported:
    """LiveKit Egress says how one of its jobs is doing.

    `at` is when it says so, by its own clock. `status` is LiveKit's name without its prefix
    (`STARTING`, `ACTIVE`, `COMPLETE`, …), upper case. `egress_id` is empty for a job that LiveKit
    itself could not start. `asked_path` is the path that was asked for, `filepath` the one it says
    the file has; `is_delivered` says that the file is really there, by its own word. `started_at`
    is when its first packet came. `identity` is whom it records, where it records one.
    """

    at: datetime
    room: Room
    egress_id: str
    status: str
    kind: EgressKind = EgressKind.MIX
    sides: Sides = Sides.EVERYBODY_BOTH
    track_sid: str = ""
    identity: str = ""
    asked_path: str = ""
    filepath: str | None = None
    is_delivered: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_sec: float | None = None
    size_bytes: int | None = None
    error: str = ""
    error_code: int = 0
    details: str = ""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """An event that means nothing to us, yet or any more; it is kept and left alone."""

    at: datetime
    name: str


News = (
    ParticipantSeen
    | ParticipantLeft
    | TrackSeen
    | RoomListed
    | RoomFinished
    | EgressReported
    | Unrecognised
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as it arrived: its event's id (LiveKit's, else the hash of the body) and news."""

    event_id: str
    name: str
    news: News
    body: bytes

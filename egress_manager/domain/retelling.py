"""What a capture's journal says, as news: the same while it is written as when it is read again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from egress_manager.domain.captures import (
    Began,
    Ended,
    Entry,
    ParticipantChanged,
    ParticipantGone,
    StretchBegan,
    TrackChanged,
)
from egress_manager.domain.incoming import (
    Kind,
    News,
    Participant,
    ParticipantLeft,
    ParticipantSeen,
    Room,
    Source,
    Track,
    TrackSeen,
)
from egress_manager.domain.moments import to_milliseconds


@dataclass(slots=True)
class Retelling:
    """Turns the entries of one capture into news, in order."""

    capture_id: str
    room: Room = field(default_factory=lambda: Room(""))
    _people: dict[str, ParticipantChanged] = field(default_factory=dict)
    _began_at: float = 0.0

    def news_of(self, entry: Entry) -> News | None:
        """The news in an entry, if there is any."""
        match entry:
            case Began():
                self.room = Room(entry.room_name, entry.room_sid)
                self._began_at = entry.at
            case ParticipantChanged():
                self._people[entry.participant_sid] = entry
                return self._seen(entry, max(entry.at, self._began_at))
            case ParticipantGone():
                return self._left(entry)
            case TrackChanged():
                return self._track(entry)
            case StretchBegan():
                return self._heard(entry)
            case _:
                return None
        return None

    def still_there(self, at: float) -> Iterator[News]:
        """Everybody who had not left at `at` (seconds since 1970)."""
        return (self._seen(person, at) for person in self._people.values())

    def _seen(self, person: ParticipantChanged, at: float) -> ParticipantSeen:
        return ParticipantSeen(
            moment_of(at), self.room, participant_of(person), Source.CAPTURE, self.capture_id
        )

    def _left(self, gone: ParticipantGone) -> ParticipantLeft:
        known = self._people.pop(gone.participant_sid, None)
        person = (
            participant_of(known) if known else Participant(gone.participant_sid, gone.identity)
        )
        return ParticipantLeft(
            moment_of(gone.at), self.room, person, Source.CAPTURE, gone.reason, self.capture_id
        )

    def _track(self, entry: TrackChanged) -> TrackSeen | None:
        known = self._people.get(entry.participant_sid)
        if known is None:
            return None
        at = moment_of(max(entry.at, self._began_at))
        return TrackSeen(at, self.room, participant_of(known), track_of(entry), Source.CAPTURE)

    def _heard(self, entry: StretchBegan) -> ParticipantSeen | None:
        """That sound comes of somebody of whom it is not said that anybody answered: news of it.

        After livekit-server was restarted, callers may keep the attributes that they came with.
        """
        known = self._people.get(entry.participant_sid)
        if known is None or known.attributes.get("sip.callStatus", "active") == "active":
            return None
        seen = self._seen(known, entry.at)
        return replace(seen, participant=replace(seen.participant, is_heard=True))


def retell(capture_id: str, entries: Iterable[Entry]) -> Iterator[News]:
    """All the news in a journal. Who was there when the process died was there until then."""
    retelling = Retelling(capture_id)
    last_at, ended = 0.0, ""
    for entry in entries:
        last_at = max(last_at, entry.at)
        if isinstance(entry, Ended):
            ended = entry.reason
        news = retelling.news_of(entry)
        if news is not None:
            yield news
    if ended:
        yield from retelling.still_there(last_at)


def participant_of(person: ParticipantChanged, tracks: Iterable[TrackChanged] = ()) -> Participant:
    """A participant of the journal in LiveKit's words, with its own of the tracks."""
    kind = Kind(person.kind) if person.kind in Kind.__members__ else Kind.OTHER
    return Participant(
        sid=person.participant_sid,
        identity=person.identity,
        name=person.name,
        kind=kind,
        metadata=person.metadata,
        attributes=person.attributes,
        joined_at=moment_of(person.joined_at) if person.joined_at else None,
        is_recorder=person.is_recorder,
        tracks=tuple(
            track_of(track) for track in tracks if track.participant_sid == person.participant_sid
        ),
    )


def track_of(entry: TrackChanged) -> Track:
    """A track of the journal in LiveKit's words."""
    return Track(entry.track_sid, entry.name, entry.mime, entry.is_muted, entry.is_encrypted)


def moment_of(at: float) -> datetime:
    """A moment of a journal as exact as the stores keep it: told again, it is the same again."""
    return to_milliseconds(datetime.fromtimestamp(at, UTC))

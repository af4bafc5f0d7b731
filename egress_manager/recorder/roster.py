"""Who is in a room and what they publish, as LiveKit tells it, in the journal's words.

No I/O, no clock: LiveKit's messages and the moment in, journal entries out. Who leaves stays on the
roster for a moment, because what was sent last arrives after the news that its sender has left.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from livekit.protocol import models

from egress_manager.domain.captures import (
    ParticipantChanged,
    ParticipantGone,
    TrackChanged,
    TrackGone,
)
from egress_manager.recorder.signalling import name_of

News = ParticipantChanged | ParticipantGone | TrackChanged | TrackGone

#: What a leaving participant sent last may take this long to reach us. Seconds.
TAIL: Final = 0.15
#: So many participants that left are remembered, lest late news bring them back to life.
REMEMBERED: Final = 64


class Roster:
    """`people` and `tracks` by sid; no recorder (ours, or an egress) is on it.

    `since` is the moment at which each of the people was first seen.
    """

    def __init__(self) -> None:
        self.people: dict[str, ParticipantChanged] = {}
        self.tracks: dict[str, TrackChanged] = {}
        self.since: dict[str, float] = {}
        self._leaving: dict[str, tuple[float, ParticipantGone | TrackGone]] = {}
        self._left: deque[str] = deque(maxlen=REMEMBERED)

    def see(self, info: models.ParticipantInfo, moment: float) -> list[News]:
        """One participant as the server describes it; that one is gone is told by `due`."""
        if info.state == models.ParticipantInfo.DISCONNECTED:
            reason = name_of(models.DisconnectReason, info.disconnect_reason)
            self._leave(info.sid, moment, reason.lower())
            self._left.append(info.sid)
            return []
        person = _person(info, moment)
        if person.is_recorder or info.sid in self._left:
            return []
        self._leaving.pop(info.sid, None)
        self._replace_namesakes(person)
        self.people[info.sid] = person
        self.since.setdefault(info.sid, moment)
        return [person, *self._see_tracks(info, moment)]

    def see_all(self, infos: Iterable[models.ParticipantInfo], moment: float) -> list[News]:
        """Everybody who is there: who was and is not listed has left meanwhile."""
        listed = {info.sid: info for info in infos}
        for sid in [sid for sid in self.people if sid not in listed]:
            self._leave(sid, moment, "missing_on_rejoin")
        return [news for info in listed.values() for news in self.see(info, moment)]

    @property
    def present(self) -> list[ParticipantChanged]:
        """Everybody of whom the server has not said that they left."""
        return [person for sid, person in self.people.items() if sid not in self._leaving]

    def due(self, moment: float) -> list[News]:
        """Who and what has left, where the tail has had its time."""
        gone = [entry for due, entry in self._leaving.values() if moment >= due]
        return [news for entry in gone for news in self._strike(entry)]

    def everybody_left(self, moment: float, reason: str) -> None:
        """Nobody who was there is there any more; that they are gone is told by `due`."""
        for sid in list(self.people):
            self._leave(sid, moment, reason)

    def _see_tracks(self, info: models.ParticipantInfo, moment: float) -> list[News]:
        tracks = [_track(t, info.sid, moment) for t in info.tracks if t.type == models.AUDIO]
        listed = {track.track_sid for track in tracks}
        for sid, known in self.tracks.items():
            if known.participant_sid == info.sid and sid not in listed:
                self._leaving.setdefault(sid, (moment + TAIL, TrackGone(moment, sid)))
        for track in tracks:
            self._leaving.pop(track.track_sid, None)
            self.tracks[track.track_sid] = track
        return list(tracks)

    def _replace_namesakes(self, person: ParticipantChanged) -> None:
        """An identity is in a room once: LiveKit has thrown out whoever had it before."""
        for other in self.people.values():
            if (
                other.identity == person.identity
                and other.participant_sid != person.participant_sid
            ):
                self._leave(other.participant_sid, person.at, "duplicate_identity")

    def _leave(self, sid: str, moment: float, reason: str) -> None:
        if (person := self.people.get(sid)) is not None:
            gone = ParticipantGone(moment, sid, person.identity, reason)
            self._leaving.setdefault(sid, (moment + TAIL, gone))

    def _strike(self, entry: ParticipantGone | TrackGone) -> list[News]:
        if isinstance(entry, TrackGone):
            self._leaving.pop(entry.track_sid, None)
            return [entry] if self.tracks.pop(entry.track_sid, None) else []
        sid = entry.participant_sid
        self._leaving.pop(sid, None)
        self.since.pop(sid, None)
        if self.people.pop(sid, None) is None:
            return []
        theirs = [t.track_sid for t in self.tracks.values() if t.participant_sid == sid]
        tracks = [gone for t in theirs for gone in self._strike(TrackGone(entry.at, t))]
        return [*tracks, entry]


def _person(info: models.ParticipantInfo, moment: float) -> ParticipantChanged:
    """LiveKit's participant in the journal's words."""
    kind = name_of(models.ParticipantInfo.Kind, info.kind)
    return ParticipantChanged(
        at=moment,
        participant_sid=info.sid,
        identity=info.identity,
        name=info.name,
        kind=kind,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        joined_at=info.joined_at_ms / 1000 if info.joined_at_ms else float(info.joined_at) or None,
        is_recorder=kind == "EGRESS" or info.permission.recorder,
    )


def _track(info: models.TrackInfo, participant_sid: str, moment: float) -> TrackChanged:
    """LiveKit's track in the journal's words."""
    return TrackChanged(
        at=moment,
        track_sid=info.sid,
        participant_sid=participant_sid,
        name=info.name,
        mime=info.mime_type.lower(),
        is_muted=info.muted,
        is_encrypted=info.encryption != models.Encryption.NONE,
    )

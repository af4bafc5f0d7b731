"""Recordings that somebody begins and stops by hand: which one it is, and whom it is of."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.call_tracks import counted, has_room
from egress_manager.domain.calls import Call, recording_id_of
from egress_manager.domain.incoming import Kind, RoomListed, Source
from egress_manager.domain.policy import Engine
from egress_manager.domain.recordings import MANUAL, Recording, TrackFile

#: Whom a recording by hand is of may be away for this long: pages are loaded again, and servers
#: started again.
GONE_FOR: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants recorded: a room, or one participant of it against all others.

    `key` was given by whoever asks: the same wish has the same key, however often it is sent.
    """

    room_name: str
    identity: str = ""
    engine: Engine | None = None
    key: str = ""


def id_by_key(key: str) -> str:
    """`rec_…` of the recording that a key begins: of two processes at once, one begins it."""
    return recording_id_of(f"key\n{key}")


def next_id(wish: Wish, newest: Recording | None) -> str:
    """`rec_…` of a recording without a key: the one that comes after the newest of its kind."""
    before = newest.id if newest else ""
    return recording_id_of(f"manual\n{wish.room_name}\n{wish.identity}\n{before}")


def as_recorded(call: Call, recording: Recording) -> Call:
    """The call as far as it is recorded: from a start by hand on, and until a stop by hand."""
    if recording.source == MANUAL and recording.started_at is not None:
        call = replace(call, joined_at=recording.started_at, recording_id=recording.id)
    stop = recording.stop_asked_at
    if stop is None or (call.left_at is not None and call.left_at <= stop):
        return call
    answered = call.answered_at or call.heard_at
    if answered is not None and answered > stop:
        call = replace(call, answered_at=None, heard_at=None, status="ringing")
    return replace(call, left_at=stop, left_reason="stopped")


def stopped(recording: Recording, at: datetime) -> Recording:
    """Stopped by hand: it ends there. What was stopped before, or is over, stays as it is."""
    if recording.is_over or recording.stop_asked_at is not None:
        return recording
    if not recording.is_going_on:
        return replace(recording, stop_asked_at=at)
    return replace(recording, stop_asked_at=at, stopped_at=at, due_at=at)


def shows(listed: RoomListed, identity: str) -> bool:
    """Whether somebody is in the room; of that identity, if one is given."""
    here = (person for person in listed.participants if not person.is_recorder)
    return any(identity in ("", person.identity) for person in here)


def looked_at(recording: Recording, listed: RoomListed, at: datetime) -> Recording:
    """What a look into its room tells of a recording without a call: who is there."""
    if not shows(listed, recording.identity):
        since = recording.missing_since or (at if listed.is_complete else None)
        return replace(recording, missing_since=since)
    here = [person for person in listed.participants if not person.is_recorder]
    agents = (person.identity for person in here if person.kind is Kind.AGENT)
    known = {track.track_sid for track in recording.tracks}
    tracks, left_out = list(recording.tracks), recording.tracks_left_out
    published = [(person, track) for person in here for track in person.tracks]
    for person, track in published:
        if track.sid in known:
            continue
        if not has_room(tracks, person.identity):
            left_out = counted(left_out, Source.POLL)
            continue
        kind = person.kind or ""
        tracks.append(TrackFile(track.sid, person.identity, kind, "", reason="not_finished"))
    return replace(
        recording,
        missing_since=None,
        room_sid=listed.room.sid or recording.room_sid,
        agent_identity=recording.agent_identity or next(agents, None),
        tracks=tuple(tracks),
        tracks_left_out=left_out,
    )


def is_left(recording: Recording, now: datetime) -> bool:
    """Whether nobody whom it records has been there for so long that it is over."""
    return recording.missing_since is not None and now - recording.missing_since >= GONE_FOR

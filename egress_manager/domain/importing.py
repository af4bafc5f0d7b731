"""Recordings made of files that are there already: what is known of a file, and what it becomes.

Three sources tell of a file: the manifest that LiveKit Egress left beside it, its name
(`readings.py`), and its sound. The manifest beats the name, and where neither has a time, the file
ended when it was last written to.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from egress_manager.domain.calls import recording_id_of
from egress_manager.domain.egresses import Egress, EgressStatus
from egress_manager.domain.history import with_event
from egress_manager.domain.incoming import EgressKind, Sides
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.naming import FileNames
from egress_manager.domain.numbers import SIP_IDENTITY_PREFIX
from egress_manager.domain.policy import Engine
from egress_manager.domain.readings import Reading
from egress_manager.domain.recordings import (
    NEXT,
    Event,
    Observation,
    Recording,
    State,
    TrackFile,
)
from egress_manager.errors import EgressManagerError

#: Where such a recording came from, and by which engine, where nobody knows.
SOURCE: Final = "import"

#: What its history begins with.
IMPORTED: Final = "recording.imported"

#: Why a recording that was listened to before is listened to again.
IMPORTED_TRACK: Final = "track_imported"

#: A track may begin a little before what it is a part of: both times are cut to the second, and
#: LiveKit Egress takes them when it is asked, not when it begins.
NEAR: Final = timedelta(seconds=10)

#: A telephone number: as `domain/calls.py` has it.
_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")

#: Stands for a time that does not matter.
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ENDING: Final = re.compile(r"\.[a-z0-9]{1,8}")

#: What LiveKit's ids look like; what else a manifest calls one could lead anywhere.
_EGRESS_ID: Final = re.compile(r"EG_[A-Za-z0-9_]{1,60}")
_TRACK_ID: Final = re.compile(r"TR_[A-Za-z0-9_]{1,60}")

#: LiveKit counts in nanoseconds; milliseconds and seconds are understood. The year 5138, seconds.
_NOT_SECONDS: Final = 1e11


class NoSound(EgressManagerError):
    """There is no sound in a file, or none that can be decoded; the message says why."""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """What came out of a file that was decoded from its beginning to its end.

    `damaged` counts the packets that could not be decoded.
    """

    duration_sec: float
    channels: int
    sample_rate: int
    codec: str
    container: str
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What LiveKit Egress left beside its files (livekit.md 2.6): `files` are their names."""

    egress_id: str
    room_name: str = ""
    identity: str = ""
    track_sid: str = ""
    started_at: datetime | None = None
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that is to be imported, as it was found.

    `depth` says how many of the last parts of its path tell something: not the folders that were
    only on the way. `trouble` is why it can't be imported, where that is known already.
    """

    path: str
    depth: int = 1
    written_at: datetime = EPOCH
    size_bytes: int = 0
    manifest: Manifest | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when something was recorded, as far as anybody can tell; what is empty, nobody can.

    `identity` is whose call it was, `publisher` who is heard on the one track that it is.
    `time_from` says who told the time: `manifest`, `name`, or `file` (when it was last written to).
    """

    room_name: str
    identity: str
    started_at: datetime
    time_from: str
    track_sid: str = ""
    publisher: str = ""
    egress_id: str = ""

    @property
    def caller_number(self) -> str | None:
        """The number that a phone's identity holds (livekit.md 5.1)."""
        number = self.identity.removeprefix(SIP_IDENTITY_PREFIX)
        return number if _NUMBER.fullmatch(number) else None


@dataclass(frozen=True, slots=True)
class Found:
    """A file, and everything that is known of it."""

    path: str
    origin: Origin
    sound: SoundFile
    content: Fingerprint

    @property
    def recording_id(self) -> str:
        """`rec_…` of what it holds: the same file, under whatever name, is one recording."""
        return recording_id_of(self.content.sha256)

    @property
    def ended_at(self) -> datetime:
        """When its last sample was heard."""
        return self.origin.started_at + timedelta(seconds=self.sound.duration_sec)

    @property
    def ending(self) -> str:
        """The ending of a new name for it: its own, if it has one."""
        ending = PurePosixPath(self.path).suffix.lower()
        return ending if _ENDING.fullmatch(ending) else f".{self.sound.container}"

    @property
    def words(self) -> str:
        """Where it came from and what it is, for the recording's history."""
        facts = [
            f"from {plain(PurePosixPath(self.path).name)}",
            f"{self.sound.codec}, {self.sound.channels} channels, {self.sound.sample_rate} Hz",
            TIMES[self.origin.time_from],
        ]
        if self.origin.track_sid:
            facts.append(f"track {self.origin.track_sid}")
        if self.sound.damaged:
            facts.append(f"{self.sound.damaged} packets can't be decoded")
        return "; ".join(facts)


def plain(path: str) -> str:
    """A path as text that any store takes: names of files are bytes, and need not be UTF-8."""
    return path.encode("utf-8", "replace").decode()


def manifest_of(text: bytes) -> Manifest | None:
    """The manifest that a JSON file is; None for any other."""
    try:
        told = json.loads(text)
        files = [each for each in told["files"] if isinstance(each, dict)]
        names = {str(each.get(name) or "") for each in files for name in ("filename", "location")}
        egress_id, track_sid = str(told["egress_id"]), str(told.get("track_id") or "")
        if not _EGRESS_ID.fullmatch(egress_id):
            return None
        return Manifest(
            egress_id,
            str(told.get("room_name") or ""),
            str(told.get("publisher_identity") or ""),
            track_sid if _TRACK_ID.fullmatch(track_sid) else "",
            _moment(told.get("started_at")),
            frozenset(PurePosixPath(name).name for name in names if name),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _moment(told: Any) -> datetime | None:
    seconds: float = int(told or 0)  # not so much as infinite
    while seconds > _NOT_SECONDS:
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None


def origin_of(
    reading: Reading, manifest: Manifest | None, written_at: datetime, sound: SoundFile
) -> Origin:
    """What the three sources tell together."""
    told = manifest or Manifest("")
    ended = written_at - timedelta(seconds=sound.duration_sec)
    times = {"manifest": told.started_at, "name": reading.at, "file": ended}
    time_from, started_at = next((name, at) for name, at in times.items() if at)
    return Origin(
        told.room_name or reading.room_name,
        reading.identity or told.identity,
        started_at,
        time_from,
        told.track_sid or reading.track_sid,
        told.identity,
        told.egress_id,
    )


def recording_of(found: Found, *, filepath: str, names: FileNames, at: datetime) -> Recording:
    """The recording that a file becomes, which lies at `filepath` and was imported `at`."""
    origin = found.origin
    recording = Recording(
        id=found.recording_id,
        call_id=None,
        egress_id=origin.egress_id or None,
        engine=Engine.EGRESS if origin.egress_id else SOURCE,
        room_name=origin.room_name,
        seen=Observation(State.CAPTURED, found.ended_at),
        created_at=origin.started_at,  # lists go by it: it stands among those of its time
        caller_number=origin.caller_number,
        identity=origin.identity,
        started_at=origin.started_at,
        stopped_at=found.ended_at,
        duration_sec=found.sound.duration_sec,
        filepath=filepath,
        size_bytes=found.content.size_bytes,
        sha256=found.content.sha256,
        file_stem=names.mix_stem,
        track_stem=names.track_stem,
        state=State.CAPTURED,
        source=SOURCE,
        history=(Event(IMPORTED, at, found.words),),
    ).advance(State.RENDERED, at)
    if origin.track_sid:
        recording = replace(recording, tracks=(_track_of(found, filepath, recording),))
    return _made_by_egress(recording, found, filepath, EgressKind.MIX, at)


def with_track(recording: Recording, found: Found, *, filepath: str, at: datetime) -> Recording:
    """The recording with one more track's file; unchanged where it has one of that track."""
    track_sid = found.origin.track_sid
    if has_track(recording, track_sid):
        return recording
    others = tuple(track for track in recording.tracks if track.track_sid != track_sid)
    changed = replace(
        recording,
        tracks=(*others, _track_of(found, filepath, recording)),
        history=with_event(recording.history, Event(IMPORTED, at, found.words)),
    )
    changed = _made_by_egress(changed, found, filepath, EgressKind.TRACK, at)
    if changed.is_final and State.RENDERED in NEXT[changed.state]:  # there is more to listen to
        changed = changed.advance(State.RENDERED, at, IMPORTED_TRACK)
    return changed


def has_track(recording: Recording, track_sid: str) -> bool:
    """Whether the recording has a file of that track."""
    return any(track.track_sid == track_sid and track.filepath for track in recording.tracks)


def home_of(origin: Origin, recordings: Iterable[Recording]) -> Recording | None:
    """The one recording of the same room and time that a track can be a part of.

    Of several it is the one of the same call's identity; None where that does not tell, either: of
    two callers in one room at a time nobody knows whose track it is.
    """
    if not origin.room_name or origin.time_from == "file":
        return None
    around = [recording for recording in recordings if _spans(recording, origin)]
    same = [each for each in around if origin.identity and each.identity == origin.identity]
    found = same or around
    return found[0] if len(found) == 1 else None


def is_lone_track(recording: Recording) -> bool:
    """Whether its one file is a track's, for which nothing was found to be a part of."""
    files = [track.filepath for track in recording.tracks]
    return recording.filepath is not None and recording.filepath in files


def _spans(recording: Recording, origin: Origin) -> bool:
    """Whether a track that began then can be a part of the recording."""
    began, ended = recording.started_at, recording.stopped_at
    if recording.room_name != origin.room_name or began is None or ended is None:
        return False
    if not recording.is_over or is_lone_track(recording):
        return False
    return began - NEAR <= origin.started_at <= ended


def _track_of(found: Found, filepath: str, recording: Recording) -> TrackFile:
    """A track's file. It begins at its own `started_at`, and need not span the whole call."""
    publisher = found.origin.publisher
    is_callers = bool(publisher) and publisher == recording.identity
    return TrackFile(
        track_sid=found.origin.track_sid,
        participant_identity=publisher,
        participant_kind="SIP" if publisher.startswith(SIP_IDENTITY_PREFIX) else "",
        side="left" if is_callers else "right" if publisher else "",
        filepath=filepath,
        started_at=found.origin.started_at,
        duration_sec=found.sound.duration_sec,
        size_bytes=found.content.size_bytes,
    )


def _made_by_egress(
    recording: Recording, found: Found, filepath: str, kind: EgressKind, at: datetime
) -> Recording:
    """With the job of LiveKit Egress that made the file, so that no report of it is news."""
    origin = found.origin
    if not origin.egress_id:
        return recording
    job = Egress(
        asked_path="",
        kind=kind,
        asked_at=origin.started_at,
        status=EgressStatus.COMPLETE,
        at=at,
        egress_id=origin.egress_id,
        sides=Sides.ONE_VOICE if origin.publisher else Sides.EVERYBODY_BOTH,
        track_sid=origin.track_sid if kind is EgressKind.TRACK else "",
        identity=origin.publisher,
        filepath=filepath,
        is_delivered=True,
        started_at=origin.started_at,
        ended_at=found.ended_at,
        duration_sec=found.sound.duration_sec,
        size_bytes=found.content.size_bytes,
    )
    return replace(recording.hear(job), rendered_from=(*recording.rendered_from, job.key))


#: Who told the time, in words.
TIMES: Final[Mapping[str, str]] = {
    "manifest": "time from the manifest",
    "name": "time from its name",
    "file": "time from when the file was last written to",
}

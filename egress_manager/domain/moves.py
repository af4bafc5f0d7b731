"""New names for the files of recordings that are finished, and what a run of moves has done so far.

A recording is moved as a whole: all its files get their new names, then its document says so, then
the old names go. `Names` is what a document says; whoever finds a document that says neither the
old nor the new names leaves it alone.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from egress_manager.domain.naming import TIME_FORMAT, file_names
from egress_manager.domain.recordings import Recording

#: Where is kept what was moved, below the recordings directory.
FOLDER: Final = ".moves"

#: Why a recording is left as it is, in a word and for people.
REASONS: Final[Mapping[str, str]] = {
    "in_place": "its files have these names already",
    "not_finished": "it is not finished yet",
    "no_files": "it has no files",
    "no_call": "nobody knows whose call it was",
    "unusual_name": "a file's ending or a track's id is none of ours",
    "outside": "a file does not lie in RECORDINGS_DIR, or is a link",
    "not_there": "a file that its document names is not there",
    "named_twice": "another document names one of its files, too",
    "taken": "something else has the new name already",
    "changed": "somebody changed its document meanwhile",
}

#: The time in a name tells when the call began if it is not further than this from what is known.
_NEAR: Final = timedelta(hours=1)
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}")

_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")
_TRACK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file holds: SHA-256 of it, and its length in bytes."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Names:
    """What a recording's document says of where its files are.

    `tracks` and `egresses` (below the recordings directory) are in the document's order.
    """

    filepath: str | None
    tracks: tuple[str | None, ...]
    file_stem: str
    track_stem: str
    egresses: tuple[str | None, ...] = ()

    @property
    def files(self) -> tuple[str | None, ...]:
        """The paths, the mix first; None where there is no such file."""
        return (self.filepath, *self.tracks)


@dataclass(frozen=True, slots=True)
class Renaming:
    """What changes of one recording."""

    recording_id: str
    before: Names
    after: Names

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """Old and new path of every file whose name changes, each once."""
        pairs = zip(self.before.files, self.after.files, strict=True)
        changed = ((old, new) for old, new in pairs if old and new and old != new)
        return tuple(dict.fromkeys(changed))

    @property
    def reversed(self) -> "Renaming":
        """The way back."""
        return Renaming(self.recording_id, self.after, self.before)


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A recording that keeps its names; `why` is a key of `REASONS`."""

    recording_id: str
    why: str


def names_of(recording: Recording) -> Names:
    """What the recording's document says."""
    return Names(
        recording.filepath,
        tuple(track.filepath for track in recording.tracks),
        recording.file_stem,
        recording.track_stem,
        tuple(job.filepath for job in recording.egresses),
    )


def with_names(recording: Recording, renaming: Renaming) -> Recording:
    """The recording with the new names; unchanged where it says something else than the old."""
    if not recording.is_final or names_of(recording) != renaming.before:
        return recording
    after = renaming.after
    return replace(
        recording,
        filepath=after.filepath,
        tracks=tuple(
            replace(track, filepath=path)
            for track, path in zip(recording.tracks, after.tracks, strict=True)
        ),
        file_stem=after.file_stem,
        track_stem=after.track_stem,
        egresses=tuple(
            replace(job, filepath=path)
            for job, path in zip(recording.egresses, after.egresses, strict=True)
        ),
    )


def why_not(recording: Recording) -> LeftAlone | None:
    """Why a recording can't be moved, as far as its document alone says; None where it can."""
    files = [path for path in names_of(recording).files if path]
    track_ids = (track.track_sid for track in recording.tracks if track.filepath)
    if not recording.is_final:
        return LeftAlone(recording.id, "not_finished")
    if not files:
        return LeftAlone(recording.id, "no_files")
    if not all(_ENDING.fullmatch(PurePosixPath(path).suffix) for path in files):
        return LeftAlone(recording.id, "unusual_name")
    if not all(map(_TRACK_ID.fullmatch, track_ids)):
        return LeftAlone(recording.id, "unusual_name")
    return None


def renaming(
    recording: Recording, *, identity: str, pattern: str, path: Callable[[str], str]
) -> Renaming:
    """The names that the recording's files would have, had the pattern been in force.

    `identity` is the caller's; `path` says where a file below the recordings directory is. The time
    in the old name stays. Each file keeps its ending.
    """
    stems = file_names(
        pattern,
        room_name=recording.room_name,
        identity=identity,
        at=_began(recording),
        recording_id=recording.id,
    )

    before = names_of(recording)
    track_stems = (
        stems.track_stem.replace("{track_id}", track.track_sid) for track in recording.tracks
    )
    new: dict[str, str] = {}  # below the recordings directory; one file has one name
    for old, stem in zip(before.files, (stems.mix_stem, *track_stems), strict=True):
        if old:
            new.setdefault(old, f"{stem}{PurePosixPath(old).suffix}")
    after = Names(
        filepath=path(new[before.filepath]) if before.filepath else None,
        tracks=tuple(path(new[old]) if old else None for old in before.tracks),
        file_stem=stems.mix_stem,
        track_stem=stems.track_stem,
        egresses=tuple(_renamed(job.filepath, new, path) for job in recording.egresses),
    )
    return Renaming(recording.id, before, after)


def _renamed(told: str | None, new: Mapping[str, str], path: Callable[[str], str]) -> str | None:
    """What a job's file is called then; it is told whole, or from the recordings directory on."""
    if told is None:
        return None
    return path(new[told]) if told in new else new.get(path(told), told)


def _began(recording: Recording) -> datetime:
    """When the call began, to the second, as its files' names say; else as its document does."""
    known = recording.started_at or recording.created_at
    told = (_moment(text) for text in _TIME.findall(f"{recording.file_stem} {recording.filepath}"))
    near = [at for at in told if at and abs(at - known) <= _NEAR]
    return min(near, key=lambda at: abs(at - known), default=known)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Planned:
    """A renaming that is being carried out, and what its files hold, by their old paths."""

    renaming: Renaming
    fingerprints: Mapping[str, Fingerprint]


@dataclass(slots=True)
class Run:
    """What a run's book tells: what it is about, how far it came, and what it gave up."""

    deed: str = ""
    pattern: str = ""
    undoes: str = ""
    is_over: bool = False
    open: dict[str, Planned] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)

    def tell(self, entries: Iterable[Mapping[str, Any]]) -> "Run":
        """Fold in entries, in order."""
        for entry in entries:
            self._take(entry)
        return self

    def _take(self, entry: Mapping[str, Any]) -> None:
        match entry["entry"]:
            case "begun":
                self.deed, self.pattern = entry["deed"], entry.get("pattern", "")
                self.undoes = entry.get("undoes", "")
            case "planned":
                planned = planned_of(entry)
                self.open[planned.renaming.recording_id] = planned
                self.given_up.discard(planned.renaming.recording_id)
            case "done":
                self.open.pop(entry["recording"], None)
            case "given_up":
                self.open.pop(entry["recording"], None)
                self.given_up.add(entry["recording"])
            case "ended":
                self.is_over = True


def done_in(entries: Iterable[Mapping[str, Any]], run: Run) -> Iterator[Renaming]:
    """The renamings that a run carried out."""
    for entry in entries:
        if entry["entry"] == "planned" and entry["recording"] not in run.given_up:
            yield planned_of(entry).renaming


def planned_entry(planned: Planned) -> Mapping[str, Any]:
    """A renaming as it stands in a book."""
    change = planned.renaming
    return {
        "entry": "planned",
        "recording": change.recording_id,
        "before": _to_json(change.before),
        "after": _to_json(change.after),
        "files": {
            path: {"sha256": known.sha256, "size_bytes": known.size_bytes}
            for path, known in planned.fingerprints.items()
        },
    }


def planned_of(entry: Mapping[str, Any]) -> Planned:
    """A renaming, read from a book."""
    return Planned(
        Renaming(entry["recording"], _names(entry["before"]), _names(entry["after"])),
        {path: Fingerprint(**known) for path, known in entry["files"].items()},
    )


def _to_json(names: Names) -> Mapping[str, Any]:
    return {
        "filepath": names.filepath,
        "tracks": list(names.tracks),
        "file_stem": names.file_stem,
        "track_stem": names.track_stem,
        "egresses": list(names.egresses),
    }


def _names(facts: Mapping[str, Any]) -> Names:
    lists = {name: tuple(facts[name]) for name in ("tracks", "egresses")}
    return Names(**{**facts, **lists})

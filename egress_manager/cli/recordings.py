"""`egress-manager recordings`: list, show and download them; begin, stop and render one by hand."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from cyclopts import App

from egress_manager.cli.moments import Moment, told
from egress_manager.cli.plainly import line
from egress_manager.cli.service import HERE, Facts, Failed, Service, ask, every, fetch, tell
from egress_manager.cli.tables import length, moment, print_json, show, show_fields, table
from egress_manager.domain.policy import Engine

recordings = App(
    "recordings", help="List recordings, newest first; show, download, begin, stop and render one."
)


@recordings.default
def list_recordings(
    *,
    room: str | None = None,
    caller: str | None = None,
    since: Moment = None,
    until: Moment = None,
    status: str | None = None,
    limit: int = 50,
    service: Service = HERE,
) -> None:
    """List recordings, newest first.

    Parameters
    ----------
    room
        Only those in this room.
    caller
        Only those from this number.
    since
        Only those from this moment on (2026-11-22, or 2026-11-22T08:00).
    until
        Only those before this moment.
    status
        Only those that are starting, recording, processing, completed, failed, aborted or deleted.
    limit
        How many at most.
    """
    where = {"room_name": room, "caller_number": caller, "since": told(since), "until": told(until)}
    found = every(service, "/recordings", where | {"status": status}, limit)
    columns = ["begun", "caller", "room", "status", "verdict", "lasted", "file", "recording"]
    show(service, found, table(columns, map(_recording_row, found["items"])))


@recordings.command(name="show")
def show_recording(recording_id: str, /, *, service: Service = HERE) -> None:
    """Show one recording, and in words what was found when it was listened to."""
    found = ask(service, f"/recordings/{quote(recording_id, safe='')}", {})
    if not service.as_json:
        found["findings"] = [_in_words(finding) for finding in found["findings"]]
    show_fields(service, found)


@recordings.command(name="start")
def start_recording(
    room: str,
    /,
    *,
    identity: str | None = None,
    engine: Engine | None = None,
    key: str | None = None,
    service: Service = HERE,
) -> None:
    """Have a room, a call, or one participant of a room recorded from now on.

    What is being recorded already is shown, and not begun again.

    Parameters
    ----------
    identity
        Whose side is the left one; where it is not given, the caller's of the only call in the
        room, else the whole room is recorded.
    engine
        Which recorder: builtin or egress.
    key
        For scripts that may run twice: the same key never begins a second recording.
    """
    wanted = {"room_name": room, "identity": identity, "engine": engine}
    headers = {"Idempotency-Key": key} if key else {}
    show_fields(service, tell(service, "/recordings", wanted, headers))


@recordings.command(name="stop")
def stop_recording(recording_id: str, /, *, service: Service = HERE) -> None:
    """End a recording now; its call goes on."""
    show_fields(service, tell(service, f"/recordings/{quote(recording_id, safe='')}/stop"))


@recordings.command(name="render")
def render_recording(recording_id: str, /, *, service: Service = HERE) -> None:
    """Have the files of a recording that is over made again, of all there is of it."""
    show_fields(service, tell(service, f"/recordings/{quote(recording_id, safe='')}/render"))


@recordings.command(name="download")
def download_recording(
    recording_id: str, to: Path | None = None, /, *, track: str = "", service: Service = HERE
) -> None:
    """Download the mix of a recording, or one of its tracks, and say where it is.

    Parameters
    ----------
    to
        The file or the folder to write to; by default the file's own name, in this folder. Nothing
        is written over.
    track
        The track (TR_…), in the place of the mix.
    """
    where = f"/recordings/{quote(recording_id, safe='')}"
    found = ask(service, where, {})
    path = _path_of(found, track)
    if path is None:
        what = f"track {track}" if track else "file"
        raise Failed(f"{recording_id} has no {what}: it is {found['status']}")
    file = to or Path()
    file = file / PurePosixPath(path).name if file.is_dir() else file
    source = f"{where}/tracks/{quote(track, safe='')}/audio" if track else f"{where}/audio"
    with _new(file) as into:
        fetch(service, source, into)
    if service.as_json:
        print_json({"file": str(file), "size_bytes": file.stat().st_size})
    else:
        line(str(file))


def _path_of(recording: Facts, track_sid: str) -> str | None:
    """Where a file of a recording lies on the service's host; its name is told by it."""
    paths = {track["track_id"]: track["filepath"] for track in recording["tracks"]}
    path: str | None = paths.get(track_sid) if track_sid else recording["filepath"]
    return path


@contextmanager
def _new(file: Path) -> Iterator[BinaryIO]:
    """A file that was not there, for its owner alone; gone again where it does not come whole."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failed(f"{file} can't be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as into:
            yield into
    except BaseException:
        file.unlink()
        raise


def _in_words(finding: Facts) -> str:
    return finding["words"] if finding["is_fault"] else f"no fault: {finding['words']}"


def _recording_row(recording: Facts) -> Sequence[str]:
    status = recording["status"]
    if recording["reason"] and status != "completed":
        status += f" ({recording['reason']})"
    return [
        moment(recording["started_at"] or recording["created_at"]),
        recording["caller_number"] or "",
        recording["room_name"],
        status,
        recording["verdict"] if recording["status"] == "completed" else "",
        length(recording["duration_sec"]),
        recording["filepath"] or "",
        recording["id"],
    ]

"""`/recordings`: what was recorded, the audio itself, and recording by hand."""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from egress_manager.api.auth import Operator, Principal, Reader
from egress_manager.api.errors import NoFile, NoFileYet, described
from egress_manager.api.filters import CallerNumber, Cursor, Limit, RoomName, Since, Until
from egress_manager.api.schemas import PageOut, RecordingIn, RecordingOut, Status
from egress_manager.api.services import ApiServices, Services
from egress_manager.api.streaming import answered_early, pass_over_ranges, streamed
from egress_manager.domain.downloads import Download
from egress_manager.domain.manual import Wish
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import MIX
from egress_manager.errors import NotFound

router = APIRouter(
    prefix="/recordings",
    tags=["recordings"],
    responses=described("unauthenticated", "store_unavailable"),
)

#: The content type of a file, by its ending.
CONTENT_TYPES: Final = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".webm": "audio/webm",
}

#: What makes a request that is sent again the same request.
Key = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Made up by the client, one for each recording that it wants: however often "
        "the request is sent, there is one recording.",
        examples=["6f2d3c1e-0b7a-4a53-9a0e-5d1c8a7e2b44"],
    ),
]

#: Answers that have something of a file in them.
_GIVEN: Final = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)

_AUDIO: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The whole file.", "content": {"audio/mp4": {}, "audio/ogg": {}}},
    206: {"description": "The part that `Range` asked for."},
    304: {"description": "The client has it already."},
    **described("not_found", "no_file", "no_file_yet", "range_not_satisfiable", "storage_failed"),
}


@router.get(
    "",
    responses=described("bad_request"),
    operation_id="list_recordings",
    summary="List recordings, newest first",
)
async def page(
    who: Reader,
    services: Services,
    *,
    room_name: RoomName = None,
    caller_number: CallerNumber = None,
    since: Since = None,
    until: Until = None,
    status: Annotated[Status | None, Query(description="With this status.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[RecordingOut]:
    """Recordings, newest first, by when they were begun."""
    where = RecordingFilter(room_name, caller_number, since, until, status)
    found = await services.recordings.page(where, cursor=cursor, limit=limit)
    items = [RecordingOut.of(recording) for recording in found.items]
    return PageOut(items=items, next_cursor=found.next_cursor)


@router.post(
    "",
    operation_id="start_recording",
    summary="Start a recording",
    status_code=HTTPStatus.CREATED,
    responses={
        200: {"description": "It is being recorded already.", "model": RecordingOut},
        **described("bad_request", "not_found", "conflict", "too_large", "livekit_unavailable"),
    },
)
async def start(
    wanted: RecordingIn,
    who: Operator,
    services: Services,
    response: Response,
    idempotency_key: Key = None,
) -> RecordingOut:
    """Have a room, a call, or one participant of a room recorded from now on.

    What is being recorded already is answered with, and not begun again.
    """
    wish = Wish(wanted.room_name, wanted.identity or "", wanted.engine, key=idempotency_key or "")
    begun = await services.start(wish)
    response.headers["Location"] = f"{router.prefix}/{begun.recording.id}"
    if not begun.is_new:
        response.status_code = HTTPStatus.OK
    return RecordingOut.of(begun.recording)


@router.post(
    "/{recording_id}/stop",
    responses=described("not_found"),
    operation_id="stop_recording",
    summary="Stop a recording",
)
async def stop(recording_id: str, who: Operator, services: Services) -> RecordingOut:
    """End a recording here; its call goes on. What is over already stays as it is."""
    return RecordingOut.of(await services.stop(recording_id))


@router.post(
    "/{recording_id}/render",
    responses=described("not_found", "conflict"),
    operation_id="render_recording",
    summary="Make the files of a recording again",
)
async def render(recording_id: str, who: Operator, services: Services) -> RecordingOut:
    """Have the files of a recording that is over made again, of all there is of it.

    They are listened to again, too. 409 where it goes on, or nothing is left to make files of.
    """
    return RecordingOut.of(await services.render(recording_id))


@router.get(
    "/{recording_id}",
    responses=described("not_found"),
    operation_id="get_recording",
    summary="Show one recording",
)
async def show(recording_id: str, who: Reader, services: Services) -> RecordingOut:
    """One recording."""
    return RecordingOut.of(await services.recordings.get(recording_id))


@router.head("/{recording_id}/audio", include_in_schema=False)
@router.get(
    "/{recording_id}/audio",
    response_class=FileResponse,
    responses=_AUDIO,
    operation_id="get_recording_audio",
    summary="Download or play the mix of a recording",
)
async def audio(recording_id: str, request: Request, who: Reader, services: Services) -> Response:
    """The mix: the caller on the left, everyone the caller could hear on the right."""
    recording = await services.recordings.get(recording_id)
    asked = _Asked(recording, MIX, recording.filepath, who)
    return await _file(asked, request, services)


@router.head("/{recording_id}/tracks/{track_id}/audio", include_in_schema=False)
@router.get(
    "/{recording_id}/tracks/{track_id}/audio",
    response_class=FileResponse,
    responses=_AUDIO,
    operation_id="get_track_audio",
    summary="Download or play one track of a recording",
)
async def track_audio(
    recording_id: str, track_id: str, request: Request, who: Reader, services: Services
) -> Response:
    """One participant's track, from the call's beginning to its end."""
    recording = await services.recordings.get(recording_id)
    for track in recording.tracks:
        if track.track_sid == track_id:
            asked = _Asked(recording, track_id, track.filepath, who)
            return await _file(asked, request, services)
    if not recording.is_over:
        raise NoFileYet("the recording is not finished")
    raise NotFound(f"there is no track {track_id} in recording {recording_id}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """The file that somebody asks for: the mix, or the track of that sid."""

    recording: Recording
    role: str
    filepath: str | None
    who: Principal


async def _note(asked: _Asked, request: Request, services: ApiServices) -> None:
    """The audit chain says who is given the file; a look at its headers is no download.

    Raises `StoreUnavailable`: who can't be noted is given nothing.
    """
    if request.method == "HEAD" or services.note_download is None:
        return
    address = request.client.host if request.client else ""
    path, name = asked.filepath or "", asked.who.name
    await services.note_download(Download(asked.recording.id, asked.role, path, name, address))


async def _file(asked: _Asked, request: Request, services: ApiServices) -> Response:
    """The file as it is asked for; whoever is given any of it is noted before.

    Raises what `_found` and `_note` do.
    """
    answer = await _found(asked, request, services)
    if answer.status_code in _GIVEN:
        await _note(asked, request, services)
    return answer


async def _found(asked: _Asked, request: Request, services: ApiServices) -> Response:
    """The file, or the object of the bucket.

    Raises `NoFileYet` or `NoFile`, also for what is neither below the directory nor in the bucket,
    and `StorageFailed` while the bucket does not answer.
    """
    recording, filepath = asked.recording, asked.filepath
    name, objects = PurePosixPath(filepath or "").name, services.objects
    kind = CONTENT_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    path = await run_in_threadpool(_below, services.recordings_dir, filepath) if filepath else None
    if path is not None:
        return await _read(path, name, kind, request)
    if filepath and objects and (stored := await objects.about(filepath)):
        return streamed(stored, name, kind, request, objects)
    if not recording.is_over:
        raise NoFileYet("the recording is not finished")
    if recording.place not in ("", services.place):
        raise NoFile(
            f"the files are on another host, at place {recording.place}: ask the API there"
        )
    raise NoFile(f"there is no file here: {recording.verdict if filepath else recording.reason}")


async def _read(path: Path, name: str, kind: str, request: Request) -> Response:
    """A file as an answer. Raises `NoFile` where it has gone since, and `NoSuchRange`."""
    try:
        about = await run_in_threadpool(path.stat)
    except FileNotFoundError as error:
        raise NoFile("there is no file here any more") from error
    file = FileResponse(
        path,
        media_type=kind,
        filename=name,
        content_disposition_type="inline",
        stat_result=about,
    )
    if early := answered_early(request, file.headers, about.st_size):
        return early
    pass_over_ranges(request)
    return file


def _below(directory: Path, filepath: str) -> Path | None:
    """The file, wherever links lead, if it is one, lies below the directory and is not hidden."""
    try:
        path = Path(filepath).resolve()
        below = path.relative_to(directory.resolve())
        is_there = path.is_file()
    except (OSError, ValueError):
        return None
    is_hidden = any(part.startswith(".") for part in below.parts)
    return path if is_there and not is_hidden else None

"""What LiveKit Egress says of its jobs, in our words (livekit.md part 2)."""

from datetime import UTC, datetime
from typing import Final

from livekit.protocol import egress

from egress_manager.domain.incoming import EgressKind, EgressReported, Room, Sides
from egress_manager.domain.moments import to_milliseconds

#: Where a request has its output's path, by the kind of the request.
_MIX_SIDES: Final = {
    egress.AudioMixing.DUAL_CHANNEL_AGENT: Sides.AGENTS_LEFT,
    egress.AudioMixing.DUAL_CHANNEL_ALTERNATE: Sides.ALTERNATING,
}


def report_of(info: egress.EgressInfo, at: datetime, status: str = "") -> EgressReported:
    """A job as LiveKit shows it.

    `at` is used where it does not say when; `status` where its own is newer than our protocol.
    """
    file = info.file_results[0] if info.file_results else info.file
    return EgressReported(
        _moment(info.updated_at) or at,
        Room(info.room_name, info.room_id),
        info.egress_id,
        status or _status_of(info),
        kind=_kind_of(info),
        sides=_sides_of(info),
        track_sid=info.track.track_id or info.track_composite.audio_track_id,
        identity=info.participant.identity,
        asked_path=_asked_path(info),
        filepath=file.location or file.filename or None,
        is_delivered=bool(file.location),
        started_at=_moment(file.started_at),
        ended_at=_moment(file.ended_at) or _moment(info.ended_at),
        duration_sec=file.duration / 1e9 if file.duration else None,
        size_bytes=file.size or None,
        error=info.error,
        error_code=info.error_code,
        details=info.details,
    )


def _status_of(info: egress.EgressInfo) -> str:
    known = info.status in egress.EgressStatus.values()
    return egress.EgressStatus.Name(info.status).removeprefix("EGRESS_") if known else "UNKNOWN"


def _kind_of(info: egress.EgressInfo) -> EgressKind:
    is_track = info.WhichOneof("request") in ("track", "track_composite")
    return EgressKind.TRACK if is_track else EgressKind.MIX


def _sides_of(info: egress.EgressInfo) -> Sides:
    match info.WhichOneof("request"):
        case "room_composite":
            return _MIX_SIDES.get(info.room_composite.audio_mixing, Sides.EVERYBODY_BOTH)
        case "participant" | "track" | "track_composite":
            return Sides.ONE_VOICE
        case "egress" if _has_caller_left(info.egress):
            return Sides.CALLER_LEFT
        case _:
            return Sides.EVERYBODY_BOTH


def _has_caller_left(request: egress.StartEgressRequest) -> bool:
    """Whether somebody by name, or the phones, are on the left."""
    first = next(iter(request.media.audio.routes), None)
    return first is not None and first.channel == egress.AudioChannel.AUDIO_CHANNEL_LEFT


def _asked_path(info: egress.EgressInfo) -> str:
    """The path of the request's file output."""
    match info.WhichOneof("request"):
        case "track":
            return info.track.file.filepath
        case "egress":
            outputs = (output.file.filepath for output in info.egress.outputs)
        case "room_composite" | "participant" | "track_composite" as kind:
            request = getattr(info, kind)
            older = [request.file] if kind != "participant" else []
            outputs = (output.filepath for output in (*request.file_outputs, *older))
        case _:
            return ""
    return next((path for path in outputs if path), "")


def _moment(nanoseconds: int) -> datetime | None:
    """The moment to the millisecond, as documents store it, so that a repeated report is equal."""
    if not nanoseconds:
        return None
    return to_milliseconds(datetime.fromtimestamp(nanoseconds / 1e9, UTC))

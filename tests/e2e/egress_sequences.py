"""What LiveKit Egress 1.14.0 was seen to tell of recordings, event by event.

Facts taken from what livekit-server 1.13.5 sent by webhook, reduced to what has to be the same each
time. The stand-in is held against them, and so can the real one be.
"""

from dataclasses import dataclass
from typing import Any

_REQUESTS = frozenset(
    {"egress", "roomComposite", "participant", "trackComposite", "track", "web", "replay"}
)
_ALWAYS = frozenset(
    {"egressId", "roomId", "roomName", "sourceType", "startedAt", "updatedAt"}
    | {"fileResults", "file"}
)

#: What a file's result has in it, by how far the recording came.
UNNAMED: frozenset[str] = frozenset()
NAMED = frozenset({"filename"})
BEGUN = NAMED | {"startedAt"}
OVER = BEGUN | {"endedAt", "duration"}
DELIVERED = OVER | {"size", "location"}


@dataclass(frozen=True, slots=True)
class Told:
    """One webhook about an egress: what it says, and which fields there are.

    `status` is empty for STARTING, as in the webhook. `file` are the fields of the file's result.
    """

    event: str
    status: str = ""
    file: frozenset[str] = NAMED
    details: str = ""
    error: str = ""
    code: int = 0
    manifest: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """The fields of `egressInfo`, but for the request."""
        there = {
            "status": self.status,
            "details": self.details,
            "error": self.error,
            "errorCode": self.code,
            "manifestLocation": self.manifest,
            "endedAt": self.event == "egress_ended",
        }
        return _ALWAYS | {name for name, is_there in there.items() if is_there}


def told(event: dict[str, Any]) -> Told:
    """A webhook as `Told`; fields that do not belong there fail."""
    info = event["egressInfo"]
    (result,) = info["fileResults"]
    assert result == info["file"]
    heard = Told(
        event["event"],
        info.get("status", "").removeprefix("EGRESS_"),
        frozenset(result),
        info.get("details", "").removeprefix("End reason: "),
        info.get("error", ""),
        info.get("errorCode", 0),
        "manifestLocation" in info,
    )
    assert set(info) - _REQUESTS == heard.fields
    return heard


_STARTED = Told("egress_started")
_ACTIVE = Told("egress_updated", "ACTIVE", BEGUN)
_STOPPING = Told("egress_updated", "ENDING", BEGUN, "StopEgress API")
_CLOSING = Told("egress_updated", "ENDING", BEGUN, "Source closed")
_STOPPED = Told("egress_ended", "COMPLETE", DELIVERED, "StopEgress API")
_CLOSED = Told("egress_ended", "COMPLETE", DELIVERED, "Source closed")


def _aborted(details: str) -> Told:
    return Told("egress_ended", "ABORTED", NAMED, details, "Start signal not received", 412)


MIX_STOPPED = (_STARTED, _ACTIVE, _STOPPING, _STOPPED)
#: Nobody stops it: the room closes, or is deleted.
MIX_CLOSED = (_STARTED, _ACTIVE, _CLOSING, _CLOSED)
TRACK = (
    Told("egress_started", file=UNNAMED),
    _ACTIVE,
    _CLOSING,
    Told("egress_ended", "COMPLETE", DELIVERED, "Source closed", manifest=True),
)
PARTICIPANT = (_STARTED, *TRACK[1:])
HANDLER_KILLED = (
    _STARTED,
    _ACTIVE,
    Told("egress_ended", "FAILED", NAMED, error="signal: killed", code=500),
)
STOPPED_AT_ONCE = (_STARTED, _aborted("StopEgress API"))
NOBODY_SPEAKS = (_STARTED, _aborted("Source closed"))
TRACK_MISSING = (
    Told("egress_started", file=UNNAMED),
    Told("egress_ended", "FAILED", UNNAMED, "Failure", "track TR_nope not found", 404),
)
_NOWHERE = "Local upload failed: mkdir /proc/nope/: no such file or directory"
UNWRITABLE = (
    _STARTED,
    _ACTIVE,
    _CLOSING,
    Told("egress_ended", "FAILED", OVER, "Source closed", _NOWHERE, 400),
)
NO_AAC_ENCODER = (
    _STARTED,
    Told("egress_ended", "FAILED", NAMED, "Failure", "could not create element: faac", 500),
)

#: Not seen, but read in the source of LiveKit Egress.
CONNECTION_LOST = (
    _STARTED,
    _ACTIVE,
    _CLOSING,
    Told(
        "egress_ended",
        "FAILED",
        DELIVERED,
        "Source closed",
        "recording ended early: connection to room failed",
        503,
    ),
)
LIMIT_REACHED = (
    _STARTED,
    _ACTIVE,
    Told(
        "egress_ended",
        "LIMIT_REACHED",
        DELIVERED,
        "Session limit reached",
        "Session limit reached",
        413,
    ),
)
PIPELINE_ERROR = (
    _STARTED,
    _ACTIVE,
    Told("egress_ended", "FAILED", OVER, "Failure", "pipeline frozen", 500),
)

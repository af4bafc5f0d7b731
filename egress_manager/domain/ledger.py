"""The ledger: every call of a period, and what became of it.

Nothing is left out and nothing is counted twice: each call has one line, each line one fate, and
the totals are sums over the lines.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.manual import as_recorded
from egress_manager.domain.recordings import Recording, State, Verdict


class Fate(StrEnum):
    """What became of a call."""

    VERIFIED = "verified"
    COMPLETED = "completed"
    WITH_HOLES = "with_holes"
    FLAWED = "flawed"
    REJECTED = "rejected"
    NOT_RECORDED = "not_recorded"
    UNDER_WAY = "under_way"


#: What each means, for people.
WORDS: Final[Mapping[Fate, str]] = {
    Fate.VERIFIED: "recorded, and listened to",
    Fate.COMPLETED: "recorded, not verified",
    Fate.WITH_HOLES: "recorded, with seconds missing",
    Fate.FLAWED: "recorded, with a fault, named by the reason",
    Fate.REJECTED: "recorded, but the file is not what it should be",
    Fate.NOT_RECORDED: "not recorded, for the reason given",
    Fate.UNDER_WAY: "not over yet",
}

#: Holes shorter than this are packets, not seconds. Seconds.
HOLE_COUNTS_FROM: Final = 0.5

#: A recording and its call are equally long, but for this: our own files span the call (a frame of
#: AAC, and the same end heard of twice); those of LiveKit Egress alone begin when its job does and
#: end up to 3 s after the caller. Seconds.
SAME_LENGTH: Final = 1.0
SAME_LENGTH_BY_EGRESS: Final = 5.0

#: The reasons of a recording that is not as long as its call.
SHORTER, LONGER = "shorter_than_call", "longer_than_call"
#: Nobody says how long it is, so that nothing says that it is as long as its call.
UNKNOWN: Final = "length_unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One call. Lengths in seconds; `hole_sec` is the sum of its holes.

    `reason` is never empty if the call was not recorded as it should be. `tracks_published` were
    seen in its room meanwhile, `tracks_kept` have a file.
    """

    call_id: str
    room_name: str
    identity: str
    caller_number: str | None
    joined_at: datetime
    left_at: datetime | None
    call_sec: float | None
    fate: Fate
    reason: str = ""
    recording_id: str | None = None
    engine: str = ""
    recorded_sec: float = 0.0
    hole_sec: float = 0.0
    tracks_published: int = 0
    tracks_kept: int = 0


#: The columns, in order, as tables and CSV have them.
COLUMNS: Final = tuple(field.name for field in fields(Line))


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over the lines; `calls` is the sum of `by_fate`, and of what `by_reason` leaves."""

    calls: int = 0
    by_fate: Mapping[str, int] | None = None
    by_reason: Mapping[str, int] | None = None
    call_sec: float = 0.0
    recorded_sec: float = 0.0
    hole_sec: float = 0.0
    tracks_published: int = 0
    tracks_kept: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The ledger of calls that began from `since` on and before `until`."""

    since: datetime
    until: datetime
    made_at: datetime
    lines: tuple[Line, ...]
    totals: Totals


def line_of(call: Call, recording: Recording | None) -> Line:
    """What became of a call; `recording` is the one that it names, where it names one."""
    fate, reason = _fate(call, recording)
    holes = recording.holes if recording else ()
    tracks = recording.tracks if recording else ()
    return Line(
        call_id=call.id,
        room_name=call.room.name,
        identity=call.identity,
        caller_number=call.caller_number,
        joined_at=call.joined_at,
        left_at=call.left_at,
        call_sec=(call.left_at - call.joined_at).total_seconds() if call.left_at else None,
        fate=fate,
        reason=reason,
        recording_id=call.recording_id,
        engine=str(recording.engine) if recording else "",
        recorded_sec=(recording.duration_sec or 0.0) if recording else 0.0,
        hole_sec=sum(hole.end_sec - hole.start_sec for hole in holes),
        tracks_published=len({track.track_sid for track in call.tracks}),
        tracks_kept=sum(track.filepath is not None for track in tracks),
    )


def _fate(call: Call, recording: Recording | None) -> tuple[Fate, str]:
    if recording is None:
        if not call.is_over and not call.reason:
            return Fate.UNDER_WAY, ""
        return Fate.NOT_RECORDED, call.reason or "no_recording_found"
    if not recording.is_over:
        return Fate.UNDER_WAY, ""
    if recording.state in (State.FAILED, State.ABORTED):
        return Fate.NOT_RECORDED, recording.reason or str(recording.state)
    if recording.verdict in (Verdict.REJECTED, Verdict.MISSING):
        return Fate.REJECTED, _gravest_fault(recording)
    other_length = _other_length(as_recorded(call, recording), recording)
    if other_length:
        return Fate.FLAWED, other_length
    if any(hole.end_sec - hole.start_sec >= HOLE_COUNTS_FROM for hole in recording.holes):
        return Fate.WITH_HOLES, _longest_cause(recording)
    return _heard(recording)


def _other_length(call: Call, recording: Recording) -> str:
    """Why the recording and what it is of are not equally long; empty if they are.

    Holes before a file's beginning and after its end belong to the recording: it tells of them.
    """
    if call.left_at is None or recording.duration_sec is None:
        return ""
    told = sum(
        max(0.0, min(0.0, hole.end_sec) - hole.start_sec)
        + max(0.0, hole.end_sec - max(recording.duration_sec, hole.start_sec))
        for hole in recording.holes
    )
    call_sec = max(0.0, (call.left_at - call.joined_at).total_seconds())
    missing = call_sec - recording.duration_sec - told
    if abs(missing) <= (SAME_LENGTH if recording.captures else SAME_LENGTH_BY_EGRESS):
        return ""
    return SHORTER if missing > 0 else LONGER


def _heard(recording: Recording) -> tuple[Fate, str]:
    """What listening has come to."""
    match recording.verdict:
        case Verdict.VERIFIED if recording.duration_sec is None:
            return Fate.COMPLETED, UNKNOWN
        case Verdict.VERIFIED:
            return Fate.VERIFIED, ""
        case Verdict.FLAWED:
            return Fate.FLAWED, _gravest_fault(recording)
        case Verdict.PENDING:
            return Fate.COMPLETED, ""
    return Fate.COMPLETED, str(recording.verdict)


def _gravest_fault(recording: Recording) -> str:
    """The name of the gravest finding; the verdict where there is none."""
    names = [finding.name for finding in recording.findings if finding.is_fault]
    return names[0] if names else str(recording.verdict)


def _longest_cause(recording: Recording) -> str:
    return max(recording.holes, key=lambda hole: hole.end_sec - hole.start_sec).cause


def report_of(lines: Iterable[Line], since: datetime, until: datetime, made_at: datetime) -> Report:
    """The report of these lines, oldest call first."""
    ordered = tuple(sorted(lines, key=lambda line: (line.joined_at, line.call_id)))
    return Report(since, until, made_at, ordered, totals_of(ordered))


def totals_of(lines: Iterable[Line]) -> Totals:
    """The sums over the lines."""
    lines = tuple(lines)
    return Totals(
        calls=len(lines),
        by_fate={fate.value: sum(line.fate is fate for line in lines) for fate in Fate},
        by_reason=_counted(line.reason for line in lines if line.reason),
        call_sec=sum(line.call_sec or 0.0 for line in lines),
        recorded_sec=sum(line.recorded_sec for line in lines),
        hole_sec=sum(line.hole_sec for line in lines),
        tracks_published=sum(line.tracks_published for line in lines),
        tracks_kept=sum(line.tracks_kept for line in lines),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in sorted(words):
        counts[word] = counts.get(word, 0) + 1
    return counts

"""What the files of LiveKit Egress are to a recording: its mix, its tracks, or pieces of a mix."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.egresses import Egress, mixes
from egress_manager.domain.incoming import EgressKind, Sides
from egress_manager.domain.recordings import (
    Channel,
    Hole,
    Layout,
    Piece,
    Recording,
    TrackFile,
)

#: Where the caller is in a mix of LiveKit Egress, and how that becomes left.
LAYOUTS: Final = {
    Sides.CALLER_LEFT: Layout.STEREO,
    Sides.AGENTS_LEFT: Layout.SWAPPED,
    Sides.ALTERNATING: Layout.STEREO,
    Sides.ONE_VOICE: Layout.LEFT,
    Sides.EVERYBODY_BOTH: Layout.BOTH,
}


def whole_mix(recording: Recording) -> Egress | None:
    """The one file that holds all there is of the call; None where it has to be put together."""
    made = [job for job in mixes(recording.egresses) if job.has_file]
    return made[0] if len(made) == 1 and not recording.captures else None


def with_mix(recording: Recording, call: Call, mix: Egress) -> Recording:
    """The recording with what LiveKit Egress says of its mix; the file's own path is not set.

    LiveKit's durations are taken by the clock, not from the file (livekit.md 2.5).
    """
    began = mix.started_at or call.joined_at
    answered = call.answered_at
    return replace(
        recording,
        started_at=began,
        stopped_at=mix.ended_at or call.left_at or recording.stopped_at,
        duration_sec=mix.duration_sec,
        size_bytes=mix.size_bytes,
        answer_offset_sec=max(0.0, (answered - began).total_seconds()) if answered else None,
        channels=channels_of(mix.sides, call),
        holes=_holes(recording, mix, call),
        rendered_from=recording.material,
    )


def with_missed(recording: Recording, call: Call) -> Recording:
    """The recording whose mixes say how long nobody had recorded the call when each began."""
    covered_until, jobs = call.joined_at, []
    for job in sorted(recording.egresses, key=lambda job: job.started_at or job.asked_at):
        if job.kind is EgressKind.MIX and job.started_at is not None:
            missed = max(0.0, (job.started_at - covered_until).total_seconds())
            job = replace(job, missed_sec=missed)
            covered_until = max(covered_until, job.ended_at or covered_until)
        jobs.append(job)
    return replace(recording, egresses=tuple(jobs))


def channels_of(sides: Sides, call: Call) -> tuple[Channel, ...]:
    """Who is heard where, as far as it is known who was there."""
    caller = call.identity
    others = {track.participant_identity for track in call.tracks} - {caller, ""}
    if call.agent_identity:
        others.add(call.agent_identity)
    agents = {call.agent_identity} if call.agent_identity else set()
    left, right = {
        Sides.CALLER_LEFT: ({caller}, others),
        Sides.AGENTS_LEFT: (agents, (others - agents) | {caller}),
        Sides.ONE_VOICE: ({caller}, {caller}),
    }.get(sides, (others | {caller}, others | {caller}))
    return (
        Channel("left", tuple(sorted(left - {""}))),
        Channel("right", tuple(sorted(right - {""}))),
    )


def pieces_of(recording: Recording, call: Call) -> tuple[Piece, ...]:
    """Files that a mix can be made of: mixes where there are any, else tracks."""
    made = [job for job in recording.egresses if job.has_file and job.filepath]
    whole = [job for job in made if job.kind is EgressKind.MIX]
    return tuple(_piece(job, call) for job in whole or made)


def _piece(job: Egress, call: Call) -> Piece:
    assert job.filepath is not None
    begins_at = (job.started_at or job.asked_at).timestamp()
    if job.kind is EgressKind.MIX:
        return Piece(job.filepath, begins_at, LAYOUTS[job.sides])
    is_caller = job.identity == call.identity
    return Piece(job.filepath, begins_at, Layout.LEFT if is_caller else Layout.RIGHT)


def tracks_of(
    recording: Recording, call: Call, but: Sequence[TrackFile] = ()
) -> tuple[TrackFile, ...]:
    """A file, or the named reason why there is none, for each track that a job was asked for.

    `but`: tracks that have their files already.
    """
    have = {track.track_sid for track in but}
    best: dict[str, Egress] = {}
    for job in recording.egresses:
        if job.kind is EgressKind.TRACK and job.track_sid not in have:
            best[job.track_sid] = max(best.get(job.track_sid, job), job, key=lambda j: j.reach)
    return tuple(_track(job, call) for job in best.values())


def _track(job: Egress, call: Call) -> TrackFile:
    is_caller = job.identity == call.identity
    return TrackFile(
        track_sid=job.track_sid,
        participant_identity=job.identity,
        participant_kind="SIP" if is_caller else "",
        side="left" if is_caller else "right",
        filepath=job.filepath if job.has_file else None,
        started_at=job.started_at,
        duration_sec=job.duration_sec,
        size_bytes=job.size_bytes,
        reason="" if job.has_file else job.error or str(job.status),
    )


def _holes(recording: Recording, mix: Egress, call: Call) -> tuple[Hole, ...]:
    """What is missing of the call in its one file: before its begin, and after its end."""
    began, left = mix.started_at, call.left_at
    if began is None:
        return ()
    errors = [job.error for job in mixes(recording.egresses) if job.error]
    cause = errors[0] if errors else "recorder_not_ready"
    missing = (began - call.joined_at).total_seconds()
    first = (Hole(-missing, 0.0, cause),) if missing > 0 else ()
    return first + _tail(began, mix.ended_at, left, cause)


def _tail(
    began: datetime, ended: datetime | None, left: datetime | None, cause: str
) -> tuple[Hole, ...]:
    if ended is None or left is None or ended >= left:
        return ()
    return (Hole((ended - began).total_seconds(), (left - began).total_seconds(), cause),)

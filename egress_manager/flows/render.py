"""CAPTURED -> the finished files."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.captures import FOLDER
from egress_manager.domain.egress_files import pieces_of, tracks_of, whole_mix, with_mix
from egress_manager.domain.egresses import Egress
from egress_manager.domain.manual import as_recorded
from egress_manager.domain.recordings import (
    Recording,
    Rendered,
    RenderPlan,
    State,
    TrackFile,
    Verdict,
)
from egress_manager.errors import (
    EgressManagerError,
    RenderFailed,
    StorageFailed,
    StoreUnavailable,
)
from egress_manager.flows import gather
from egress_manager.flows.crowds import newest_calls
from egress_manager.flows.doors import Doors
from egress_manager.flows.record import postpone
from egress_manager.flows.subject import note_reason, subject_of
from egress_manager.flows.update import update

log = logging.getLogger(__name__)

#: Waits before rendering is tried again; after the last one the recording has failed.
RETRIES: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600))
#: What comes of a recording where no other try would find more.
FOR_GOOD: Final = {
    "no_audio": State.ABORTED,
    "never_captured": State.FAILED,
    "encrypted": State.FAILED,
}
#: How many calls of a room can overlap one call and still be told apart.
MOST_OTHERS: Final = 200


async def follow(call: Call, recording: Recording, doors: Doors) -> None:
    """Have the mix made while the call goes on: a head start, that may fail."""
    is_too_much = doors.membership.me.is_full
    if not recording.is_going_on or is_too_much or not gather.is_all_here(recording, doors):
        return
    try:
        await doors.renderer.follow(await plan_of(call, recording, doors))
    except StoreUnavailable:
        raise
    except EgressManagerError as error:
        log.warning("not_followed", extra={"recording": recording.id, "why": error.code})


async def forget_what_others_made(doors: Doors) -> None:
    """What this process follows may have been finished by another one: it is not needed here."""
    for recording_id in doors.renderer.followed():
        recording = await doors.recordings.get(recording_id)
        if recording.is_final:
            await doors.renderer.forget(recording_id)


async def render(recording: Recording, doors: Doors) -> Recording:
    """Make the files; on trouble try again later, a few times, then fail with the reason.

    Where LiveKit Egress has left one file of the whole, that is the mix.
    """
    call = await subject_of(recording, doors)
    whole = whole_mix(recording)
    if whole is not None:
        return await _adopt(recording, call, whole, doors)
    absent = await gather.bring(recording, doors)
    if absent and gather.is_waited_for(recording, doors):
        return await postpone(recording, gather.ASK_AGAIN, doors)
    there = replace(
        recording, captures=tuple(name for name in recording.captures if name not in absent)
    )
    plan = await plan_of(call, there, doors)
    try:
        rendered = await finished(plan, doors)
    except (RenderFailed, StorageFailed) as error:
        return await _failed(recording, call, error, doors)
    at = doors.clock.now()
    made_of = there.material
    return await update(
        doors.recordings, recording.id, lambda r: _made(r, call, rendered, made_of, at, doors)
    )


async def plan_of(call: Call, recording: Recording, doors: Doors) -> RenderPlan:
    """What is to be made of a call's captures, or of those of a recording without a call.

    A piece that LiveKit Egress left has the name that the whole would have: then the whole gets
    another one beside it.
    """
    house, call = doors.house, as_recorded(call, recording)
    beside = ".whole" if recording.egresses else ""
    with_others = house.include_other_callers or recording.call_id is None
    return RenderPlan(
        recording_id=recording.id,
        captures=tuple(f"{FOLDER}/{capture_id}" for capture_id in recording.captures),
        caller_sids=call.participant_sids,
        begins_at=call.joined_at.timestamp(),
        ends_at=call.left_at.timestamp() if call.left_at else None,
        mix_filepath=f"{recording.file_stem}{beside}.{house.mix_format}",
        track_filepath=f"{recording.track_stem}{beside}.ogg",
        mix_format=house.mix_format,
        other_caller_sids=() if with_others else await others(call, doors),
        include_other_callers=with_others,
        pieces=pieces_of(recording, call),
        left_identity=recording.identity if recording.call_id is None else "",
        of_room=recording.call_id is None and not recording.identity,
    )


async def finished(plan: RenderPlan, doors: Doors) -> Rendered:
    """The files of a plan; pieces that lie in a bucket are brought here for as long as it takes."""
    async with doors.files.at_hand([piece.filepath for piece in plan.pieces]) as here:
        pieces = tuple(
            replace(piece, filepath=here.get(piece.filepath, piece.filepath))
            for piece in plan.pieces
        )
        return await doors.renderer.finish(replace(plan, pieces=pieces))


async def _adopt(recording: Recording, call: Call, whole: Egress, doors: Doors) -> Recording:
    """LiveKit Egress has made the files; that one is not there stands in the verdict."""
    assert whole.filepath is not None
    path, now = doors.files.path(whole.filepath), doors.clock.now()
    is_missing = await doors.files.exists(path) is False
    verdict = Verdict.MISSING if is_missing else Verdict.PENDING

    def change(known: Recording) -> Recording:
        if known.state is not State.CAPTURED:
            return known
        done = replace(with_mix(known, call, whole), filepath=path, verdict=verdict)
        tracks = tuple(_located(track, doors) for track in tracks_of(known, call))
        done = replace(done, tracks=tracks, rendered_until=call.left_at)
        return done.advance(State.RENDERED, now)

    return await update(doors.recordings, recording.id, change)


async def others(call: Call, doors: Doors) -> tuple[str, ...]:
    """The stays of other callers in the room."""
    found = await newest_calls(
        call.room.name, call.joined_at, call.left_at, doors, most=MOST_OTHERS
    )
    return tuple(sid for other in found if other.id != call.id for sid in other.participant_sids)


def _made(
    recording: Recording,
    call: Call,
    rendered: Rendered,
    made_of: tuple[str, ...],
    at: datetime,
    doors: Doors,
) -> Recording:
    """The recording that has its files, unless it is somewhere else by now."""
    if recording.state is not State.CAPTURED:
        return recording
    done = with_files(recording, call, rendered, doors)
    done = replace(done, rendered_from=made_of, rendered_until=call.left_at)
    return done.advance(
        State.RENDERED, at, "" if set(done.captures) <= set(made_of) else "captures_absent"
    )


def with_files(recording: Recording, call: Call, rendered: Rendered, doors: Doors) -> Recording:
    """The recording with files that were made of it. Pure but for where files are."""
    answered = call.answered_at
    return replace(
        recording,
        filepath=doors.files.path(rendered.filepath),
        started_at=call.joined_at,
        stopped_at=call.left_at,
        duration_sec=rendered.duration_sec,
        size_bytes=rendered.size_bytes,
        answer_offset_sec=max(0.0, (answered - call.joined_at).total_seconds())
        if answered
        else None,
        channels=rendered.channels,
        holes=rendered.holes,
        tracks=tuple(
            _located(track, doors)
            for track in (*rendered.tracks, *tracks_of(recording, call, but=rendered.tracks))
        ),
    )


def _located(track: TrackFile, doors: Doors) -> TrackFile:
    return replace(track, filepath=doors.files.path(track.filepath) if track.filepath else None)


async def _failed(
    recording: Recording, call: Call, error: RenderFailed | StorageFailed, doors: Doors
) -> Recording:
    """No files: for good where there is nothing to make them of, else until the next try."""
    final = FOR_GOOD.get(error.code)
    attempt, now = recording.attempts, doors.clock.now()
    if final is None and attempt < len(RETRIES):
        log.warning("render_failed", extra={"recording": recording.id, "attempt": attempt + 1})
        due_at = now + RETRIES[attempt]
        return await update(
            doors.recordings,
            recording.id,
            lambda r: (
                replace(r, attempts=attempt + 1, due_at=due_at, reason=str(error))
                if r.state is State.CAPTURED
                else r
            ),
        )
    state, reason = final or State.FAILED, error.code if final else str(error)
    await note_reason(call, reason, doors)
    return await update(
        doors.recordings,
        recording.id,
        lambda r: (
            replace(r, rendered_from=recording.material, rendered_until=call.left_at).advance(
                state, now, reason
            )
            if r.state is State.CAPTURED
            else r
        ),
    )

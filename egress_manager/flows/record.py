"""A call becomes a recording: begin it, go along with its capture, close it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain import naming
from egress_manager.domain.calls import UNREACHABLE, Call, egress_id_of, recording_id_of
from egress_manager.domain.egress_files import with_missed
from egress_manager.domain.egresses import EgressStatus, live_mix, mixes
from egress_manager.domain.manual import as_recorded
from egress_manager.domain.policy import Engine, decide, engine_of
from egress_manager.domain.recordings import Observation, Recording, State
from egress_manager.domain.tending import is_waited_for
from egress_manager.errors import EgressManagerError, NotFound
from egress_manager.flows import tend
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import note_reason, subject_of
from egress_manager.flows.update import update, upsert

#: How long a capture may take to write out a call's tail before the call is closed without it.
TAIL_WAIT: Final = timedelta(seconds=5)
#: A call that nobody has seen for this long, while the recorder is not there, is over.
LOST: Final = timedelta(minutes=30)
#: A caller whom only a webhook ever showed is given up after this long.
NEVER_SEEN: Final = timedelta(seconds=60)
#: A call that goes on is looked at again after this long.
LOOK_AGAIN: Final = timedelta(minutes=10)
#: Who has to order is looked at again this soon, should the order get lost.
PLANNED_FOR: Final = timedelta(seconds=2)
#: A call that ended by more earlier or later than its files were made for has them made again.
SAME_END: Final = timedelta(seconds=0.5)
#: A call that was over this soon may have been too short for any recorder.
TOO_SHORT: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call's recording ends before it is rendered, and why."""

    state: State
    reason: str = ""


async def begin(call: Call, at: datetime, doors: Doors) -> tuple[Call, Recording | None]:
    """Decide once whether the call is recorded; plan its recording, or note the reason why not."""
    call = await update(doors.calls, call.id, lambda c: decided(c, doors), known=call)
    if not call.recording_id:
        return call, None
    recording = await upsert(
        doors.recordings,
        call.recording_id,
        lambda: begun(planned(call, at, doors), call, at),
        lambda r: begun(_described(r, call), call, at),
        is_new=call.version == 0,
    )
    if not call.is_over and _is_to_be_ordered(recording):
        await doors.queue.soon(recording.id)
    return call, recording


def _is_to_be_ordered(recording: Recording) -> bool:
    """Whether a recorder has to be told: at first, and when the caller has come back."""
    is_waiting = recording.state in (State.PLANNED, State.STARTING)
    return recording.engine == Engine.EGRESS and is_waiting and not live_mix(recording.egresses)


def decided(call: Call, doors: Doors) -> Call:
    """The call with the id of its recording, or with the reason why it has none. Pure."""
    if call.recording_id or call.reason:
        return call
    decision = decide(doors.house.policy, call.room.name)
    if not decision.record:
        return replace(call, reason=decision.reason)
    return replace(call, recording_id=recording_id_of(call.id))


def begun(recording: Recording, call: Call, at: datetime) -> Recording:
    """The recorder is on its way: in the room it is by itself, a job has to be ordered first."""
    if recording.engine == Engine.EGRESS and call.take == recording.seen.take:
        return recording
    report = Observation(State.STARTING, at if call.take else call.joined_at, take=call.take)
    return recording.observe(report)


async def captured_by(
    call: Call, recording: Recording, capture_id: str, at: datetime, doors: Doors
) -> Recording:
    """The call is in a capture: note it, unless the recording was stopped before."""
    report = Observation(State.ACTIVE, at, take=call.take)

    def change(recording: Recording) -> Recording:
        captures, stop = recording.captures, recording.stop_asked_at
        if capture_id not in captures and (stop is None or at <= stop):
            recording = recording.captured_in(capture_id)
        if recording.engine == Engine.EGRESS:  # it was attended while nothing could be ordered
            recording = recording.fall_back("store_unavailable", at)
        return recording.observe(report)

    recording = await update(doors.recordings, recording.id, change, known=recording)
    return await reconsider(call, recording, doors)


async def end(
    call: Call,
    doors: Doors,
    *,
    is_written: bool,
    mark: Callable[[Recording], Recording] = lambda recording: recording,
) -> None:
    """The caller is gone. Close the recording now if all is written, else a little later.

    `mark` is what else is to be noted of a recording that ends.
    """
    if call.recording_id is None or call.left_at is None:
        return
    report = Observation(State.ENDING, call.left_at, call.left_reason, take=call.take)
    due_at = doors.clock.now() + TAIL_WAIT

    def change(recording: Recording) -> Recording:
        after = recording.observe(report)
        if after.state is recording.state:
            return after
        return replace(mark(recording).observe(report), due_at=due_at)

    recording = await update(doors.recordings, call.recording_id, change)
    await doors.recorders[Engine.BUILTIN].let_go(recording.room_name, recording.id)
    if is_written:
        await reconsider(call, recording, doors)
    if is_written or recording.egresses:
        await doors.queue.soon(call.recording_id)


def is_behind(call: Call, recording: Recording) -> bool:
    """Whether files that are made lack material, or were made for another end of the call. Pure."""
    call = as_recorded(call, recording)
    if call.left_at is None or ending_of(call, recording).state is not State.CAPTURED:
        return False
    return recording.lacks_material or not _is_made_for(call.left_at, recording)


def _is_made_for(left_at: datetime, recording: Recording) -> bool:
    """Whether its files are as long as a call that ended then; also if it has none yet.

    Files of LiveKit Egress alone can't be made any longer.
    """
    until = recording.rendered_until or (recording.stopped_at if recording.rendered_from else None)
    if until is None or not recording.captures or not recording.is_over:
        return True
    return abs(left_at - until) <= SAME_END


async def reconsider(call: Call, recording: Recording, doors: Doors) -> Recording:
    """Something that turns up when all seemed over: the files are made again, of all there is."""
    if not is_behind(call, recording):
        return recording
    now = doors.clock.now()

    def change(recording: Recording) -> Recording:
        if not is_behind(call, recording):
            return recording
        why = "late_capture" if recording.lacks_material else "other_end"
        return recording.advance(State.CAPTURED, now, why)

    reopened = await update(doors.recordings, recording.id, change)
    await doors.queue.soon(recording.id)
    return reopened


async def close(recording: Recording, doors: Doors) -> Recording:
    """ENDING -> what comes of it: captured, or an end with a reason."""
    call = await subject_of(recording, doors)
    if call.left_at is None:
        return recording
    recording = await tend.wind_up(recording, call.left_at, doors)
    if any(is_waited_for(job, recording) for job in recording.egresses):
        return recording
    ending = ending_of(call, recording)
    report = Observation(ending.state, doors.clock.now(), ending.reason, take=call.take)
    await note_reason(call, ending.reason, doors)  # first: who sees the end may ask for the reason
    closed = await update(
        doors.recordings,
        recording.id,
        lambda r: with_missed(r, call).observe(report),
        known=recording,
    )
    if ending.state is not State.CAPTURED:
        with suppress(EgressManagerError):
            await doors.renderer.forget(recording.id)
    return closed


async def look_after(recording: Recording, doors: Doors) -> Recording:
    """PLANNED, STARTING, ACTIVE: the call goes on, is over, or nobody can tell any more."""
    call, now = await subject_of(recording, doors), doors.clock.now()
    if not call.is_over and _is_lost(call, now, doors):
        await update(doors.calls, call.id, lambda c: c.lost(UNREACHABLE))
        call = await subject_of(recording, doors)
    if call.is_over:
        await end(call, doors, is_written=True)
        return await doors.recordings.get(recording.id)
    if not call.seen_firsthand and now >= recording.created_at + NEVER_SEEN:
        report = Observation(State.ABORTED, now, "caller_never_seen", take=call.take)
        await note_reason(call, "caller_never_seen", doors)
        await doors.recorders[Engine.BUILTIN].let_go(recording.room_name, recording.id)
        return await update(doors.recordings, recording.id, lambda r: r.observe(report))
    if recording.engine == Engine.EGRESS or recording.egresses:
        return await tend.tend(recording, call, doors)
    return await postpone(recording, LOOK_AGAIN, doors)


def _is_lost(call: Call, now: datetime, doors: Doors) -> bool:
    return now - call.seen_at > LOST and not doors.attends(call.room.name)


async def postpone(recording: Recording, wait: timedelta, doors: Doors) -> Recording:
    """Look at it again after a while, unless it is over by then."""
    due_at = doors.clock.now() + wait
    return await update(
        doors.recordings, recording.id, lambda r: r if r.is_final else replace(r, due_at=due_at)
    )


async def meet_agent(call: Call, doors: Doors) -> None:
    """The call has an agent: its recording's document says so."""
    if call.recording_id is None:
        return
    try:
        await update(doors.recordings, call.recording_id, lambda r: _described(r, call))
    except NotFound:
        return


async def meet_track(call: Call, doors: Doors) -> None:
    """A track was published in the call's room: a recorder that is ordered to has to hear of it."""
    engine = decide(doors.house.policy, call.room.name).engine
    if call.recording_id is not None and engine is Engine.EGRESS:
        await doors.queue.soon(call.recording_id)


def ending_of(call: Call, recording: Recording) -> Ending:
    """What a recording comes to when its caller is gone. Pure."""
    # Who is not in the room sees `active` only by chance: LiveKit sends no webhook of it.
    is_known = call.was_watched or not (call.had_company or call.was_lost)
    if not call.was_answered and is_known:
        return Ending(State.ABORTED, "not_answered")
    is_unread = call.claims_encryption and not recording.material
    if recording.engine == Engine.EGRESS and (call.is_encrypted or is_unread):
        return Ending(State.FAILED, "encrypted")
    # Whoever starts one by hand may do so in the moment in which the caller leaves.
    is_void = call.left_at is not None and call.left_at < call.joined_at
    if recording.material and not is_void:
        return Ending(State.CAPTURED)
    if recording.egresses:
        return _ending_without_file(recording)
    if call.left_at is not None and call.left_at - call.joined_at < TOO_SHORT:
        who = "stopped" if recording.stop_asked_at else "left"
        return Ending(State.ABORTED, f"{who}_before_capture")
    return Ending(State.FAILED, "never_captured")


def _ending_without_file(recording: Recording) -> Ending:
    """No job of LiveKit Egress left a file: nobody spoke, or why it failed."""
    tries = mixes(recording.egresses)
    told = [job for job in tries if job.status is not EgressStatus.LOST]
    if told and all(job.status is EgressStatus.ABORTED for job in told):
        return Ending(State.ABORTED, "no_audio")
    failed = [job for job in told or tries if job.status is not EgressStatus.ABORTED]
    reasons = [job.error for job in told or tries if job.error]
    reasons = reasons or [job.why_no_file for job in failed]
    return Ending(State.FAILED, reasons[-1] if reasons else "egress_failed")


def planned(call: Call, at: datetime, doors: Doors, *, engine: Engine | None = None) -> Recording:
    """The recording of a call, or of what stands in for one, as it begins."""
    recording_id = call.recording_id or recording_id_of(call.id)
    engine = engine or engine_of(doors.house.policy, call.room.name)
    names = naming.file_names(
        doors.house.naming,
        room_name=call.room.name,
        identity=call.identity,
        at=call.joined_at,
        recording_id=recording_id,
    )
    return Recording(
        id=recording_id,
        call_id=call.id or None,
        egress_id=egress_id_of(call.id) if engine is Engine.BUILTIN else None,
        engine=engine,
        room_name=call.room.name,
        room_sid=call.room.sid,
        seen=Observation(State.PLANNED, at),
        created_at=at,
        due_at=at + PLANNED_FOR,
        caller_number=call.caller_number,
        identity=call.identity,
        agent_identity=call.agent_identity,
        started_at=call.joined_at,
        file_stem=names.mix_stem,
        track_stem=names.track_stem,
    )


def _described(recording: Recording, call: Call) -> Recording:
    """What the call has learnt meanwhile stands in the recording's document too."""
    return replace(
        recording,
        caller_number=recording.caller_number or call.caller_number,
        agent_identity=recording.agent_identity or call.agent_identity,
    )

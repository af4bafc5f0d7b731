"""LiveKit Egress says how a job is doing: whose job it is, and what that means.

A job is ours where its id or its path says so. What somebody else started in a room where a call
goes on is adopted for that call; what belongs to no call becomes a recording of its own.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain import naming, tending
from egress_manager.domain.calls import Call, recording_id_of
from egress_manager.domain.egresses import Egress, EgressStatus, egress_of, mixes
from egress_manager.domain.incoming import EgressKind, EgressReported
from egress_manager.domain.policy import Engine
from egress_manager.domain.recordings import Observation, Recording, State
from egress_manager.errors import NotFound, NotYet
from egress_manager.flows import record, render
from egress_manager.flows.crowds import newest_calls
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import subject_of
from egress_manager.flows.update import update, upsert

log = logging.getLogger(__name__)

#: What a job that goes on means for its recording; an end is weighed when all is known.
STATES: Final = {EgressStatus.STARTING: State.STARTING, EgressStatus.ACTIVE: State.ACTIVE}
#: What the end of a job without a file means, where the job is all there is.
END_STATES: Final = {EgressStatus.ABORTED: State.ABORTED}
#: The source of a recording that somebody else began.
FOREIGN: Final = "egress"
#: A job may begin a little before its call, and end a little after it.
NEAR: Final = timedelta(seconds=30)
#: So many calls of a room are looked through for the one that a job belongs to.
MOST_CALLS: Final = 20


async def take(news: EgressReported, doors: Doors) -> Recording | None:
    """Fold in a report; the recording it belongs to, if it tells us anything.

    Raises `NotYet` where what it belongs to may still be on its way.
    """
    job = egress_of(news, doors.house.egress_dir)
    if job is None:
        return None
    recording = await _recording_of(job, news, doors)
    if recording is None:
        return None
    before = recording
    recording = await update(doors.recordings, recording.id, lambda r: _with_job(r, job))
    if recording.egresses == before.egresses:
        return recording
    return await _weigh(recording, job, doors)


def _with_job(recording: Recording, job: Egress) -> Recording:
    """The recording with what is said of its job. The first mix gives it its egress id."""
    after = recording.hear(job)
    if job.kind is EgressKind.MIX and job.egress_id and after.egress_id is None:
        after = replace(after, egress_id=job.egress_id)
    state = STATES.get(job.status)
    if job.kind is EgressKind.MIX and state is not None and not after.fell_back:
        at = job.at or job.asked_at
        after = after.observe(Observation(state, at, take=after.seen.take))
    return after


async def _weigh(recording: Recording, job: Egress, doors: Doors) -> Recording:
    """A job has ended, or begun late: what is next is decided where recordings are looked after."""
    if job.is_live and not recording.fell_back:
        return recording
    call = await subject_of(recording, doors)
    if recording.is_over:
        return await record.reconsider(call, recording, doors)
    if job.kind is EgressKind.MIX and not job.is_live and _is_all(recording, job, call):
        recording = await update(
            doors.recordings, recording.id, lambda r: _ended(r, job, doors.clock.now())
        )
        recording = await render.render(recording, doors) if job.has_file else recording
    await doors.queue.soon(recording.id)
    return recording


def _is_all(recording: Recording, job: Egress, call: Call) -> bool:
    """Whether there is nothing but this job to go by: nobody ever saw a caller.

    One that broke off proves nothing: the caller may be there, and nobody has looked yet.
    """
    if recording.source == FOREIGN:
        return True
    is_done = job.has_file and job.status is EgressStatus.COMPLETE
    return is_done and not (call.is_over or call.seen_firsthand or recording.captures)


def _ended(recording: Recording, job: Egress, now: datetime) -> Recording:
    """The job is all there is of it: its end is the recording's."""
    state = State.CAPTURED if job.has_file else END_STATES.get(job.status, State.FAILED)
    reason = job.error if job.has_file else job.why_no_file
    report = Observation(state, now, reason, take=recording.seen.take)
    after = replace(recording, stopped_at=recording.stopped_at or job.ended_at or now)
    return after.observe(report)


async def _recording_of(job: Egress, news: EgressReported, doors: Doors) -> Recording | None:
    """The recording that a job serves; for one that nobody knows, a call's or a new one."""
    known = await doors.recordings.by_egress_id(job.egress_id) if job.egress_id else None
    if known is not None:
        return known
    recording_id = naming.recording_id_of(job.asked_path or job.filepath or "")
    if recording_id is not None:
        try:
            return await doors.recordings.get(recording_id)
        except NotFound:
            pass
    if doors.clock.now() - (job.ended_at or job.at or job.asked_at) < NEAR:
        calls = await _calls_at(job, news, doors)
        adopting = await _adopting(calls, job, doors) if job.egress_id else None
        if adopting is None and (recording_id is not None or not calls):
            raise NotYet("no call is known yet that it could belong to")
        return adopting
    if not job.egress_id or recording_id is not None:
        return None
    calls = await _calls_at(job, news, doors)
    if calls:
        return await _adopting(calls, job, doors)
    return await _of_its_own(job, news, doors) if job.kind is EgressKind.MIX else None


async def _calls_at(job: Egress, news: EgressReported, doors: Doors) -> list[Call]:
    """The calls in that room while the job went on."""
    ended = job.ended_at or job.at or job.asked_at
    began = (job.started_at or job.asked_at) - NEAR
    found = await newest_calls(news.room.name, began, ended + NEAR, doors, most=MOST_CALLS)
    return [call for call in found if call.left_at is None or call.left_at >= began]


async def _adopting(calls: list[Call], job: Egress, doors: Doors) -> Recording | None:
    """The first of these calls that LiveKit Egress is to record, and does not yet."""
    for call in reversed(calls):
        if call.recording_id is None:
            continue
        recording = await doors.recordings.get(call.recording_id)
        wants = recording.engine == Engine.EGRESS and not recording.fell_back
        has_mix = any(mix.is_live or mix.has_file for mix in mixes(recording.egresses))
        if wants and (job.kind is EgressKind.TRACK or not has_mix):
            log.info("egress_adopted", extra={"recording": recording.id})
            return recording
    return None


async def _of_its_own(job: Egress, news: EgressReported, doors: Doors) -> Recording:
    """A recording that somebody else began, of no call that we know."""
    at = job.started_at or job.asked_at
    recording = Recording(
        id=recording_id_of(job.egress_id),
        call_id=None,
        egress_id=job.egress_id,
        engine=Engine.EGRESS,
        room_name=news.room.name,
        seen=Observation(State.PLANNED, at),
        created_at=doors.clock.now(),
        started_at=at,
        source=FOREIGN,
        due_at=doors.clock.now() + tending.LOOK_AGAIN,
    )
    return await upsert(doors.recordings, recording.id, lambda: recording, lambda known: known)

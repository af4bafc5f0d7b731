"""A call goes on: see to it that its recorder records it (PLANNED, STARTING, ACTIVE).

What is needed is decided in `domain/tending.py`; here it is done. Whatever is ordered is written
into the recording first, by compare-and-swap: of two that look at once, one orders.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from egress_manager.domain import naming, tending
from egress_manager.domain.calls import Call
from egress_manager.domain.egresses import Egress, egress_of
from egress_manager.domain.incoming import EgressKind, ParticipantSeen, Sides, Source
from egress_manager.domain.policy import Engine
from egress_manager.domain.recordings import Recording
from egress_manager.domain.tending import AskForMix, AskForTrack, FallBack, FindOut, Move, StopJob
from egress_manager.errors import EgressManagerError
from egress_manager.flows.doors import Doors
from egress_manager.flows.update import update
from egress_manager.ports import Order

log = logging.getLogger(__name__)


async def tend(recording: Recording, call: Call, doors: Doors) -> Recording:
    """Do what the recording needs now, and note when to look again."""
    if recording.engine == Engine.BUILTIN and not recording.egresses:
        return recording
    call, is_listed = await _meet_everybody(call, doors)
    now = doors.clock.now()
    tracks = [track.track_sid for track in call.tracks]
    if not recording.egresses:
        recording = await _adopt_running(recording, call, doors)
    falls_back = doors.house.falls_back
    plan = tending.plan(recording, tracks, now, falls_back=falls_back, is_listed=is_listed)
    for move in plan.moves:
        recording = await _do(move, recording, call, now, doors)
    return await update(
        doors.recordings,
        recording.id,
        lambda r: r if r.is_over else replace(r, due_at=plan.look_at),
    )


async def _meet_everybody(call: Call, doors: Doors) -> tuple[Call, bool]:
    """Who is in the room, and the tracks they publish: also what was there before the call.

    And whether the caller is among them, as far as LiveKit can be asked.
    """
    try:
        people = await doors.rooms.participants(call.room.name)
    except EgressManagerError:
        return call, True  # those that were told of will do
    now = doors.clock.now()

    def fold(known: Call) -> Call:
        for person in people:
            seen = ParticipantSeen(now, known.room, person, Source.POLL)
            known = known.meet(person).hear_all(seen)
        return known

    is_listed = any(person.sid in call.participant_sids for person in people)
    met = await update(doors.calls, call.id, fold) if call.id else fold(call)
    return met, is_listed or not call.participant_sids


async def _adopt_running(recording: Recording, call: Call, doors: Doors) -> Recording:
    """A job that somebody else, or the room's own settings, have begun there is not doubled."""
    try:
        reports = await doors.recorders[Engine.EGRESS].jobs(call.room.name)
    except EgressManagerError:
        return recording  # the order itself will say what is wrong
    for report in reports:
        job = egress_of(report, doors.house.egress_dir)
        is_ours = job is not None and naming.recording_id_of(job.asked_path) is not None
        if job is None or is_ours or not job.is_live or job.kind is not EgressKind.MIX:
            continue
        if await doors.recordings.by_egress_id(job.egress_id) is None:
            log.info("egress_adopted", extra={"recording": recording.id})
            return await update(
                doors.recordings,
                recording.id,
                lambda r, job=job: replace(r.hear(job), egress_id=r.egress_id or job.egress_id),  # type: ignore[misc]
            )
    return recording


async def _do(
    move: Move, recording: Recording, call: Call, now: datetime, doors: Doors
) -> Recording:
    match move:
        case AskForMix(attempt):
            return await _ask(mix_job(recording, attempt, now, doors), recording, call, doors)
        case AskForTrack(track_sid, attempt):
            job = track_job(recording, call, track_sid, attempt, now)
            return await _ask(job, recording, call, doors)
        case FallBack(reason):
            return await fall_back(recording, call, reason, now, doors)
        case FindOut():
            return await find_out(recording, call.room.name, now, doors)
        case StopJob(egress_id):
            return await stop(recording, egress_id, now, doors)


async def _ask(job: Egress, recording: Recording, call: Call, doors: Doors) -> Recording:
    """Write down that it is asked for, and ask; whoever wrote it down first asks."""
    asked = False

    def note(known: Recording) -> Recording:
        nonlocal asked
        asked = not known.is_over and all(job.asked_path != e.asked_path for e in known.egresses)
        return known.hear(job) if asked else known

    recording = await update(doors.recordings, recording.id, note)
    if asked:
        await doors.recorders[Engine.EGRESS].order(
            Order(
                call.room.name,
                job.asked_path,
                identity=call.identity,
                track_sid=job.track_sid,
                hears_other_callers=doors.house.include_other_callers or not call.id,
            )
        )
    return recording


async def fall_back(
    recording: Recording, call: Call, reason: str, now: datetime, doors: Doors
) -> Recording:
    """The built-in recorder takes over; what LiveKit Egress has recorded so far is kept."""
    log.warning("fell_back", extra={"recording": recording.id, "why": reason})
    await doors.recorders[Engine.BUILTIN].attend(call.room.name)
    return await update(doors.recordings, recording.id, lambda r: r.fall_back(reason, now))


async def find_out(recording: Recording, room_name: str, now: datetime, doors: Doors) -> Recording:
    """Ask LiveKit what has become of the jobs; what it does not know is lost.

    Raises `LiveKitUnavailable`: then nothing is known of anything.
    """
    reports = await doors.recorders[Engine.EGRESS].jobs(room_name)
    told = [egress_of(report, doors.house.egress_dir) for report in reports]

    def change(known: Recording) -> Recording:
        for job in told:
            if job is not None and belongs(job, known):
                known = known.hear(job)
        return replace(
            known,
            egresses=tuple(
                job.lose(now, "egress_lost")
                if job.is_live and not any(_same(job, other) for other in told)
                else job
                for job in known.egresses
            ),
        )

    return await update(doors.recordings, recording.id, change)


async def wind_up(recording: Recording, left_at: datetime, doors: Doors) -> Recording:
    """The caller is gone: end the jobs, and wait until LiveKit has said what came of each."""
    now = doors.clock.now()
    plan = tending.plan_end(recording, left_at, now)
    for move in plan.moves:
        match move:
            case StopJob(egress_id):
                recording = await stop(recording, egress_id, now, doors)
            case _:
                recording = await find_out(recording, recording.room_name, now, doors)
    if now >= left_at + tending.DEAD_AFTER:
        recording = await update(
            doors.recordings, recording.id, lambda r: tending.given_up(r, left_at, now)
        )
    if any(tending.is_waited_for(job, recording) for job in recording.egresses):
        return await update(
            doors.recordings,
            recording.id,
            lambda r: r if r.is_over else replace(r, due_at=plan.look_at),
        )
    found = await turned_up(recording, doors)
    return await update(doors.recordings, recording.id, lambda r: salvaged(r, found))


async def turned_up(recording: Recording, doors: Doors) -> Mapping[str, str]:
    """Files that are there although nobody told of them, by the keys of their jobs."""
    found = {}
    for job in recording.egresses:
        if not job.is_delivered:
            path = await doors.files.where(job.filepath or job.asked_path)
            if path is not None:
                found[job.key] = path
    return found


def salvaged(recording: Recording, found: Mapping[str, str]) -> Recording:
    """A file that is there counts, whatever was said of its job."""
    return replace(
        recording,
        egresses=tuple(
            replace(job, filepath=found[job.key], is_delivered=True)
            if job.key in found and not job.is_delivered
            else job
            for job in recording.egresses
        ),
    )


async def stop(recording: Recording, egress_id: str, now: datetime, doors: Doors) -> Recording:
    """Have a job ended, and note when that was asked."""
    await doors.recorders[Engine.EGRESS].stop(egress_id)
    return await update(
        doors.recordings,
        recording.id,
        lambda r: replace(
            r,
            egresses=tuple(
                replace(job, stop_asked_at=now) if job.egress_id == egress_id else job
                for job in r.egresses
            ),
        ),
    )


def belongs(job: Egress, recording: Recording) -> bool:
    """Whether it is one of the recording's jobs."""
    return any(_same(known, job) for known in recording.egresses)


def _same(job: Egress, other: Egress | None) -> bool:
    if other is None:
        return False
    if job.egress_id and other.egress_id:
        return job.egress_id == other.egress_id
    return bool(job.asked_path) and job.asked_path == other.asked_path


def mix_job(recording: Recording, attempt: int, now: datetime, doors: Doors) -> Egress:
    """The job of recording the whole call; every try has a file of its own."""
    ending = doors.house.mix_format
    path = f"{recording.file_stem}{_again(attempt)}.{ending}"
    return Egress(path, EgressKind.MIX, now, attempt=attempt, is_ours=True)


def track_job(
    recording: Recording, call: Call, track_sid: str, attempt: int, now: datetime
) -> Egress:
    """The job of recording one track; every try has a file of its own."""
    stem = recording.track_stem.replace("{track_id}", track_sid)
    owner = next((t.participant_identity for t in call.tracks if t.track_sid == track_sid), "")
    path = f"{stem}{_again(attempt)}.ogg"
    return Egress(
        path,
        EgressKind.TRACK,
        now,
        track_sid=track_sid,
        identity=owner,
        attempt=attempt,
        is_ours=True,
        sides=Sides.ONE_VOICE,
    )


def _again(attempt: int) -> str:
    return f".{attempt}" if attempt > 1 else ""

"""What a recording needs now, while its call goes on: the moves that LiveKit Egress takes.

Pure: `moves` looks at the recording and says what to do and when to look again. What is told
afterwards (a job's report, or that it was refused) changes the recording, and the next look decides
anew; so a lost answer, a killed process or a second one beside it changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final
from zlib import crc32

from egress_manager.domain.egresses import (
    ANSWER_WAIT,
    Egress,
    EgressStatus,
    live_mix,
    mixes,
    tracks_without_job,
)
from egress_manager.domain.incoming import EgressKind
from egress_manager.domain.recordings import Recording

#: Without a recorder at work for this long, the built-in one takes over.
STARTED_WITHIN: Final = timedelta(seconds=2)
#: A job that has begun and hears nobody for this long, though a track is there, is not trusted.
HEARD_WITHIN: Final = timedelta(seconds=15)
#: Waits before LiveKit Egress is asked again; the last one from then on.
RETRIES: Final = tuple(timedelta(seconds=s) for s in (0.5, 1, 2, 5, 10, 20, 40))
#: So many jobs may lose what they had; then the built-in recorder takes over at once.
MOST_LOST: Final = 2
#: A job may end a little before we hear that the caller has left; then nothing is amiss.
ENDED_BEFORE: Final = timedelta(seconds=5)
#: If LiveKit does not list the caller any more, the recorder waits so long for the news that the
#: caller has left. It does not wait longer, for a list may be wrong.
GONE_WITHIN: Final = timedelta(seconds=20)
#: LiveKit Egress has so much sound on its way into the file (users.md F10): a job is stopped this
#: long after the caller has left, or the last words are missing.
DRAIN: Final = timedelta(seconds=3)
#: A job that was told to end and says nothing is asked after then.
ENDED_WITHIN: Final = timedelta(seconds=20)
#: One that LiveKit still shows as if nobody had told it is given up then: its service is dead.
DEAD_AFTER: Final = timedelta(seconds=60)
#: One that ends is given up then: uploads of long recordings take minutes.
UPLOADED_WITHIN: Final = timedelta(minutes=15)
#: A job that goes on as if nobody had told it is told again after this long: LiveKit may not have
#: heard it, and it would record an empty room.
STOP_AGAIN: Final = timedelta(seconds=10)
#: How often a job that ends is looked at.
LOOK_WHILE_ENDING: Final = timedelta(seconds=1)
#: Jobs of tracks are tried so often.
TRACK_ATTEMPTS: Final = 3
#: While all is well, it is looked at again after this long.
LOOK_AGAIN: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class AskForMix:
    """Have LiveKit Egress record the whole call: the try's number, from 1."""

    attempt: int


@dataclass(frozen=True, slots=True)
class AskForTrack:
    """Have LiveKit Egress record one track."""

    track_sid: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class FallBack:
    """Have the built-in recorder take over, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class FindOut:
    """Ask LiveKit what has become of a job."""

    egress_id: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """Have LiveKit Egress end a job."""

    egress_id: str


Move = AskForMix | AskForTrack | FallBack | FindOut | StopJob


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to look again at the latest."""

    moves: tuple[Move, ...]
    look_at: datetime


def plan(
    recording: Recording,
    track_sids: Iterable[str],
    now: datetime,
    *,
    falls_back: bool,
    is_listed: bool = True,
) -> Plan:
    """What a recording by LiveKit Egress needs while its call goes on.

    `track_sids` are the audio tracks that are published in its room. `is_listed`: LiveKit lists the
    caller there, or could not be asked.
    """
    if recording.fell_back:
        stops = tuple(StopJob(job.egress_id) for job in recording.egresses if _to_stop(job, now))
        return Plan(stops, now + LOOK_AGAIN)
    job, has_tracks = live_mix(recording.egresses), bool(tuple(track_sids))
    if job is None:
        mix = _between_jobs(recording, now, falls_back, is_listed)
    else:
        mix = _mix_moves(job, recording, has_tracks, now, falls_back)
    return Plan((*mix.moves, *_track_moves(recording, track_sids)), mix.look_at)


def plan_end(recording: Recording, left_at: datetime, now: datetime) -> Plan:
    """What a recording needs when its caller has left: jobs are ended, then asked after."""
    live = [job for job in recording.egresses if job.is_live]
    stops = tuple(
        StopJob(job.egress_id) for job in live if _to_stop(job, now) and now >= left_at + DRAIN
    )
    overdue = now >= left_at + ENDED_WITHIN and any(
        job.egress_id or now >= job.asked_at + ANSWER_WAIT for job in live
    )
    asks = (FindOut(live[0].egress_id),) if overdue else ()
    wait = ENDED_WITHIN if overdue else LOOK_WHILE_ENDING
    return Plan((*stops, *asks), max(now + wait, left_at + DRAIN))


def given_up(recording: Recording, left_at: datetime, now: datetime) -> Recording:
    """The recording without hope for jobs that should have ended long ago; pure."""

    def is_hopeless(job: Egress) -> bool:
        patience = UPLOADED_WITHIN if job.status is EgressStatus.ENDING else DEAD_AFTER
        since = max(left_at, job.asked_at)
        return job.is_live and now >= since + patience

    return replace(
        recording,
        egresses=tuple(
            job.lose(now, "egress_never_ended") if is_hopeless(job) else job
            for job in recording.egresses
        ),
    )


def is_waited_for(job: Egress, recording: Recording) -> bool:
    """Whether a recording whose call is over waits for what comes of a job.

    Where the built-in recorder took over, an order that was never answered is not waited for.
    """
    return job.is_live and not (recording.fell_back and job.status is EgressStatus.ASKED)


def missing_since(recording: Recording) -> datetime:
    """Since when nobody records the call; meaningful while no mix is live or begun.

    While the caller was away there was nothing to record: a state that began since counts.
    """
    done = [job.ended_at or job.at or job.asked_at for job in mixes(recording.egresses)]
    ended = [at for job, at in zip(mixes(recording.egresses), done, strict=True) if _ran(job)]
    return max(*ended, recording.created_at, recording.since or recording.created_at)


def _ran(job: Egress) -> bool:
    return not job.is_live and job.started_at is not None


def _mix_moves(
    job: Egress, recording: Recording, is_heard: bool, now: datetime, falls_back: bool
) -> Plan:
    """A job goes on: see that it begins and hears somebody."""
    if job.status is EgressStatus.ASKED:
        late_at = job.asked_at + STARTED_WITHIN
        if falls_back and now >= max(late_at, missing_since(recording) + STARTED_WITHIN):
            return Plan((FallBack("egress_did_not_start"),), now + LOOK_AGAIN)
        if now >= job.asked_at + ANSWER_WAIT:
            return Plan((FindOut(job.egress_id),), now + LOOK_AGAIN)
        return Plan((), late_at if now < late_at else job.asked_at + ANSWER_WAIT)
    if job.status is EgressStatus.STARTING and is_heard:
        silent_until = job.asked_at + HEARD_WITHIN
        if now < silent_until:
            return Plan((), silent_until)
        moves: tuple[Move, ...] = (FindOut(job.egress_id),)
        return Plan((FallBack("egress_not_active"),) if falls_back else moves, now + LOOK_AGAIN)
    return Plan((), now + LOOK_AGAIN)


def _between_jobs(recording: Recording, now: datetime, falls_back: bool, is_listed: bool) -> Plan:
    """No job goes on: ask for the first or the next one, in time, or fall back."""
    tries = mixes(recording.egresses)
    if not tries:
        return Plan((AskForMix(1),), now + STARTED_WITHIN)
    last = max(tries, key=lambda job: job.attempt)
    ended_at = last.ended_at or last.at or last.asked_at
    if last.status is EgressStatus.COMPLETE:
        again_at = ended_at + (ENDED_BEFORE if is_listed else GONE_WITHIN)
    else:
        again_at = ended_at + _wait(recording.id, len(tries))
    is_late = now >= max(again_at, missing_since(recording) + STARTED_WITHIN)
    if falls_back and (is_late or _is_losing(tries)):
        return Plan((FallBack("egress_failed"),), now + LOOK_AGAIN)
    if now < again_at:
        return Plan((), again_at)
    return Plan((AskForMix(len(tries) + 1),), now + STARTED_WITHIN)


def _is_losing(tries: tuple[Egress, ...]) -> bool:
    """Whether jobs begin and then lose what they had, again: the next one would, too."""
    return sum(_ran(job) and not job.has_file for job in tries) >= MOST_LOST


def _wait(recording_id: str, tries: int) -> timedelta:
    """How long to wait after so many tries.

    Up to a quarter more than the table says, different for each recording, so that the calls that
    one dead egress had do not all come back at one moment.
    """
    spread = crc32(f"{recording_id} {tries}".encode()) / 2**32
    return RETRIES[min(tries, len(RETRIES)) - 1] * (1 + spread / 4)


def _track_moves(recording: Recording, track_sids: Iterable[str]) -> tuple[Move, ...]:
    """Every track that has no job gets one; one whose job failed gets a few."""
    sids = tuple(dict.fromkeys(track_sids))
    new = tuple(AskForTrack(sid) for sid in tracks_without_job(recording.egresses, sids))
    return new + tuple(
        AskForTrack(sid, len(jobs) + 1)
        for sid in sids
        if (jobs := _jobs_of(recording, sid)) and _is_worth_another(jobs)
    )


def _jobs_of(recording: Recording, track_sid: str) -> list[Egress]:
    return [
        job
        for job in recording.egresses
        if job.kind is EgressKind.TRACK and job.track_sid == track_sid
    ]


def _is_worth_another(jobs: list[Egress]) -> bool:
    """Whether none goes on or left a file, and there is still hope.

    A track that sends nothing, of a phone that rings, is said not to be found after 30 s: that is
    no failure, however often.
    """
    failures = sum(job.error_code != HTTPStatus.NOT_FOUND for job in jobs)
    return not any(job.is_live or job.has_file for job in jobs) and failures < TRACK_ATTEMPTS


def _to_stop(job: Egress, now: datetime) -> bool:
    if not job.is_live or not job.egress_id or job.status is EgressStatus.ENDING:
        return False
    return job.stop_asked_at is None or now >= job.stop_asked_at + STOP_AGAIN

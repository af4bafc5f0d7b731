"""Jobs of LiveKit Egress that serve a recording: a mix each try, and one for every track.

Rules for editors: everything that LiveKit's statuses mean for us stands in this file. A job is told
of by webhooks, by asking, and by the answer to our own request; `Egress.hear` keeps the report that
gets furthest, so their order and repetition never matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain.incoming import EgressKind, EgressReported, Sides


class EgressStatus(StrEnum):
    """How a job is doing: LiveKit's statuses, and two of ours for what it does not say.

    ASKED: we asked for it and no answer has come. LOST: LiveKit knows nothing of it any more.
    """

    ASKED = "asked"
    STARTING = "starting"
    ACTIVE = "active"
    ENDING = "ending"
    LOST = "lost"
    ABORTED = "aborted"
    FAILED = "failed"
    LIMIT_REACHED = "limit_reached"
    COMPLETE = "complete"


#: How far a status is; what LiveKit says about an end beats what we concluded.
RANK: Final[Mapping[EgressStatus, int]] = {status: rank for rank, status in enumerate(EgressStatus)}

#: The statuses of a job that goes on.
LIVE: Final = frozenset(
    {EgressStatus.ASKED, EgressStatus.STARTING, EgressStatus.ACTIVE, EgressStatus.ENDING}
)

#: Why a job that is over left no file, by its last status, if LiveKit gives no error.
NO_FILE: Final[Mapping[EgressStatus, str]] = {
    EgressStatus.ABORTED: "no_audio",
    EgressStatus.LIMIT_REACHED: "no_file",
    EgressStatus.COMPLETE: "no_file",
}

#: What LiveKit calls them (livekit.md 2.5). One that is not here is newer than we are: it tells
#: nothing, and the next look asks again.
STATUSES: Final[Mapping[str, EgressStatus]] = {
    status.value.upper(): status
    for status in EgressStatus
    if status not in (EgressStatus.ASKED, EgressStatus.LOST)
}

#: So long a job may go without an answer, until LiveKit is asked what became of it: longer than the
#: server itself tries (20 to 27 s, livekit.md 4.1).
ANSWER_WAIT: Final = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class Egress:
    """One job of LiveKit Egress.

    `asked_path` is the path below the recordings directory that we asked for: it has the
    recording's id and the number of the try, so that a job is known before LiveKit has named it.
    `is_ours` is false where somebody else started the job. `filepath` is below that directory, too,
    or whatever LiveKit says where the file lies elsewhere. `missed_sec` is how long nobody had
    recorded the call when a mix began; it is known when the call is over.
    """

    asked_path: str
    kind: EgressKind
    asked_at: datetime
    status: EgressStatus = EgressStatus.ASKED
    at: datetime | None = None
    egress_id: str = ""
    sides: Sides = Sides.CALLER_LEFT
    track_sid: str = ""
    identity: str = ""
    attempt: int = 1
    is_ours: bool = False
    stop_asked_at: datetime | None = None
    filepath: str | None = None
    is_delivered: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_sec: float | None = None
    size_bytes: int | None = None
    missed_sec: float | None = None
    error: str = ""
    error_code: int = 0

    @property
    def key(self) -> str:
        """What it is known by."""
        return self.asked_path or self.egress_id

    @property
    def is_live(self) -> bool:
        """Whether it goes on, as far as we know."""
        return self.status in LIVE

    @property
    def has_file(self) -> bool:
        """Whether it left a file behind, whole or not."""
        return self.is_delivered and self.filepath is not None

    @property
    def why_no_file(self) -> str:
        """The reason of a recording that this job leaves without a file; never empty."""
        return self.error or NO_FILE.get(self.status, "egress_failed")

    @property
    def reach(self) -> tuple[bool, int, datetime]:
        """How far the known report gets: the total order that makes `hear` safe.

        A file that turned up beats any end without one.
        """
        return self.is_delivered, RANK[self.status], self.at or self.asked_at

    def lose(self, at: datetime, why: str) -> "Egress":
        """We conclude that it is over: nobody knows anything of it any more."""
        return replace(self, status=EgressStatus.LOST, at=at, error=self.error or why)

    def hear(self, report: "Egress") -> "Egress":
        """Fold in a report of the same job, whatever the order reports arrive in."""
        asked_at = self.asked_at if self.is_ours else min(self.asked_at, report.asked_at)
        if self.status is not EgressStatus.ASKED and report.reach <= self.reach:
            return replace(
                self,
                asked_at=asked_at,
                egress_id=self.egress_id or report.egress_id,
                filepath=self.filepath or report.filepath,
                started_at=self.started_at or report.started_at,
            )
        return replace(
            report,
            asked_path=self.asked_path or report.asked_path,
            asked_at=asked_at,
            attempt=self.attempt,
            is_ours=self.is_ours,
            egress_id=report.egress_id or self.egress_id,
            track_sid=self.track_sid or report.track_sid,
            identity=self.identity or report.identity,
            stop_asked_at=self.stop_asked_at,
            missed_sec=self.missed_sec,
            filepath=report.filepath or self.filepath,
            started_at=report.started_at or self.started_at,
            error=report.error or self.error,
            error_code=report.error_code or self.error_code,
        )


def egress_of(report: EgressReported, egress_dir: str) -> Egress | None:
    """The job as a report tells it; None where its status says nothing to us.

    `egress_dir` is where LiveKit Egress sees the recordings directory.
    """
    status = STATUSES.get(report.status)
    if status is None:
        return None
    path = report.filepath and below(report.filepath, egress_dir)
    return Egress(
        asked_path=below(report.asked_path, egress_dir),
        kind=report.kind,
        asked_at=report.at,
        status=status,
        at=report.at,
        egress_id=report.egress_id,
        sides=report.sides,
        track_sid=report.track_sid,
        identity=report.identity,
        filepath=path or None,
        is_delivered=report.is_delivered,
        started_at=report.started_at,
        ended_at=report.ended_at,
        duration_sec=report.duration_sec,
        size_bytes=report.size_bytes,
        error=report.error or (report.details if status is EgressStatus.ABORTED else ""),
        error_code=report.error_code,
    )


def below(path: str, directory: str) -> str:
    """A path as it stands below that directory; unchanged where it lies elsewhere."""
    return path.removeprefix(directory.rstrip("/") + "/") if directory else path


def heard(jobs: Sequence[Egress], job: Egress) -> tuple[Egress, ...]:
    """The jobs with what is said of one of them; it is added where it is new."""
    for index, known in enumerate(jobs):
        same_id = bool(job.egress_id) and known.egress_id == job.egress_id
        same_path = bool(job.asked_path) and known.asked_path == job.asked_path
        if same_id or (same_path and not (known.egress_id and job.egress_id)):
            return (*jobs[:index], known.hear(job), *jobs[index + 1 :])
    return (*jobs, job)


def mixes(jobs: Iterable[Egress]) -> tuple[Egress, ...]:
    """The jobs that record the whole call."""
    return tuple(job for job in jobs if job.kind is EgressKind.MIX)


def live_mix(jobs: Iterable[Egress]) -> Egress | None:
    """The mix that is being recorded now: the furthest, where there are several."""
    return max((job for job in mixes(jobs) if job.is_live), key=lambda job: job.reach, default=None)


def tracks_without_job(jobs: Iterable[Egress], track_sids: Iterable[str]) -> tuple[str, ...]:
    """The tracks that nobody was asked to record yet, in order."""
    asked = {job.track_sid for job in jobs if job.kind is EgressKind.TRACK}
    return tuple(sid for sid in dict.fromkeys(track_sids) if sid not in asked)

"""What LiveKit, the disk and our documents say is held against each other, and mended.

`differences` looks and changes nothing; `mend` does what one difference needs. Each way of mending
is one that happens anyway when news come; so doing it twice, or beside the news, is harmless.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain import naming
from egress_manager.domain.calls import call_id_of, is_caller
from egress_manager.domain.egresses import ANSWER_WAIT, Egress, egress_of
from egress_manager.domain.incoming import EgressReported
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.policy import Engine, decide
from egress_manager.domain.recordings import Recording, State, Verdict
from egress_manager.domain.trial import ENDS, is_out_of_reach
from egress_manager.errors import EgressManagerError, NotFound, NotYet
from egress_manager.flows import egress_reports, poll, record, tend
from egress_manager.flows.doors import Doors
from egress_manager.flows.recover import Recovery
from egress_manager.flows.subject import subject_of
from egress_manager.flows.update import update

log = logging.getLogger(__name__)

#: What is due for longer than this has been forgotten by everybody.
OVERDUE: Final = timedelta(seconds=60)
#: Files are looked for of so many recordings, the newest.
MOST_FILES: Final = 1000
#: Recordings are read in pages of so many.
PAGE: Final = 200


class Kind(StrEnum):
    """In what two sides differ."""

    REPORT = "report"
    FOREIGN = "foreign_egress"
    LOST = "lost_egress"
    OVERDUE = "overdue"
    UNSEEN = "unseen_call"
    FILE_FOUND = "file_found"
    FILE_MISSING = "file_missing"
    FILE_BACK = "file_back"
    LEFT_BEHIND = "capture_left_behind"


#: What each means, and what is done about it, for people.
WORDS: Final[Mapping[Kind, str]] = {
    Kind.REPORT: "LiveKit knows more of a job than its recording: take it over",
    Kind.FOREIGN: "LiveKit Egress records something nobody here asked for: adopt it",
    Kind.LOST: "LiveKit knows nothing of a job that should go on: note that it is lost",
    Kind.OVERDUE: "a recording should have moved on: take its next step",
    Kind.UNSEEN: "a caller is in a room and no call is known: begin it",
    Kind.FILE_FOUND: "a file is there of a recording that has none: take it",
    Kind.FILE_MISSING: "the file of a recording is not there: say so in its verdict",
    Kind.FILE_BACK: "the file of a recording is there again: listen to it",
    Kind.LEFT_BEHIND: "a capture was left behind: hear what it has to tell",
}


#: What sweeps of their own find, every few seconds.
LOOKED_AFTER: Final = frozenset({Kind.UNSEEN, Kind.LEFT_BEHIND})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not fit. `about` names it; `report` is what LiveKit says, if it does."""

    kind: Kind
    about: str
    recording_id: str | None = None
    report: EgressReported | None = None

    @property
    def words(self) -> str:
        """What it is, and what is done about it."""
        return WORDS[self.kind]


async def differences(doors: Doors, most_files: int = MOST_FILES) -> Sequence[Difference]:
    """Everything that does not fit, now; files are looked for of that many recordings.

    Raises `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
    """
    unfinished = await doors.recordings.unfinished()
    reports = await _jobs(unfinished, doors)
    return [
        *await _told_by_livekit(reports, doors),
        *_lost(unfinished, reports, doors),
        *_overdue(unfinished, doors.clock.now()),
        *await _unseen(doors),
        *await _files(doors, most_files),
        *[Difference(Kind.LEFT_BEHIND, name) for name in await doors.captures.left_behind()],
    ]


async def _jobs(unfinished: Iterable[Recording], doors: Doors) -> Sequence[EgressReported]:
    """What LiveKit says of jobs; a server that has no egress is not asked for what nobody uses."""
    is_used = doors.house.policy.uses_egress or any(each.egresses for each in unfinished)
    return await doors.recorders[Engine.EGRESS].jobs() if is_used else ()


async def sweep(doors: Doors) -> int:
    """Mend what no other sweep looks after; how many recordings are not finished.

    Raises `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
    """
    for difference in await differences(doors, PAGE):
        if difference.kind not in LOOKED_AFTER:
            log.info(
                "mending", extra={"kind": difference.kind, "recording": difference.recording_id}
            )
            await mend(difference, doors)
    return len(await doors.recordings.unfinished())


async def mend(difference: Difference, doors: Doors) -> bool:
    """Do what it needs; False where that has to wait."""
    try:
        await _MENDING[difference.kind](difference, doors)
    except NotYet:
        return False
    except EgressManagerError as error:
        about_it = {"kind": difference.kind, "why": error.code, "detail": str(error)}
        log.warning("not_mended", extra=about_it)
        return False
    return True


class Listing:
    """Hears LiveKit Egress out again and again, but each report once."""

    def __init__(self) -> None:
        self._heard: dict[str, EgressReported] = {}

    async def hear(self, doors: Doors) -> int:
        """Take what is new; how many jobs go on.

        Raises `LiveKitUnavailable`, `LiveKitRefused`, `StoreUnavailable`.
        """
        reports = {job.egress_id: job for job in await doors.recorders[Engine.EGRESS].jobs()}
        new = [job for key, job in reports.items() if self._heard.get(key) != job]
        self._heard = {key: job for key, job in self._heard.items() if key in reports}
        for report in new:
            if await mend(Difference(Kind.REPORT, report.egress_id, report=report), doors):
                self._heard[report.egress_id] = report
        return sum(job.status in ("STARTING", "ACTIVE", "ENDING") for job in reports.values())


async def _told_by_livekit(reports: Sequence[EgressReported], doors: Doors) -> list[Difference]:
    found = []
    for report in reports:
        job = egress_of(report, doors.house.egress_dir)
        if job is None:
            continue
        recording = await _recording_of(job, doors)
        if recording is None:
            found.append(Difference(Kind.FOREIGN, report.egress_id, report=report))
        elif recording.hear(job) != recording:
            found.append(Difference(Kind.REPORT, report.egress_id, recording.id, report))
    return found


async def _recording_of(job: Egress, doors: Doors) -> Recording | None:
    known = await doors.recordings.by_egress_id(job.egress_id)
    recording_id = naming.recording_id_of(job.asked_path)
    if known is not None or recording_id is None:
        return known
    try:
        return await doors.recordings.get(recording_id)
    except NotFound:
        return None


def _lost(
    unfinished: Iterable[Recording], reports: Sequence[EgressReported], doors: Doors
) -> list[Difference]:
    told = {report.egress_id for report in reports}
    now = doors.clock.now()
    return [
        Difference(Kind.LOST, job.key, recording.id)
        for recording in unfinished
        for job in recording.egresses
        if job.is_live and job.egress_id not in told and now - job.asked_at > ANSWER_WAIT
    ]


def _overdue(unfinished: Iterable[Recording], now: datetime) -> list[Difference]:
    return [
        Difference(Kind.OVERDUE, recording.id, recording.id)
        for recording in unfinished
        if recording.due_at is None or now - recording.due_at > OVERDUE
    ]


async def _unseen(doors: Doors) -> list[Difference]:
    """Callers in rooms of whom no call is known."""
    found = []
    for room in await doors.rooms.rooms():
        for person in await doors.rooms.participants(room.name):
            if is_caller(person) and decide(doors.house.policy, room.name).record:
                try:
                    await doors.calls.get(call_id_of(room, person))
                except NotFound:
                    found.append(Difference(Kind.UNSEEN, call_id_of(room, person)))
    return found


async def _files(doors: Doors, most: int) -> list[Difference]:
    """Files that are there or not, against what the newest recordings say."""
    found: list[Difference] = []
    cursor, seen = None, 0
    while seen < most:
        page = await doors.recordings.page(RecordingFilter(), cursor=cursor, limit=PAGE)
        looked = await asyncio.gather(*(_file_of(recording, doors) for recording in page.items))
        found += [difference for difference in looked if difference is not None]
        cursor, seen = page.next_cursor, seen + len(page.items)
        if cursor is None:
            break
    return found


async def _file_of(recording: Recording, doors: Doors) -> Difference | None:
    if recording.state in (State.FAILED, State.ABORTED) and await _salvageable(recording, doors):
        return Difference(Kind.FILE_FOUND, recording.id, recording.id)
    path = recording.filepath if doors.is_here(recording) else None
    if recording.state not in ENDS.values() or not path:
        return None
    is_there, is_missed = await doors.files.exists(path), is_out_of_reach(recording)
    if is_there is None or is_there is not is_missed:
        return None
    kind = Kind.FILE_BACK if is_there else Kind.FILE_MISSING
    return Difference(kind, path, recording.id)


async def _salvageable(recording: Recording, doors: Doors) -> bool:
    found = await tend.turned_up(recording, doors)
    return tend.salvaged(recording, found).material != recording.material


async def _take_report(difference: Difference, doors: Doors) -> None:
    if difference.report is not None:
        await egress_reports.take(difference.report, doors)


async def _find_out(difference: Difference, doors: Doors) -> None:
    recording = await _get(difference, doors)
    await tend.find_out(recording, recording.room_name, doors.clock.now(), doors)
    await doors.queue.soon(recording.id)


async def _step(difference: Difference, doors: Doors) -> None:
    await doors.queue.soon((await _get(difference, doors)).id)


async def _look_around(_: Difference, doors: Doors) -> None:
    await poll.poll(doors)


async def _take_file(difference: Difference, doors: Doors) -> None:
    found = await tend.turned_up(await _get(difference, doors), doors)
    recording = await update(
        doors.recordings, difference.recording_id or "", lambda r: tend.salvaged(r, found)
    )
    await record.reconsider(await subject_of(recording, doors), recording, doors)


async def _note_missing(difference: Difference, doors: Doors) -> None:
    await _listen_again(difference, Verdict.MISSING, doors)


async def _note_back(difference: Difference, doors: Doors) -> None:
    await _listen_again(difference, Verdict.PENDING, doors)


async def _listen_again(difference: Difference, verdict: Verdict, doors: Doors) -> None:
    """What is known by now stands there at once; what is to be said of it then is found out."""
    now, why = doors.clock.now(), str(difference.kind)
    recording = await update(
        doors.recordings,
        difference.recording_id or "",
        lambda r: (
            replace(r, verdict=verdict).advance(State.RENDERED, now, why)
            if r.state in ENDS.values()
            else r
        ),
    )
    await doors.queue.soon(recording.id)


async def _hear_out(_: Difference, doors: Doors) -> None:
    await Recovery().recover(doors)


async def _get(difference: Difference, doors: Doors) -> Recording:
    return await doors.recordings.get(difference.recording_id or "")


_MENDING: Final[Mapping[Kind, Callable[[Difference, Doors], Awaitable[None]]]] = {
    Kind.REPORT: _take_report,
    Kind.FOREIGN: _take_report,
    Kind.LOST: _find_out,
    Kind.OVERDUE: _step,
    Kind.UNSEEN: _look_around,
    Kind.FILE_FOUND: _take_file,
    Kind.FILE_MISSING: _note_missing,
    Kind.FILE_BACK: _note_back,
    Kind.LEFT_BEHIND: _hear_out,
}

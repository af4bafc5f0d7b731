"""A recording and its life: the promise of one trusted file for one call.

Rules for editors: everything that affects a move stands in this file, in two tables. `RANK` orders
what recorders report (`observe`: the furthest report wins, so order and repetition never matter);
`NEXT` lists the moves that we decide ourselves (`advance`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain.captures import place_of
from egress_manager.domain.egresses import Egress, heard
from egress_manager.domain.findings import Finding
from egress_manager.domain.findings import Verdict as Verdict
from egress_manager.domain.history import Event as Event
from egress_manager.domain.history import with_event
from egress_manager.domain.provenance import NOT_STORED, Provenance
from egress_manager.domain.seal import Seal
from egress_manager.errors import Conflict


class State(StrEnum):
    """Where a recording is in its life."""

    PLANNED = "planned"
    STARTING = "starting"
    ACTIVE = "active"
    ENDING = "ending"
    ABORTED = "aborted"
    FAILED = "failed"
    CAPTURED = "captured"
    RENDERED = "rendered"
    REPAIRED = "repaired"
    VERIFIED = "verified"
    REJECTED = "rejected"
    UNHEARD = "unheard"


#: How far a report of a recorder gets. A file that turns up after all beats a failure.
RANK: Final[Mapping[State, int]] = {
    State.PLANNED: 0,
    State.STARTING: 1,
    State.ACTIVE: 2,
    State.ENDING: 3,
    State.ABORTED: 4,
    State.FAILED: 5,
    State.CAPTURED: 6,
}

#: What becomes of a recording that was over: its files are made again when something turns up that
#: they lack, and listened to again when the disk or the bucket has something else.
_AGAIN: Final = frozenset({State.CAPTURED, State.RENDERED})

#: The moves that we decide.
NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.CAPTURED: frozenset({State.RENDERED, State.FAILED, State.ABORTED}),
    State.RENDERED: frozenset(
        {State.VERIFIED, State.REJECTED, State.UNHEARD, State.REPAIRED, State.CAPTURED}
    ),
    State.REPAIRED: frozenset({State.VERIFIED, State.REJECTED, State.UNHEARD, State.CAPTURED}),
    State.VERIFIED: _AGAIN,
    State.REJECTED: _AGAIN,
    State.UNHEARD: _AGAIN,
    State.FAILED: frozenset({State.CAPTURED}),
    State.ABORTED: frozenset({State.CAPTURED}),
}

#: The public `status` of the user's document, by state.
STATUS: Final[Mapping[State, str]] = {
    State.PLANNED: "starting",
    State.STARTING: "starting",
    State.ACTIVE: "recording",
    State.ENDING: "processing",
    State.CAPTURED: "processing",
    State.RENDERED: "completed",
    State.REPAIRED: "completed",
    State.VERIFIED: "completed",
    State.REJECTED: "completed",
    State.UNHEARD: "completed",
    State.ABORTED: "aborted",
    State.FAILED: "failed",
}

#: No state without a deadline: after this long in it, a recording is looked at and moved on.
#: None: a final state.
DEADLINE: Final[Mapping[State, timedelta | None]] = {
    State.PLANNED: timedelta(seconds=60),
    State.STARTING: timedelta(seconds=60),
    State.ACTIVE: timedelta(hours=1),  # calls may last longer: then it is looked at again
    State.ENDING: timedelta(seconds=60),
    State.CAPTURED: timedelta(minutes=30),
    State.RENDERED: timedelta(seconds=10),
    State.REPAIRED: timedelta(seconds=10),
    State.VERIFIED: None,
    State.REJECTED: None,
    State.UNHEARD: None,
    State.ABORTED: None,
    State.FAILED: None,
}

#: The states without a file; and their reason if nobody gives one.
WITHOUT_FILE: Final = frozenset({State.ABORTED, State.FAILED})
UNEXPLAINED: Final = "unexplained"

#: The statuses of a recording that is over: its files are there, or never will be.
OVER: Final = frozenset({"completed", "aborted", "failed"})

#: The states of a recording that goes on.
GOING_ON: Final = frozenset({State.PLANNED, State.STARTING, State.ACTIVE})

#: The source of a recording that somebody began by hand.
MANUAL: Final = "manual"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a recorder said at one instant. `take` counts up when a call that was over goes on."""

    state: State
    at: datetime
    reason: str = ""
    take: int = 0

    @property
    def reach(self) -> tuple[int, int, datetime, str]:
        """How far this report gets: the total order that makes `observe` safe."""
        return self.take, RANK[self.state], self.at, self.reason


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch of time for which no audio came, and why. Seconds since the recording's start."""

    start_sec: float
    end_sec: float
    cause: str


@dataclass(frozen=True, slots=True)
class TrackFile:
    """One audio track's own file, or the named reason why there is none.

    `started_at` is when its first kept sample belongs; the file itself spans the whole call.
    `offset_sec` and `drift_ppm` are what placed it on the one clock.
    """

    track_sid: str
    participant_identity: str
    participant_kind: str
    side: str
    filepath: str | None = None
    started_at: datetime | None = None
    duration_sec: float | None = None
    size_bytes: int | None = None
    packets: int = 0
    lost: int = 0
    holes: tuple[Hole, ...] = ()
    offset_sec: float | None = None
    drift_ppm: float | None = None
    reason: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """Which participants are heard on one side of the mix."""

    side: str
    participants: tuple[str, ...]


class Layout(StrEnum):
    """Which sides of the mix a finished file fills, and from which of its own."""

    STEREO = "stereo"
    SWAPPED = "swapped"
    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Piece:
    """A finished file that holds some of a call. `begins_at`: its first sample, seconds since 1970.

    `filepath` is relative to the recordings directory. Of LEFT and RIGHT all channels of the file
    are heard on that side; BOTH is one voice for both.
    """

    filepath: str
    begins_at: float
    layout: Layout = Layout.STEREO


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """What is to be made of a call's captures. Paths are relative to the recordings directory.

    `begins_at` and `ends_at` are the caller's join and leaving, seconds since 1970; `ends_at` is
    None while the call goes on. `pieces` are finished files of the call: they are heard where
    nothing was captured. Sides: the caller's stays are `caller_sids`, in left; with
    `include_other_callers` false, participants in `other_caller_sids` are left out of the right.
    Where there is no call, whoever is called `left_identity` is left; a recording `of_room` has all
    callers left, and everybody on both sides where one side would have nobody.
    `track_filepath` contains `{track_id}`, to be replaced.
    """

    recording_id: str
    captures: tuple[str, ...]
    caller_sids: tuple[str, ...]
    begins_at: float
    ends_at: float | None
    mix_filepath: str
    track_filepath: str
    mix_format: str = "mp4"
    other_caller_sids: tuple[str, ...] = ()
    include_other_callers: bool = True
    pieces: tuple[Piece, ...] = ()
    left_identity: str = ""
    of_room: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files that were made, and what they hold. Durations in seconds, sizes in bytes."""

    filepath: str
    duration_sec: float
    size_bytes: int
    channels: tuple[Channel, ...]
    tracks: tuple[TrackFile, ...]
    holes: tuple[Hole, ...] = ()
    speech_packets: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """The promise of one trusted file for one call, and what has become of it.

    `file_stem` and `track_stem` are decided once: where its files go, below the recordings
    directory, without their endings; `track_stem` contains `{track_id}`. `rendered_from` has the
    captures and the files of LiveKit Egress that its files were made of, `rendered_until` when the
    call ended for which they were made. `egresses` are the jobs of LiveKit Egress that serve it;
    `fell_back` says why the built-in recorder had to take over. `call_id` is None, and `source` not
    `call`, where it was not a call that began it. `identity` is the participant whose side is the
    left one. `place` is whose disk its captures are on, the newest of them; empty where any process
    can work on it. `sha256` is of the mix, empty where nobody knows. `findings` are what was found
    when its files were listened to; `repaired_from` is the first mix if it was made again.
    """

    id: str
    call_id: str | None
    egress_id: str | None
    engine: str
    room_name: str
    seen: Observation
    created_at: datetime
    caller_number: str | None = None
    identity: str = ""
    agent_identity: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    duration_sec: float | None = None
    answer_offset_sec: float | None = None
    filepath: str | None = None
    size_bytes: int | None = None
    sha256: str = ""
    file_stem: str = ""
    track_stem: str = ""
    state: State = State.PLANNED
    since: datetime | None = None
    due_at: datetime | None = None
    attempts: int = 0
    reason: str = ""
    verdict: Verdict = Verdict.PENDING
    source: str = "call"
    place: str = ""
    room_sid: str = ""
    stop_asked_at: datetime | None = None
    missing_since: datetime | None = None
    captures: tuple[str, ...] = ()
    egresses: tuple[Egress, ...] = ()
    fell_back: str = ""
    rendered_from: tuple[str, ...] = ()
    rendered_until: datetime | None = None
    channels: tuple[Channel, ...] = ()
    tracks: tuple[TrackFile, ...] = ()
    tracks_left_out: int = 0
    holes: tuple[Hole, ...] = ()
    findings: tuple[Finding, ...] = ()
    repaired_from: str = ""
    history: tuple[Event, ...] = ()
    seal: Seal | None = None
    version: int = 0
    provenance: Provenance = field(default=Provenance.SIGNED, compare=False, metadata=NOT_STORED)

    @property
    def status(self) -> str:
        """The public status, as the user's document names it."""
        return STATUS[self.state]

    @property
    def public_verdict(self) -> Verdict:
        """The verdict as users see it: `none` if there is no file.

        The field itself keeps its default then, because the seals of older documents have it so.
        """
        return Verdict.NONE if self.state in WITHOUT_FILE else self.verdict

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return DEADLINE[self.state] is None

    @property
    def is_over(self) -> bool:
        """Whether its files are there, listened to or not, or never will be."""
        return self.status in OVER

    @property
    def is_going_on(self) -> bool:
        """Whether it is being recorded, or about to be."""
        return self.state in GOING_ON

    @property
    def is_unsealed(self) -> bool:
        """Whether it is over, and was changed since it was sealed, or never was."""
        return self.is_final and (self.seal is None or self.seal.version != self.version)

    @property
    def material(self) -> tuple[str, ...]:
        """What its files can be made of: captures, and files that LiveKit Egress left behind."""
        return (*self.captures, *(job.key for job in self.egresses if job.has_file))

    @property
    def lacks_material(self) -> bool:
        """Whether it is over, and something of the call turned up that it was not made of."""
        return self.is_over and not set(self.material) <= set(self.rendered_from)

    def fall_back(self, reason: str, at: datetime) -> "Recording":
        """The built-in recorder has taken over, once, and why."""
        if self.fell_back:
            return self
        fallen = self.noted(Event("recording.fell_back", at, reason))
        return replace(fallen, engine="builtin", fell_back=reason, due_at=at)

    def noted(self, event: Event) -> "Recording":
        """With another entry in its history."""
        return replace(self, history=with_event(self.history, event))

    def captured_in(self, capture_id: str) -> "Recording":
        """Note a capture; the newest one's place is where the files are made."""
        captures = (*self.captures, capture_id)
        return replace(self, captures=captures, place=place_of(max(captures)) or self.place)

    def hear(self, job: Egress) -> "Recording":
        """Fold in what is said of one of its jobs of LiveKit Egress."""
        return replace(self, egresses=heard(self.egresses, job))

    def observe(self, report: Observation) -> "Recording":
        """Fold in a recorder's report, whatever the order reports arrive in.

        A report that gets no further than what is known changes nothing; nor does a report of an
        earlier take; a further take opens a recording again that was over, unless it was stopped.
        """
        if self.stop_asked_at is not None:
            report = replace(report, take=min(report.take, self.seen.take))
        if report.reach <= self.seen.reach:
            return self
        seen = replace(self, seen=report)
        if report.state is self.state or (self.state not in RANK and report.take == self.seen.take):
            return seen
        return seen._moved(report.state, report.at, report.reason)

    def advance(self, state: State, at: datetime, reason: str = "") -> "Recording":
        """Take our own step. Raises `Conflict` where `NEXT` does not list it."""
        if state not in NEXT.get(self.state, frozenset()):
            raise Conflict(f"a recording that is {self.state} can't become {state}")
        return self._moved(state, at, reason)

    def _moved(self, state: State, at: datetime, reason: str) -> "Recording":
        """The new state, its event in the history, and the deadline of the state."""
        wait = DEADLINE[state]
        reason = reason or (UNEXPLAINED if state in WITHOUT_FILE else "")
        if state is State.CAPTURED:  # other files are made then
            self = replace(self, sha256="", verdict=Verdict.PENDING, findings=(), repaired_from="")
        return replace(
            self,
            state=state,
            since=at,
            reason=reason,
            attempts=0,
            due_at=None if wait is None else at + wait,
        ).noted(Event(f"recording.{state}", at, reason))

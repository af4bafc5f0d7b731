"""The stores and the clock, in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from egress_manager.domain.calls import Call
from egress_manager.domain.cursors import Place
from egress_manager.domain.incoming import Webhook
from egress_manager.domain.ledger import Report
from egress_manager.domain.moments import as_stored
from egress_manager.domain.pages import CallFilter, Page, RecordingFilter
from egress_manager.domain.recordings import MANUAL, Recording
from egress_manager.errors import Conflict, NotFound, StoreUnavailable

Item = TypeVar("Item")


@dataclass
class FixedClock:
    """A clock that stands still until it is told to move."""

    at: datetime

    def now(self) -> datetime:
        """The moment it was set to."""
        return self.at

    def pass_(self, **duration: float) -> datetime:
        """Let time pass (`seconds=`, `minutes=`, … as for `timedelta`), and say what time it is."""
        self.at += timedelta(**duration)
        return self.at


@dataclass
class _Away:
    """Something that can be told to be unreachable."""

    away: bool = field(default=False, kw_only=True)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("told to be away")


@dataclass
class MemoryCalls(_Away):
    """`Calls` in a dictionary."""

    kept: dict[str, Call] = field(default_factory=dict)

    async def get(self, call_id: str) -> Call:
        self._answer()
        return _found(self.kept, call_id)

    async def add(self, call: Call) -> Call:
        self._answer()
        if call.id in self.kept:
            raise Conflict(f"call {call.id} is there already")
        self.kept[call.id] = as_stored(call)
        return self.kept[call.id]

    async def save(self, call: Call) -> Call:
        self._answer()
        _check_version(_found(self.kept, call.id).version, call.version)
        self.kept[call.id] = replace(as_stored(call), version=call.version + 1)
        return self.kept[call.id]

    async def going_on(self, room_name: str | None = None) -> Sequence[Call]:
        self._answer()
        return [
            call
            for call in self.kept.values()
            if not call.is_over and room_name in (None, call.room.name)
        ]

    async def by_participant(self, room_name: str, participant_sid: str) -> Sequence[Call]:
        self._answer()
        return [
            call
            for call in self.kept.values()
            if call.room.name == room_name and participant_sid in call.participant_sids
        ]

    async def page(self, where: CallFilter, *, cursor: str | None, limit: int) -> Page[Call]:
        self._answer()
        chosen = (call for call in self.kept.values() if _is_wanted_call(call, where))
        return _page(chosen, lambda call: Place(call.joined_at, call.id), cursor, limit)


@dataclass
class MemoryRecordings(_Away):
    """`Recordings` in a dictionary."""

    kept: dict[str, Recording] = field(default_factory=dict)

    async def get(self, recording_id: str) -> Recording:
        self._answer()
        return _found(self.kept, recording_id)

    async def by_egress_id(self, egress_id: str) -> Recording | None:
        self._answer()
        return next(
            (
                r
                for r in self.kept.values()
                if egress_id in (r.egress_id, *(job.egress_id for job in r.egresses))
            ),
            None,
        )

    async def add(self, recording: Recording) -> Recording:
        self._answer()
        if recording.id in self.kept:
            raise Conflict(f"recording {recording.id} is there already")
        self._check_egress_id(recording)
        self.kept[recording.id] = as_stored(recording)
        return self.kept[recording.id]

    async def save(self, recording: Recording) -> Recording:
        self._answer()
        _check_version(_found(self.kept, recording.id).version, recording.version)
        self._check_egress_id(recording)
        self.kept[recording.id] = replace(as_stored(recording), version=recording.version + 1)
        return self.kept[recording.id]

    async def due(self, now: datetime, limit: int) -> Sequence[Recording]:
        self._answer()
        due = [
            (recording.due_at, recording.id, recording)
            for recording in self.kept.values()
            if recording.due_at is not None and recording.due_at <= now
        ]
        return [recording for _, _, recording in sorted(due, key=lambda item: item[:2])[:limit]]

    async def unfinished(self) -> Sequence[Recording]:
        self._answer()
        return [recording for recording in self.kept.values() if not recording.is_final]

    async def by_hand(self, room_name: str | None = None) -> Sequence[Recording]:
        self._answer()
        return [
            r
            for r in self.kept.values()
            if r.source == MANUAL and r.is_going_on and room_name in (None, r.room_name)
        ]

    async def page(
        self, where: RecordingFilter, *, cursor: str | None, limit: int
    ) -> Page[Recording]:
        self._answer()
        chosen = (r for r in self.kept.values() if _is_wanted_recording(r, where))
        return _page(chosen, lambda r: Place(r.created_at, r.id), cursor, limit)

    def _check_egress_id(self, recording: Recording) -> None:
        if recording.egress_id is None:
            return
        for other in self.kept.values():
            if other.egress_id == recording.egress_id and other.id != recording.id:
                raise Conflict(f"egress {recording.egress_id} has a recording already")


@dataclass
class MemoryInbox(_Away):
    """`Inbox` in two dictionaries; `outcomes` has what was noted of the webhooks that are done."""

    kept: dict[str, Webhook] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def keep(self, webhook: Webhook, at: datetime) -> bool:
        self._answer()
        if webhook.event_id in self.kept:
            return False
        self.kept[webhook.event_id] = webhook
        return True

    async def done(self, event_id: str, at: datetime, outcome: Mapping[str, Any]) -> None:
        self._answer()
        if event_id in self.kept:
            self.outcomes[event_id] = dict(outcome)

    async def waiting(self, limit: int) -> Sequence[Webhook]:
        self._answer()
        waiting = (hook for hook in self.kept.values() if hook.event_id not in self.outcomes)
        return list(waiting)[:limit]


@dataclass
class MemoryReports(_Away):
    """`Reports`: the ledgers of days, by the moment on which they begin."""

    kept: dict[datetime, Report] = field(default_factory=dict)

    async def has(self, since: datetime) -> bool:
        self._answer()
        return since in self.kept

    async def keep(self, report: Report) -> bool:
        self._answer()
        return self.kept.setdefault(report.since, report) is report


@dataclass
class MemoryKeys(_Away):
    """`Keys` in a variable."""

    kept: str | None = None
    asked: int = 0

    async def fingerprint(self) -> str | None:
        self._answer()
        self.asked += 1
        return self.kept

    async def keep_first(self, fingerprint: str, at: datetime) -> bool:
        self._answer()
        if self.kept is not None:
            return False
        self.kept = fingerprint
        return True

    async def replace(self, fingerprint: str, at: datetime) -> None:
        self._answer()
        self.kept = fingerprint


def _found(kept: Mapping[str, Item], item_id: str) -> Item:
    """The item of that id. Raises `NotFound`."""
    try:
        return kept[item_id]
    except KeyError:
        raise NotFound(f"there is no {item_id}") from None


def _check_version(stored: int, given: int) -> None:
    """Raise `Conflict` where somebody wrote since the given version was read."""
    if stored != given:
        raise Conflict(f"version {given} was read, version {stored} is stored")


def _page(
    items: Iterable[Item], place: Callable[[Item], Place], cursor: str | None, limit: int
) -> Page[Item]:
    """The next `limit` items after the cursor, newest first."""
    ordered = sorted(items, key=lambda item: (place(item).at, place(item).id), reverse=True)
    if cursor is not None:
        after = Place.of(cursor)
        ordered = [i for i in ordered if (place(i).at, place(i).id) < (after.at, after.id)]
    chosen = tuple(ordered[:limit])
    more = len(ordered) > limit
    return Page(chosen, place(chosen[-1]).cursor() if more and chosen else None)


def _is_within(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or since <= at) and (until is None or at < until)


def _is_wanted_call(call: Call, where: CallFilter) -> bool:
    return (
        where.room_name in (None, call.room.name)
        and where.caller_number in (None, call.caller_number)
        and where.is_over in (None, call.is_over)
        and _is_within(call.joined_at, where.since, where.until)
    )


def _is_wanted_recording(recording: Recording, where: RecordingFilter) -> bool:
    return (
        where.room_name in (None, recording.room_name)
        and where.caller_number in (None, recording.caller_number)
        and where.status in (None, recording.status)
        and where.source in (None, recording.source)
        and where.identity in (None, recording.identity)
        and _is_within(recording.created_at, where.since, where.until)
    )

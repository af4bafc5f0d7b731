"""Which calls and recordings to list, and a page of the list."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, and the cursor of the next one (None on the last)."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; None means any. Numbers match exactly, `since <= joined_at < until`."""

    room_name: str | None = None
    caller_number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_over: bool | None = None


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """Which recordings to list; None means any. `since <= created_at < until`."""

    room_name: str | None = None
    caller_number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    status: str | None = None
    source: str | None = None
    identity: str | None = None

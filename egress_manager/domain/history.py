"""What has happened to a recording, in order: as much as its document keeps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from egress_manager.domain.quotas import EVENTS

#: Stands second in a history for all entries that were left out there: how many is its reason.
LEFT_OUT: Final = "recording.left_out"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a recording's history."""

    name: str
    at: datetime
    reason: str = ""


def with_event(history: tuple[Event, ...], event: Event) -> tuple[Event, ...]:
    """The history with another entry. Of too many, the oldest after the first are left out."""
    if len(history) < EVENTS:
        return (*history, event)
    first, second, *rest = history
    if second.name != LEFT_OUT:
        second, rest = Event(LEFT_OUT, second.at, "1"), rest
    before, at = int(second.reason), rest[0].at
    return (first, Event(LEFT_OUT, at, str(before + 1)), *rest[1:], event)

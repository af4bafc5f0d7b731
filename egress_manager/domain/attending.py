"""Rooms in which somebody is to be recorded, and how long nothing of it could reach the recorder.

Pure. Moments are seconds on the recorder's clock.
"""

from dataclasses import dataclass, replace
from typing import Final

#: A room is attended within this after a caller was said to be there. Seconds.
ATTENDED_WITHIN: Final = 3.0
#: Polling names every room with a caller again and again, at most 5 s apart; in a room that was not
#: named for this long nobody waits. Seconds.
NAMED_WITHIN: Final = 15.0


@dataclass(frozen=True, slots=True)
class Awaited:
    """A room in which somebody is to be recorded: when that was said last.

    `unattended_since` is since when the recorder could not hear anything of it.
    """

    named_at: float
    unattended_since: float

    def is_current(self, moment: float) -> bool:
        """Whether somebody is still said to be there."""
        return moment - self.named_at <= NAMED_WITHIN

    def is_overdue(self, moment: float) -> bool:
        """Whether it should have been attended by now."""
        return moment - self.unattended_since > ATTENDED_WITHIN

    def seen(self, moment: float, *, is_attended: bool) -> "Awaited":
        """The same after a look at whether the recorder can hear the room."""
        return replace(self, unattended_since=moment) if is_attended else self


def named(known: Awaited | None, moment: float) -> Awaited:
    """The room, after somebody was said to be there; whoever was there long ago is forgotten."""
    if known is None or not known.is_current(moment):
        return Awaited(moment, moment)
    return replace(known, named_at=moment)

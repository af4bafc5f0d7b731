"""Calls of a room at some time: the newest, as many as are looked at, and a word if that is few."""

import logging
from datetime import datetime
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.pages import CallFilter
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)

#: So many rooms are remembered that were told of; then no more are.
MOST_ROOMS: Final = 1000


async def newest_calls(
    room_name: str, since: datetime, until: datetime | None, doors: Doors, *, most: int
) -> tuple[Call, ...]:
    """The newest calls that began before `until`; those that were over by `since` do not matter.

    Where there are more, and the oldest of these went on at `since`, older ones may have, too: that
    is logged once for each room. Raises `StoreUnavailable`.
    """
    where = CallFilter(room_name=room_name, until=until)
    page = await doors.calls.page(where, cursor=None, limit=most)
    if page.next_cursor is not None and _went_on(page.items[-1], since):
        _tell(room_name, most, doors)
    return page.items


def _went_on(call: Call, at: datetime) -> bool:
    return call.left_at is None or call.left_at >= at


def _tell(room_name: str, most: int, doors: Doors) -> None:
    if room_name not in doors.crowded and len(doors.crowded) < MOST_ROOMS:
        doors.crowded.add(room_name)
        log.warning("calls_not_looked_at", extra={"room_name": room_name, "looked_at": most})

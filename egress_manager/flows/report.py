"""The ledger of a period, drawn up; one of every day is kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.ledger import Line, Report, line_of, report_of
from egress_manager.domain.pages import CallFilter
from egress_manager.errors import BadRequest, NotFound
from egress_manager.flows.doors import Doors

#: Calls are read in pages of so many.
PAGE: Final = 200
#: The longest period: more calls than that are better asked for day by day.
LONGEST: Final = timedelta(days=366)
#: A day is drawn up when it is over for so long: calls that began in it have ended by then.
SETTLED_AFTER: Final = timedelta(hours=6)


async def draw_up(doors: Doors, since: datetime, until: datetime) -> Report:
    """The ledger of calls that began in that period.

    Raises `BadRequest` for a period that ends before it begins or is too long, `StoreUnavailable`.
    """
    if not since < until:
        raise BadRequest("until: the period has to end after it begins")
    if until - since > LONGEST:
        raise BadRequest("until: ask for a year at most")
    lines = [await _line(call, doors) async for call in _calls(doors, since, until)]
    return report_of(lines, since, until, doors.clock.now())


async def keep_yesterday(doors: Doors) -> bool:
    """Draw up the last day that is settled, and keep it, once; whether it was done now."""
    settled = doors.clock.now() - SETTLED_AFTER
    until = settled.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - timedelta(days=1)
    if await doors.reports.has(since):
        return False
    return await doors.reports.keep(await draw_up(doors, since, until))


async def _calls(doors: Doors, since: datetime, until: datetime) -> AsyncIterator[Call]:
    cursor: str | None = None
    while True:
        where = CallFilter(since=since, until=until)
        page = await doors.calls.page(where, cursor=cursor, limit=PAGE)
        for call in page.items:
            yield call
        cursor = page.next_cursor
        if cursor is None:
            return


async def _line(call: Call, doors: Doors) -> Line:
    if call.recording_id is None:
        return line_of(call, None)
    try:
        return line_of(call, await doors.recordings.get(call.recording_id))
    except NotFound:
        return line_of(call, None)

"""`egress-manager calls`: list them, or show one."""

from collections.abc import Sequence
from urllib.parse import quote

from cyclopts import App

from egress_manager.cli.moments import Moment, told
from egress_manager.cli.service import HERE, Facts, Service, every
from egress_manager.cli.tables import between, length, moment, show, show_one, table

calls = App("calls", help="List calls, newest first, or show one.")


@calls.default
def list_calls(
    *,
    room: str | None = None,
    caller: str | None = None,
    since: Moment = None,
    until: Moment = None,
    limit: int = 50,
    service: Service = HERE,
) -> None:
    """List calls, newest first.

    Parameters
    ----------
    room
        Only those in this room.
    caller
        Only those from this number.
    since
        Only those from this moment on (2026-11-22, or 2026-11-22T08:00).
    until
        Only those before this moment.
    limit
        How many at most.
    """
    where = {"room_name": room, "caller_number": caller, "since": told(since), "until": told(until)}
    found = every(service, "/calls", where, limit)
    columns = ["joined", "caller", "called", "room", "lasted", "recording", "call"]
    show(service, found, table(columns, map(_call_row, found["items"])))


@calls.command(name="show")
def show_call(call_id: str, /, *, service: Service = HERE) -> None:
    """Show one call."""
    show_one(service, f"/calls/{quote(call_id, safe='')}")


def _call_row(call: Facts) -> Sequence[str]:
    recorded = call["recording_id"] or f"no: {call['reason'] or 'not decided yet'}"
    return [
        moment(call["joined_at"]),
        call["caller_number"] or call["identity"],
        call["called_number"] or "",
        call["room_name"],
        length(between(call["joined_at"], call["left_at"])),
        recorded,
        call["id"],
    ]

"""`egress-manager report`: every call of a period, and what became of it."""

from typing import Annotated

from cyclopts import Parameter

from egress_manager.cli.moments import Moment, told
from egress_manager.cli.service import HERE, Facts, Service, ask, get
from egress_manager.cli.tables import console, length, moment, print_json, table
from egress_manager.errors import BadRequest


def report(
    *,
    since: Moment = None,
    until: Moment = None,
    csv: Annotated[bool, Parameter(negative="")] = False,
    service: Service = HERE,
) -> None:
    """Every call of a period, what became of it, and the totals.

    Parameters
    ----------
    since
        Calls from this moment on (2026-11-22, or 2026-11-22T08:00); by default a day ago.
    until
        Calls before this moment; by default now.
    csv
        For a spreadsheet.
    """
    if csv and service.as_json:
        raise BadRequest("--csv and --json are two forms of one answer: ask for one of them")
    where = {"since": told(since), "until": told(until)}
    if csv:
        ask(service, "/reports/capture", where)  # says what is wrong in words
        print(get(service, "/reports/capture", {**where, "format": "csv"}).text, end="")
        return
    found = ask(service, "/reports/capture", where)
    if service.as_json:
        print_json(found)
        return
    columns = ["joined", "caller", "room", "lasted", "what became of it", "missing", "tracks"]
    console().print(table(columns, map(_row, found["lines"])))
    console().print(_totals(found["totals"]))


def _row(line: Facts) -> list[str]:
    fate = line["fate"] + (f" ({line['reason']})" if line["reason"] else "")
    return [
        moment(line["joined_at"]),
        line["caller_number"] or line["identity"],
        line["room_name"],
        length(line["call_sec"]),
        fate,
        f"{line['hole_sec']:.1f} s" if line["hole_sec"] else "",
        f"{line['tracks_kept']} of {line['tracks_published']}",
    ]


def _totals(totals: Facts) -> str:
    fates = ", ".join(f"{count} {fate}" for fate, count in totals["by_fate"].items() if count)
    return (
        f"{totals['calls']} calls: {fates or 'none'}; "
        f"{totals['hole_sec']:.1f} s missing of {totals['call_sec']:.0f} s"
    )

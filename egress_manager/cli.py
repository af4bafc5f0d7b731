"""The command line: `egress-manager serve | calls | recordings | settings | keys`.

`calls` and `recordings` ask the running service over HTTP. Tables are for people; `--json` prints
what the API says, for scripts. What goes wrong is one sentence on stderr and an exit code: 1, or 2
for settings that can't be used.

What runs the service is imported where it is needed only: a list should not wait for it.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

import httpx2
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from egress_manager import telemetry
from egress_manager.errors import EgressManagerError, SettingsWrong
from egress_manager.settings import load_settings, words

#: The most that the API gives at once.
PAGE: Final = 200
#: How long the service may take to answer. Seconds.
TIMEOUT: Final = 10.0

#: How wide tables are where nobody's terminal says it. Columns.
WIDE: Final = 200

KEY_VARIABLE: Final = "EGRESS_MANAGER_API_KEY"

Facts = Mapping[str, Any]

app = App("egress-manager", help="The call recorder for self-hosted LiveKit.", version_flags=[])
calls = App("calls", help="List calls, newest first, or show one.")
recordings = App("recordings", help="List recordings, newest first, or show one.")
keys = App("keys", help="The key that opens the API.")
for noun in (calls, recordings, keys):
    app.command(noun)


class Failed(EgressManagerError):
    """What was asked for could not be had; the message says what to do."""


@Parameter(name="*")
@dataclass(frozen=True)
class Service:
    """The service that is asked.

    Parameters
    ----------
    url
        Where the service is.
    api_key
        The API key; EGRESS_MANAGER_API_KEY where it is not given.
    as_json
        Print what the API says, for scripts.
    """

    url: str = "http://127.0.0.1:5000"
    api_key: str = ""
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False


@app.command
def serve(*, host: str = "0.0.0.0", port: int = 5000) -> None:
    """Run the service: the API, the jobs and the recorder.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on.
    """
    import uvicorn

    telemetry.set_up(load_settings().log_level)
    uvicorn.run("egress_manager.app:app", host=host, port=port, log_config=None, access_log=False)


@calls.default
def list_calls(
    *,
    room: str | None = None,
    caller: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 50,
    service: Service = Service(),
) -> None:
    """List calls, newest first.

    Parameters
    ----------
    room
        Only those in this room.
    caller
        Only those from this number.
    since
        Only those from this moment on (2026-11-22T00:00:00Z).
    until
        Only those before this moment.
    limit
        How many at most.
    """
    where = {"room_name": room, "caller_number": caller, "since": since, "until": until}
    found = _list(service, "/calls", where, limit)
    columns = ["joined", "caller", "called", "room", "lasted", "recording", "call"]
    _show(service, found, _table(columns, map(_call_row, found["items"])))


@calls.command(name="show")
def show_call(call_id: str, /, *, service: Service = Service()) -> None:
    """Show one call."""
    _show_one(service, f"/calls/{quote(call_id, safe='')}")


@recordings.default
def list_recordings(
    *,
    room: str | None = None,
    caller: str | None = None,
    since: str | None = None,
    until: str | None = None,
    status: str | None = None,
    limit: int = 50,
    service: Service = Service(),
) -> None:
    """List recordings, newest first.

    Parameters
    ----------
    room
        Only those in this room.
    caller
        Only those from this number.
    since
        Only those from this moment on (2026-11-22T00:00:00Z).
    until
        Only those before this moment.
    status
        Only those that are starting, recording, processing, completed, failed, aborted or deleted.
    limit
        How many at most.
    """
    where = {"room_name": room, "caller_number": caller, "since": since, "until": until}
    found = _list(service, "/recordings", where | {"status": status}, limit)
    columns = ["begun", "caller", "room", "status", "lasted", "file", "recording"]
    _show(service, found, _table(columns, map(_recording_row, found["items"])))


@recordings.command(name="show")
def show_recording(recording_id: str, /, *, service: Service = Service()) -> None:
    """Show one recording."""
    _show_one(service, f"/recordings/{quote(recording_id, safe='')}")


@app.command
def settings(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    env_example: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show every setting and where it comes from; secrets are masked.

    Parameters
    ----------
    as_json
        For scripts.
    markdown
        Print docs/settings.md instead.
    env_example
        Print .env.example instead.
    """
    if markdown or env_example:
        print(words.as_markdown() if markdown else words.as_env_example(), end="")
        return
    shown = list(words.shown(load_settings()))
    if as_json:
        _print_json({each.variable: {"value": each.value, "from": each.origin} for each in shown})
        return
    rows = ([each.variable, each.value, each.origin] for each in shown)
    _console().print(_table(["variable", "value", "from"], rows))


@keys.command(name="new")
def new_key() -> None:
    """Make a new API key and show it; the old one opens nothing any more."""
    print(asyncio.run(_new_key()))


async def _new_key() -> str:
    from egress_manager.api import auth
    from egress_manager.wiring import open_keys

    async with open_keys(load_settings()) as kept:
        return await auth.make_new_key(kept, _Now())


class _Now:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def _list(service: Service, path: str, where: Mapping[str, str | None], limit: int) -> Facts:
    """As many as wanted, page after page, as if they were one."""
    items: list[Facts] = []
    cursor: str | None = None
    while True:
        page = _ask(service, path, {**where, "cursor": cursor, "limit": min(limit, PAGE)})
        items += page["items"]
        limit, cursor = limit - len(page["items"]), page["next_cursor"]
        if cursor is None or limit <= 0:
            return {"items": items, "next_cursor": cursor}


def _ask(service: Service, path: str, params: Mapping[str, Any]) -> Any:
    """The service's answer. Raises `Failed` with a sentence."""
    key = service.api_key or words.value_of(KEY_VARIABLE)
    given = {name: value for name, value in params.items() if value is not None}
    try:
        with httpx2.Client(base_url=service.url, timeout=TIMEOUT) as client:
            answer = client.get(path, params=given, headers={"X-API-Key": key} if key else {})
            said = answer.json()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Failed(f"nobody answers at {service.url}: is it running? (--url)") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Failed(f"what answers at {service.url} is not Egress Manager (--url)") from error
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        wrong = "is not the service's API key" if key else "is missing"
        raise Failed(f"the API key {wrong}: give --api-key, or set {KEY_VARIABLE}")
    if not answer.is_success:
        raise Failed(said.get("detail", f"the service answered {answer.status_code}"))
    return said


def _show(service: Service, found: Facts, table: Table) -> None:
    if service.as_json:
        _print_json(found)
    elif found["items"]:
        _console().print(table)
    else:
        print("none", file=sys.stderr)


def _show_one(service: Service, path: str) -> None:
    """Every field of one thing, a line each."""
    found = _ask(service, path, {})
    if service.as_json:
        _print_json(found)
        return
    rows = ([name, _in_words(value)] for name, value in found.items())
    _console().print(_table(["field", "value"], rows))


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_in_words, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items() if part)
    return "" if value is None else str(value)


def _call_row(call: Facts) -> Sequence[str]:
    recorded = call["recording_id"] or f"no: {call['reason'] or 'not decided yet'}"
    return [
        _moment(call["joined_at"]),
        call["caller_number"] or call["identity"],
        call["called_number"] or "",
        call["room_name"],
        _length(_between(call["joined_at"], call["left_at"])),
        recorded,
        call["id"],
    ]


def _recording_row(recording: Facts) -> Sequence[str]:
    status = recording["status"]
    if recording["reason"]:
        status += f" ({recording['reason']})"
    return [
        _moment(recording["started_at"] or recording["created_at"]),
        recording["caller_number"] or "",
        recording["room_name"],
        status,
        _length(recording["duration_sec"]),
        recording["filepath"] or "",
        recording["id"],
    ]


def _moment(text: str) -> str:
    """A moment in the time of this machine, to the second."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _between(begin: str, end: str | None) -> float | None:
    if end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def _length(seconds: float | None) -> str:
    """A length as people write it; nothing where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_harmless, row))
    return table


def _harmless(text: str) -> str:
    """What others chose, without what would tell a terminal to do something."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _console() -> Console:
    """Where tables go; what they hold is text, not markup."""
    return Console(
        markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE
    )


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, and exit."""
    try:
        app(arguments)
    except SettingsWrong as error:
        sys.exit(_complaint(error, 2))
    except EgressManagerError as error:
        sys.exit(_complaint(error, 1))


def _complaint(error: EgressManagerError, code: int) -> int:
    print(f"egress-manager: {error}", file=sys.stderr)
    return code

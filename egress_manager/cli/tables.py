"""What people read: tables, moments and lengths; and JSON for scripts."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from egress_manager.cli.service import Facts, Service, ask

#: How wide tables are where nobody's terminal says it. Columns.
WIDE: Final = 200


def show(service: Service, found: Facts, table: Table) -> None:
    if service.as_json:
        print_json(found)
    elif found["items"]:
        console().print(table)
    else:
        print("none", file=sys.stderr)


def show_one(service: Service, path: str) -> None:
    """Every field of one thing that the service has, a line each."""
    show_fields(service, ask(service, path, {}))


def show_fields(service: Service, found: Facts) -> None:
    """Every field of one thing, a line each."""
    if service.as_json:
        print_json(found)
        return
    rows = ([name, _in_words(value)] for name, value in found.items())
    console().print(table(["field", "value"], rows))


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_in_words, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items() if part)
    return "" if value is None else str(value)


def moment(text: str) -> str:
    """A moment in the time of this machine, to the second."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def between(begin: str, end: str | None) -> float | None:
    if end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def length(seconds: float | None) -> str:
    """A length as people write it; nothing where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(harmless, row))
    return table


def harmless(text: str) -> str:
    """What others chose, without what would tell a terminal to do something."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def console() -> Console:
    """Where tables go; what they hold is text, not markup."""
    return Console(
        markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE
    )


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))

"""What can be observed: the form of the log, and which of its fields are about people.

Modules log with `logging.getLogger(__name__)`: the event is a static name in snake_case, everything
else a field (`log.info("recording_moved", extra={"recording": recording.id})`). A line is one JSON
object; on a terminal it is laid out for people.

Fields about people (numbers, names, identities, room names: callers' numbers are often part of
them) are marked, so that who keeps the log can drop them: their names begin with `pii.`. What an
error says may quote any of them, so its words are marked too, and told apart from its traceback.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict

#: Fields that are about people, by the name the code gives them. The log has `pii.` before it.
PERSONAL: Final = frozenset(
    {
        "address",
        "agent_identity",
        "called_number",
        "caller_number",
        "detail",
        "filepath",
        "identity",
        "metadata",
        "participant",
        "path",
        "phone",
        "room",
        "room_name",
    }
)

MARK: Final = "pii."

#: Others' loggers that say too much at our level, and the level they are held to.
_QUIET: Final = {
    "aioice": logging.WARNING,
    "aiortc": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx2": logging.WARNING,
    "pymongo": logging.WARNING,
    "uvicorn.access": logging.WARNING,  # queries have numbers in them; a proxy can keep that log
}


def set_up(level: str = "INFO", *, plain: bool | None = None, to: TextIO = sys.stderr) -> None:
    """Send every log line of this process there: ours, uvicorn's and the libraries'.

    `plain` is for people, JSON for machines; by default it is plain on a terminal.
    """
    if plain is None:
        plain = to.isatty()
    handler = logging.StreamHandler(to)
    handler.setFormatter(formatter(plain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def formatter(plain: bool) -> logging.Formatter:
    """How a record becomes a line."""
    last: list[structlog.typing.Processor]
    if plain:
        last = [structlog.dev.ConsoleRenderer()]
    else:
        last = [tell_error_apart, structlog.processors.JSONRenderer()]
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mark_personal,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def mark_personal(_: Any, __: str, event: EventDict) -> EventDict:
    """Put the mark before the names of fields that are about people."""
    event.pop("color_message", None)  # uvicorn's, for terminals
    return {f"{MARK}{name}" if name in PERSONAL else name: value for name, value in event.items()}


def tell_error_apart(_: Any, __: str, event: EventDict) -> EventDict:
    """`exception` is where it happened, `pii.error` what was said of it."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given
    if given is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        chain = list(_with_causes(error))
        event["exception"] = "\n".join(map(_where, chain))
        event[f"{MARK}error"] = "; ".join(f"{type(each).__name__}: {each}" for each in chain)
    return event


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """What led to it, what it holds, and it: the oldest first."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _with_causes(before)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _with_causes(each)
    yield error


def _where(error: BaseException) -> str:
    lines = traceback.format_tb(error.__traceback__)
    return "".join(lines) + type(error).__name__

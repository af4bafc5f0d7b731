"""What can be observed: the form of the log, and which of its fields are about people.

Modules log with `logging.getLogger(__name__)`: the event is a static name in snake_case, everything
else a field (`log.info("recording_moved", extra={"recording": recording.id})`). A line is one JSON
object; on a terminal it is laid out for people.

Fields about people (numbers, names, identities, room names: callers' numbers are often part of
them) are marked, so that who keeps the log can drop them: their names begin with `pii.`.
"""

import logging
import sys
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict

#: Fields that are about people, by the name the code gives them. The log has `pii.` before it.
PERSONAL: Final = frozenset(
    {
        "agent_identity",
        "called_number",
        "caller_number",
        "filepath",
        "identity",
        "metadata",
        "participant",
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
    "docket": logging.WARNING,
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
    handler.setFormatter(_formatter(plain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _formatter(plain: bool) -> logging.Formatter:
    last: list[structlog.typing.Processor]
    if plain:
        last = [structlog.dev.ConsoleRenderer()]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
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

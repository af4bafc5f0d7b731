"""The log: one form, and people's data marked."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from egress_manager import telemetry


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(text: str) -> list[dict[str, object]]:
    """The log's lines, read."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_a_name_and_fields() -> None:
    """As JSON, where nobody is watching."""
    to = io.StringIO()
    telemetry.set_up("info", to=to)

    logging.getLogger("egress_manager.flows").info(
        "recording_moved", extra={"recording": "rec_1", "state": "active"}
    )

    (line,) = lines(to.getvalue())
    assert line["event"] == "recording_moved"
    assert line["recording"] == "rec_1"
    assert line["level"] == "info"
    assert line["logger"] == "egress_manager.flows"
    assert str(line["timestamp"]).endswith("Z")


def test_what_is_about_people_is_marked() -> None:
    """So that who keeps the log can drop it; room names have numbers in them, too."""
    to = io.StringIO()
    telemetry.set_up(to=to)

    logging.getLogger("x").info(
        "call_seen", extra={"caller_number": "+1555", "room_name": "call-+1555", "pii.name": "A"}
    )

    (line,) = lines(to.getvalue())
    assert line["pii.caller_number"] == "+1555"
    assert line["pii.room_name"] == "call-+1555"
    assert line["pii.name"] == "A"
    assert not telemetry.PERSONAL & line.keys()


def test_a_terminal_gets_words() -> None:
    """Also with what went wrong."""
    to = io.StringIO()
    telemetry.set_up(plain=True, to=to)

    try:
        raise ValueError("houba")
    except ValueError:
        logging.getLogger("x").exception("step_failed")

    assert "step_failed" in to.getvalue()
    assert "houba" in to.getvalue()
    assert not to.getvalue().startswith("{")


def test_what_went_wrong_stands_in_the_line() -> None:
    """One line, whatever its traceback has; the words that may quote somebody are marked."""
    to = io.StringIO()
    telemetry.set_up(to=to)

    try:
        raise ValueError("houba")
    except ValueError:
        logging.getLogger("x").exception("step_failed")

    (line,) = lines(to.getvalue())
    assert str(line["exception"]).endswith("ValueError")
    assert line["pii.error"] == "ValueError: houba"


def test_the_level_is_kept_and_others_are_quiet() -> None:
    """A library's chatter is not ours."""
    to = io.StringIO()
    telemetry.set_up("debug", to=to)

    logging.getLogger("pymongo.command").debug("chatter")
    logging.getLogger("egress_manager").debug("ours")

    assert [line["event"] for line in lines(to.getvalue())] == ["ours"]


def test_uvicorn_speaks_the_same_way() -> None:
    """Its own handlers are gone."""
    to = io.StringIO()
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    telemetry.set_up(to=to)

    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)

    (line,) = lines(to.getvalue())
    assert line["event"] == "Started server process [7]"

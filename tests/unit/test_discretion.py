"""What a log must not tell, and that it is found out."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from egress_manager import telemetry
from lab import discretion


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log as the service writes it; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    text = io.StringIO()
    telemetry.set_up(to=text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def obelix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is spoken of here, and only here."""
    monkeypatch.setattr(discretion, "_people", {"menhir-room-50", "obelix-50"})
    monkeypatch.setattr(discretion, "_secrets", {"the-recipe-of-the-potion"})


@pytest.mark.parametrize(
    "fields",
    [
        {"why": "nobody is in menhir-room-50"},
        {"why": "obelix-50 left"},
        {"why": "first\nobelix-50_2.ogg\nlast"},
        {"told": {"deep": ["+15550100"]}},
        {"pii.why": "the-recipe-of-the-potion"},
        {"why": "what he drinks is the-recipe-of-the-potions"},
        {"token": "eyJhbGciOiJI.eyJpc3MiOiJk.c2lnbmF0dXJl"},
        {"uri": "mongodb://abraracourcix:secret@village/"},
    ],
)
def test_what_must_not_be_told_is_found(log: io.StringIO, fields: dict[str, object]) -> None:
    """Wherever it stands in a line; a mark does not help a secret."""
    logging.getLogger("x").warning("told", extra=fields)

    with pytest.raises(discretion.Indiscreet, match="told"):
        discretion.hold(log.getvalue(), "the village")


def test_a_line_that_is_no_json_is_read_whole() -> None:
    """What a library prints by itself has no fields."""
    with pytest.raises(discretion.Indiscreet, match="obelix-50"):
        discretion.hold("RuntimeWarning: obelix-50 was never awaited", "the village")


def test_what_is_marked_may_be_told(log: io.StringIO) -> None:
    """And what only looks like a number, or begins like a name."""
    logging.getLogger("x").warning("told", extra={"subject": "obelix-50b7"})
    about_them = {"room_name": "menhir-room-50", "identity": "obelix-50", "detail": "+15550100"}
    logging.getLogger("x").warning("told", extra=about_them | {"at": "12:00:00+00:00", "n": 10**12})

    discretion.hold(log.getvalue(), "the village")


def test_what_an_error_says_is_marked_and_where_it_happened_is_not(log: io.StringIO) -> None:
    """Also what led to it, and what a group holds: a traceback is worth keeping, words quote."""
    room_name, identity = "menhir-room-50", "obelix-50"
    try:
        try:
            raise ExceptionGroup("some", [KeyError(room_name)])
        except ExceptionGroup as group:
            raise RuntimeError(f"{identity} fell into it") from group
    except RuntimeError:
        logging.getLogger("x").exception("step_failed")

    discretion.hold(log.getvalue(), "the village")
    line = json.loads(log.getvalue())
    assert "test_discretion.py" in line["exception"]
    assert line["exception"].endswith("RuntimeError")
    assert "menhir-room-50" in line["pii.error"]
    assert "RuntimeError: obelix-50 fell into it" in line["pii.error"]

"""Moments as people type them: in the time of this machine, unless they say another one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter, Token

from egress_manager.errors import BadRequest


def moment_of(text: str) -> datetime:
    """What was typed, in UTC; a day is its midnight here. Raises `ValueError`."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment: write 2026-11-30, 2026-11-30T08:00, or 2026-11-30T08:00:00Z"
        ) from None


def _read(_: Any, tokens: Sequence[Token]) -> datetime:
    try:
        return moment_of(tokens[0].value)
    except ValueError as error:
        raise BadRequest(f"{(tokens[0].keyword or '').lstrip('-')}: {error}") from None


#: A moment of an option, in UTC; None where it is not given.
Moment = Annotated[datetime | None, Parameter(converter=_read, n_tokens=1)]


def told(moment: datetime | None) -> str | None:
    """The moment as the API takes it."""
    return None if moment is None else moment.isoformat()

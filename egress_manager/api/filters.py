"""The parameters that lists share."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from egress_manager.errors import BadRequest

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(r"\d{4}-")


def _with_plus(value: object) -> object:
    """A number as it was meant: in a URL, a `+` that is not written `%2B` arrives as a space."""
    return re.sub(r"^ (?=\d)", "+", value) if isinstance(value, str) else value


def _with_offset(value: object) -> object:
    """A moment as it was meant: the `+` of `+00:00`, as above. Raises `ValueError` for a number."""
    if not isinstance(value, str):
        return value
    if not _DATE.match(value):  # else pydantic would take it for seconds since 1970
        raise ValueError("write it as in 2026-11-22T00:00:00Z (ISO 8601 with an offset)")
    return re.sub(r" (?=\d\d:?\d\d$)", "+", value)


def _within_reach(value: datetime) -> datetime:
    """A moment with which can be reckoned; nothing was recorded before these, or after."""
    return min(max(value, _EARLIEST), _LATEST)


Moment = Annotated[AwareDatetime, BeforeValidator(_with_offset), AfterValidator(_within_reach)]
Number = Annotated[str, BeforeValidator(_with_plus)]

RoomName = Annotated[str | None, Query(description="In this room.")]
CallerNumber = Annotated[
    Number | None, Query(description="From this number, exactly.", examples=["+15550100"])
]
Since = Annotated[
    Moment | None,
    Query(
        description="From this moment on (ISO 8601 with an offset).",
        examples=["2026-11-22T00:00:00Z"],
    ),
]
Until = Annotated[Moment | None, Query(description="Before this moment.")]
Cursor = Annotated[
    str | None, Query(description="`next_cursor` of the page before; none for the first page.")
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]


def no_others(request: Request) -> None:
    """Raise `BadRequest` for a parameter that the route does not have.

    Passed over, a filter that is misspelt would show everything.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    fields = get_flat_params(route.dependant)
    known = {field.alias for field in fields if isinstance(field.field_info, params.Query)}
    if unknown := sorted(set(request.query_params) - known):
        which = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise BadRequest(f"there is no parameter {unknown[0][:64]!r} here; {which}")

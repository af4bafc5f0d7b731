"""Moments as the stores keep them: aware, UTC, to the millisecond.

BSON counts milliseconds. Values are brought to that form before they are written, so that what a
store returns is what it will return again, and the in-memory stores behave like the real ones.
"""

import dataclasses
import operator
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

Value = TypeVar("Value")


def to_milliseconds(moment: datetime) -> datetime:
    """The moment in UTC, cut to the millisecond. Raises `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    excess = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - excess) if excess else moment


def as_stored(value: Value) -> Value:
    """The same frozen dataclass, with every moment in it, however deep, cut to the millisecond."""
    stored: Value = _as_stored(value)
    return stored


def _as_stored(value: Any) -> Any:
    """What needs no change is returned as it is: most values were read from a store."""
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if isinstance(value, tuple):
        stored = tuple(map(_as_stored, value))
        return value if all(map(operator.is_, stored, value)) else stored
    kind: Any = type(value)
    changed = {
        name: after
        for name in _fields(kind)
        if (after := _as_stored(before := getattr(value, name))) is not before
    }
    return dataclasses.replace(value, **changed) if changed else value


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    """The names of a dataclass's fields; anything else has none."""
    is_dataclass = dataclasses.is_dataclass(kind)
    return tuple(field.name for field in dataclasses.fields(kind)) if is_dataclass else ()

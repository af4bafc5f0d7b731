"""Moments as the stores keep them: aware, UTC, to the millisecond.

BSON counts milliseconds. Values are brought to that form before they are written, so that what a
store returns is what it will return again, and the in-memory stores behave like the real ones.
"""

import dataclasses
from datetime import UTC, datetime
from typing import Any, TypeVar

Value = TypeVar("Value")


def to_milliseconds(moment: datetime) -> datetime:
    """The moment in UTC, cut to the millisecond. Raises `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def as_stored(value: Value) -> Value:
    """The same frozen dataclass, with every moment in it, however deep, cut to the millisecond."""
    stored: Value = _as_stored(value)
    return stored


def _as_stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_milliseconds(value)
    if isinstance(value, tuple):
        return tuple(_as_stored(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return dataclasses.replace(
            value, **{field.name: _as_stored(getattr(value, field.name)) for field in fields}
        )
    return value

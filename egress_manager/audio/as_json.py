"""Claims and evidence as JSON, for who sends them to another process or keeps them."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def to_json(value: Any) -> Any:
    """The fields of a dataclass, all the way down."""
    return dataclasses.asdict(value)


def from_json(cls: type[Value], fields: Mapping[str, Any]) -> Value:
    """The inverse of `to_json`. A field that is not known is passed over, so old readers go on."""
    hints = get_type_hints(cls)
    return cls(
        **{name: _read(hints[name], value) for name, value in fields.items() if name in hints}
    )


def _read(kind: Any, value: Any) -> Any:
    """A value of a field of that type."""
    if value is None:
        return None
    if get_origin(kind) is types.UnionType:
        (kind,) = (one for one in get_args(kind) if one is not types.NoneType)
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in value)
    is_record = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    return from_json(kind, value) if is_record else value

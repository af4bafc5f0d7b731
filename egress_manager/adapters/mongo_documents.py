"""Values of the domain as documents, and back.

A dataclass becomes an object with its fields' names, except where `NAMES` says that the document
calls a field differently. A document may lack fields (it is older than they are: their defaults
stand in) and may have more (it was written by a newer version: they are not read).
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from egress_manager.domain.calls import Call
from egress_manager.domain.recordings import Recording, TrackFile

Value = TypeVar("Value")
Document = dict[str, Any]
Reader = Callable[[Any], Any]

#: What a document calls a field, where that differs from the field's own name.
NAMES: Final[Mapping[type[Any], Mapping[str, str]]] = {
    Call: {"id": "_id"},
    Recording: {"id": "_id"},
    TrackFile: {"track_sid": "track_id"},  # the user's document has `tracks[].track_id`
}


def document_of(value: Any) -> Document:
    """A dataclass as a document."""
    names = NAMES.get(type(value), {})
    return {
        names.get(field.name, field.name): _plain(getattr(value, field.name))
        for field in dataclasses.fields(value)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return document_of(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value


def value_of(kind: type[Value], document: Mapping[str, Any]) -> Value:
    """The dataclass that a document holds."""
    dataclass: Any = kind
    known = ((field, name, read) for field, name, read in _fields(dataclass) if name in document)
    return kind(**{field: read(document[name]) for field, name, read in known})


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, str, Reader], ...]:
    """For each field: its name, its name in the document, and how its value is read."""
    names = NAMES.get(kind, {})
    hints = get_type_hints(kind)
    return tuple(
        (field.name, names.get(field.name, field.name), _reader(hints[field.name]))
        for field in dataclasses.fields(kind)
    )


def _reader(hint: Any) -> Reader:
    """How a value of that type is read from a document."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = _reader(next(arg for arg in get_args(hint) if arg is not type(None)))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _reader(get_args(hint)[0])
        return lambda value: tuple(item(part) for part in value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return partial(value_of, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return lambda value: value

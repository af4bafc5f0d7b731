"""Values of the domain as documents, and back.

A dataclass becomes an object with its fields' names, except where `NAMES` says that the document
calls a field differently. A document may lack fields (it is older than they are: their defaults
stand in) and may have more (it was written by a newer version: they are not read).
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache, partial
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from egress_manager.domain.calls import Call
from egress_manager.domain.recordings import Recording, TrackFile

Value = TypeVar("Value")
Document = dict[str, Any]
Reader = Callable[[Any], Any]

#: What a document holds as it is.
ATOMS: Final = frozenset({str, int, float, bool, datetime, type(None)})

#: What stands for a value of each of these types. Numbers are not told
#: apart: what takes the place of another one is read, and found to be changed.
KINDS: Final[Mapping[Any, tuple[type, ...]]] = {
    str: (str,),
    int: (int, float),
    float: (float, int),
    bool: (bool,),
}

#: What a document calls a field, where that differs from the field's own name.
NAMES: Final[Mapping[type[Any], Mapping[str, str]]] = {
    Call: {"id": "_id"},
    Recording: {"id": "_id"},
    TrackFile: {"track_sid": "track_id"},  # the user's document has `tracks[].track_id`
}


def document_of(value: Any) -> Document:
    """A dataclass as a document."""
    kind: Any = type(value)
    return {name: _plain(getattr(value, field)) for field, name, _ in _fields(kind)}


def _plain(value: Any) -> Any:
    if type(value) in ATOMS:
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return document_of(value)


def value_of(kind: type[Value], document: Mapping[str, Any]) -> Value:
    """The dataclass that a document holds.

    Raises `TypeError`, `ValueError`, `KeyError` and `AttributeError` for a document of another kind
    or with values of other types.
    """
    dataclass: Any = kind
    return kind(
        **{
            field: document[name] if read is None else read(document[name])
            for field, name, read in _fields(dataclass)
            if name in document
        }
    )


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, str, Reader | None], ...]:
    """For each field: its name, its name in the document, and how its value is read."""
    names = NAMES.get(kind, {})
    hints = get_type_hints(kind)
    return tuple(
        (field.name, names.get(field.name, field.name), _reader(hints[field.name]))
        for field in dataclasses.fields(kind)
        if field.metadata.get("stored", True)
    )


def _reader(hint: Any) -> Reader | None:
    """How a value of that type is read from a document; None where it is taken as it is."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        several = [arg for arg in get_args(hint) if arg is not type(None)]
        inner = _reader(several[0]) if len(several) == 1 else None
        return inner and (lambda value: None if value is None else inner(value))
    if origin is tuple:
        item = _reader(get_args(hint)[0])
        return partial(_items, item)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return partial(value_of, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if hint is datetime:
        return _moment
    return partial(_atom, KINDS[hint]) if hint in KINDS else None


def _items(item: Reader | None, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{type(value).__name__} in the place of a list")
    return tuple(value) if item is None else tuple(map(item, value))


def _atom(kinds: tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{type(value).__name__} in the place of {kinds[0].__name__}")
    return value


def _moment(value: Any) -> Any:
    """A date; in files it is text, as `isoformat` writes it."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("no moment")
    return moment

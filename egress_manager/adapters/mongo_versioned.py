"""A collection of versioned values: compare-and-swap, and pages that begin where the last ended.

Every document that is written gets a code that shows that we did (`domain/provenance.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

import bson

from egress_manager.adapters.mongo_client import Collection, Document
from egress_manager.adapters.mongo_refusals import Refusals
from egress_manager.adapters.translating import translating
from egress_manager.domain.cursors import Place
from egress_manager.domain.moments import as_stored
from egress_manager.domain.pages import Page
from egress_manager.domain.provenance import MAC, Provenance, mac_for, provenance_of
from egress_manager.errors import Conflict, DocumentUnreadable, NotFound

NEWEST_FIRST: Final = -1

#: What reading a document raises that is none of its kind.
_UNREADABLE: Final = (
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class _Versioned(Protocol):
    """What these collections hold: frozen dataclasses with an id and a version."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def provenance(self) -> Provenance: ...


Value = TypeVar("Value", bound=_Versioned)


@dataclass(frozen=True, slots=True)
class VersionedCollection(Generic[Value]):
    """Values of one kind in one collection. `noun` names the kind in errors.

    `moment` is the name of the field that pages are ordered by, in the value and in the document.
    `keys` are those of the documents' codes, the one to write with first; without any there is no
    code. A document that can't be read is passed over wherever several are asked for, and noted in
    `refusals`: whoever put it there must not hide the others.
    """

    collection: Collection
    noun: str
    moment: str
    write: Callable[[Value], Document]
    read: Callable[[Document], Value]
    keys: Sequence[bytes] = ()
    refusals: Refusals = field(default_factory=Refusals)

    async def get(self, value_id: str) -> Value:
        """The value of that id. Raises `NotFound`, `DocumentUnreadable`."""
        with translating():
            document = await self.collection.find_one({"_id": value_id})
        if document is None:
            raise NotFound(f"there is no {self.noun} {value_id}")
        return self._value(document)

    async def first(self, where: Document) -> Value | None:
        """Any one value that the query finds."""
        found = await self.all(where, limit=1)
        return found[0] if found else None

    async def all(
        self, where: Document, *, sort: list[tuple[str, int]] | None = None, limit: int = 0
    ) -> list[Value]:
        """Every value that the query finds; no limit is 0."""
        values: list[Value] = []
        read = 0
        while True:
            wanted = limit - len(values) if limit else 0
            with translating():
                found = self.collection.find(where, sort=sort, skip=read, limit=wanted)
                documents = [document async for document in found]
            values += [value for each in documents if (value := self._readable(each)) is not None]
            read += len(documents)
            if len(values) >= limit or len(documents) < wanted:
                return values

    async def add(self, value: Value) -> Value:
        """Store a value that is new. Raises `Conflict` where something unique in it is taken."""
        stored = as_stored(value)
        with translating():
            await self.collection.insert_one(self._document(stored))
        return stored

    async def save(self, value: Value) -> Value:
        """Store it if its version is current. Raises `Conflict` or `NotFound`."""
        stored: Value = replace(as_stored(value), version=value.version + 1)  # type: ignore[type-var]
        with translating():
            written = await self.collection.replace_one(
                {"_id": value.id, "version": value.version}, self._document(stored)
            )
        if not written.matched_count:
            current = await self.get(value.id)
            raise Conflict(f"version {value.version} was read, version {current.version} is stored")
        return stored

    async def page(self, where: Document, *, cursor: str | None, limit: int) -> Page[Value]:
        """The next `limit` values after the cursor, newest first."""
        after = {} if cursor is None else self._after(Place.of(cursor))
        found = await self.all(
            {"$and": [where, after]},
            sort=[(self.moment, NEWEST_FIRST), ("_id", NEWEST_FIRST)],
            limit=limit + 1,
        )
        chosen = tuple(found[:limit])
        more = len(found) > limit
        return Page(chosen, self._place(chosen[-1]).cursor() if more and chosen else None)

    def _document(self, value: Value) -> Document:
        document = self.write(value)
        mac = mac_for(bson.encode(document), value.provenance, self.keys) if self.keys else None
        return document if mac is None else document | {MAC: mac}

    def _value(self, document: Document) -> Value:
        """The value, and who wrote it: the code is of the document as MongoDB keeps it.

        Raises `DocumentUnreadable`.
        """
        try:
            value = self.read(document)
        except _UNREADABLE as error:
            told = f"the {self.noun} {document.get('_id')} can't be read: {type(error).__name__}"
            raise DocumentUnreadable(told) from error
        if not self.keys and MAC not in document:
            return value
        rest = bson.encode({name: each for name, each in document.items() if name != MAC})
        provenance = provenance_of(rest, document.get(MAC), self.keys)
        return value if provenance is value.provenance else _as_found(value, provenance)

    def _readable(self, document: Document) -> Value | None:
        """The value; None, and a note of it, where it can't be read."""
        try:
            return self._value(document)
        except DocumentUnreadable as error:
            self.refusals.note(error.code, f"{self.noun}s that can't be read", document.get("_id"))
            return None

    def _after(self, place: Place) -> Document:
        """What comes after a place. The first condition lets an index lead straight to it."""
        return {
            self.moment: {"$lte": place.at},
            "$or": [{self.moment: {"$lt": place.at}}, {"_id": {"$lt": place.id}}],
        }

    def _place(self, value: Value) -> Place:
        return Place(getattr(value, self.moment), value.id)


def _as_found(value: Value, provenance: Provenance) -> Value:
    found: Value = replace(value, provenance=provenance)  # type: ignore[type-var]
    return found


def equal(**wanted: Any) -> Document:
    """The query for these values; None means any."""
    return {name: value for name, value in wanted.items() if value is not None}


def within(moment: str, since: datetime | None, until: datetime | None) -> Document:
    """The query for `since <= moment < until`; None is open."""
    bounds = equal(**{"$gte": since, "$lt": until})
    return {moment: bounds} if bounds else {}

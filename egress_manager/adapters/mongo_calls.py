"""Calls in MongoDB: the collection `calls`."""

from collections.abc import Sequence
from typing import Final

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_documents import document_of, value_of
from egress_manager.adapters.mongo_refusals import Refusals
from egress_manager.adapters.mongo_versioned import VersionedCollection, equal, within
from egress_manager.domain.calls import Call
from egress_manager.domain.pages import CallFilter, Page

COLLECTION: Final = "calls"


class MongoCalls:
    """`Calls`, as documents with `room_name` and `room_sid` on their top level.

    `keys` are those of the codes of documents: see `VersionedCollection`.
    """

    def __init__(
        self, database: Database, keys: Sequence[bytes] = (), refusals: Refusals | None = None
    ) -> None:
        self._calls = VersionedCollection(
            database[COLLECTION],
            "call",
            "joined_at",
            _document,
            _call,
            keys,
            refusals or Refusals(),
        )

    async def get(self, call_id: str) -> Call:
        return await self._calls.get(call_id)

    async def add(self, call: Call) -> Call:
        return await self._calls.add(call)

    async def save(self, call: Call) -> Call:
        return await self._calls.save(call)

    async def going_on(self, room_name: str | None = None) -> Sequence[Call]:
        return await self._calls.all({"left_at": None} | equal(room_name=room_name))

    async def by_participant(self, room_name: str, participant_sid: str) -> Sequence[Call]:
        return await self._calls.all(
            {"room_name": room_name, "stays.participant_sid": participant_sid}
        )

    async def page(self, where: CallFilter, *, cursor: str | None, limit: int) -> Page[Call]:
        query = equal(room_name=where.room_name, caller_number=where.caller_number)
        if where.is_over is not None:
            query["left_at"] = {"$ne": None} if where.is_over else None
        query |= within("joined_at", where.since, where.until)
        return await self._calls.page(query, cursor=cursor, limit=limit)


def _document(call: Call) -> Document:
    document = document_of(call)
    room = document.pop("room")
    derived = {"unsealed": call.is_unsealed}
    return document | {"room_name": room["name"], "room_sid": room["sid"]} | derived


def _call(document: Document) -> Call:
    room = {"name": document["room_name"], "sid": document["room_sid"]}
    return value_of(Call, document | {"room": room})

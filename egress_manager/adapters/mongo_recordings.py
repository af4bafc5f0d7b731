"""Recordings in MongoDB: the collection `recordings`, the user's document with ours beside it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from egress_manager.adapters import mongo_keys
from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_documents import document_of, value_of
from egress_manager.adapters.mongo_refusals import Refusals
from egress_manager.adapters.mongo_versioned import VersionedCollection, equal, within
from egress_manager.adapters.translating import translating
from egress_manager.domain.pages import Page, RecordingFilter
from egress_manager.domain.provenance import MAC
from egress_manager.domain.recordings import DEADLINE, GOING_ON, MANUAL, Recording, Verdict

COLLECTION: Final = "recordings"

#: The user's document, as `docs/call_recording_design.md` has it. `status` follows from the state
#: and is written for those who read the collection; it is never read back. The same holds for
#: `unsealed`, and for the verdict `none`.
FIRST: Final = (
    "_id",
    "room_name",
    "egress_id",
    "caller_number",
    "agent_identity",
    "filepath",
    "started_at",
    "stopped_at",
    "duration_sec",
    "status",
    "tracks",
)

#: The states in which something more is to happen.
UNFINISHED: Final = [state.value for state, wait in DEADLINE.items() if wait is not None]
#: The states in which it goes on.
GOING: Final = sorted(state.value for state in GOING_ON)


class MongoRecordings:
    """`Recordings`, one document each; an egress id belongs to one recording only.

    `keys` are those of the codes of documents: see `VersionedCollection`.
    """

    def __init__(
        self, database: Database, keys: Sequence[bytes] = (), refusals: Refusals | None = None
    ) -> None:
        self._recordings = VersionedCollection(
            database[COLLECTION],
            "recording",
            "created_at",
            _document,
            _recording,
            keys,
            refusals or Refusals(),
        )

    async def get(self, recording_id: str) -> Recording:
        return await self._recordings.get(recording_id)

    async def by_egress_id(self, egress_id: str) -> Recording | None:
        ours = {"$or": [{"egress_id": egress_id}, {"egresses.egress_id": egress_id}]}
        return await self._recordings.first(ours)

    async def add(self, recording: Recording) -> Recording:
        return await self._recordings.add(recording)

    async def save(self, recording: Recording) -> Recording:
        return await self._recordings.save(recording)

    async def due(self, now: datetime, limit: int) -> Sequence[Recording]:
        return await self._recordings.all(
            {"due_at": {"$lte": now}}, sort=[("due_at", 1), ("_id", 1)], limit=limit
        )

    async def unfinished(self) -> Sequence[Recording]:
        return await self._recordings.all({"state": {"$in": UNFINISHED}})

    async def by_hand(self, room_name: str | None = None) -> Sequence[Recording]:
        query: Document = {"source": MANUAL, "state": {"$in": GOING}}
        return await self._recordings.all(query | equal(room_name=room_name))

    async def page(
        self, where: RecordingFilter, *, cursor: str | None, limit: int
    ) -> Page[Recording]:
        query = equal(
            room_name=where.room_name,
            caller_number=where.caller_number,
            status=where.status,
            source=where.source,
            identity=where.identity,
        )
        query |= within("created_at", where.since, where.until)
        return await self._recordings.page(query, cursor=cursor, limit=limit)


async def is_any_signed(database: Database) -> bool:
    """Whether a recording or the API key has the code of a service that has a signing key."""
    with translating():
        for name in (COLLECTION, mongo_keys.COLLECTION):
            if await database[name].find_one({MAC: {"$gt": ""}}, {"_id": 1}) is not None:
                return True
    return False


def _document(recording: Recording) -> Document:
    derived = {
        "status": recording.status,
        "verdict": recording.public_verdict.value,
        "unsealed": recording.is_unsealed,
    }
    document = document_of(recording) | derived
    return {name: document[name] for name in FIRST} | document


def _recording(document: Document) -> Recording:
    if document.get("verdict") == Verdict.NONE:
        document = {name: value for name, value in document.items() if name != "verdict"}
    return value_of(Recording, document)

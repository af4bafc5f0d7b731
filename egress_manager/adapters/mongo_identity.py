"""The database's mark in MongoDB: a document of the collection `schema` (port `Identities`)."""

import secrets
from typing import Any, Final

from pymongo import ReturnDocument

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.translating import translating
from egress_manager.domain.identity import DatabaseIdentity, LiveKitIdentity

COLLECTION: Final = "schema"
MARK: Final = "identity"


class MongoIdentities:
    """`Identities`."""

    def __init__(self, database: Database) -> None:
        self._marks = database[COLLECTION]

    async def read(self, known: DatabaseIdentity | None = None) -> DatabaseIdentity:
        with translating():
            found = await self._marks.find_one({"_id": MARK})
            if found is None:
                new = known or DatabaseIdentity(secrets.token_hex(8))
                fields = {"id": new.id, "livekit": _document(new.livekit)}
                found = await self._marks.find_one_and_update(
                    {"_id": MARK},
                    {"$setOnInsert": fields},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
        return _identity(found)

    async def save(self, before: DatabaseIdentity, livekit: LiveKitIdentity) -> DatabaseIdentity:
        as_read = {"_id": MARK, "id": before.id, "livekit": _document(before.livekit)}
        with translating():
            await self._marks.update_one(as_read, {"$set": {"livekit": _document(livekit)}})
        return await self.read()


def _document(livekit: LiveKitIdentity | None) -> Document | None:
    if livekit is None:
        return None
    return {"credential": livekit.credential, "addresses": list(livekit.addresses)}


def _identity(found: Any) -> DatabaseIdentity:
    livekit = found["livekit"]
    return DatabaseIdentity(
        found["id"],
        livekit and LiveKitIdentity(livekit["credential"], tuple(livekit["addresses"])),
    )

"""Claims and presences in MongoDB: the collections `claims` and `processes`.

They are worth a second or two, so their writes do not wait for the disk: a claim that is lost with
a mongod that was killed makes two processes do what one could have done, and no more.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

from pymongo import ReturnDocument, WriteConcern

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.translating import translating
from egress_manager.domain.claims import NOBODY, Claim, Presence

CLAIMS: Final = "claims"
PROCESSES: Final = "processes"

_AT_ONCE: Final = WriteConcern(1, j=False)


class MongoClaims:
    """`Claims`."""

    def __init__(self, database: Database) -> None:
        self._claims = database.get_collection(CLAIMS, write_concern=_AT_ONCE)
        self._processes = database.get_collection(PROCESSES, write_concern=_AT_ONCE)

    async def say(self, presence: Presence) -> None:
        document = asdict(presence)
        document["_id"] = document.pop("id")
        with translating():
            await self._processes.replace_one({"_id": presence.id}, document, upsert=True)

    async def present(self) -> Sequence[Presence]:
        with translating():
            found = await self._processes.find().to_list()
        return [Presence(id=document.pop("_id"), **document) for document in found]

    async def forget(self, process_id: str) -> None:
        with translating():
            await self._processes.delete_one({"_id": process_id})

    async def held(self) -> Sequence[Claim]:
        with translating():
            return [_claim(document) for document in await self._claims.find().to_list()]

    async def claim(self, name: str, who: str, of: Collection[str]) -> Claim:
        with translating():
            document = await self._claims.find_one_and_update(
                {"_id": name},
                _take(who, sorted({*of, NOBODY})),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return _claim(document or {"_id": name})  # there always is one: it is made

    async def set_ready(self, claim: Claim) -> None:
        with translating():
            await self._claims.update_one(
                {"_id": claim.name, "token": claim.token}, {"$set": {"is_ready": True}}
            )

    async def let_go(self, claim: Claim, *, even_if_asked: bool = False) -> None:
        as_seen: Document = {"_id": claim.name, "token": claim.token}
        if not even_if_asked:
            as_seen["asked"] = claim.asked
        with translating():
            await self._claims.delete_one(as_seen)


def _take(who: str, of: Sequence[str]) -> list[Document]:
    """The update: `who` is the holder then, if one of these is now, or nobody."""
    is_free = {"$in": [{"$ifNull": ["$holder", NOBODY]}, list(of)]}

    def if_free(then: Any, otherwise: Any) -> Document:
        return {"$cond": [is_free, then, otherwise]}

    token = {"$ifNull": ["$token", 0]}
    return [
        {
            "$set": {
                "holder": if_free(who, "$holder"),
                "token": if_free({"$add": [token, 1]}, token),
                "asked": {"$add": [{"$ifNull": ["$asked", 0]}, 1]},
                "is_ready": if_free(False, {"$ifNull": ["$is_ready", False]}),
            }
        }
    ]


def _claim(document: Document) -> Claim:
    return Claim(name=document.pop("_id"), **document)

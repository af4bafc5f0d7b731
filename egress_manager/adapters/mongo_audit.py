"""The chain of seals in MongoDB: the collection `audit`, of which `_id` is an entry's number.

So a number is taken once, whoever adds to the chain, and entries are read in their order. They are
stored as they are hashed, with text for moments, and told as they are found.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.translating import translating
from egress_manager.domain.downloads import is_download
from egress_manager.domain.seal import Facts

COLLECTION: Final = "audit"

#: What somebody else put there, under another kind of id, is no part of the chain.
_NUMBERED: Final = {"_id": {"$type": ["int", "long"]}}


class MongoAudit:
    """`Audit`, an entry a document."""

    def __init__(self, database: Database) -> None:
        self._entries = database[COLLECTION]

    async def newest(self) -> Facts | None:
        with translating():
            document = await self._entries.find_one(_NUMBERED, sort=[("_id", -1)])
        return None if document is None else _facts(document)

    async def about(self, subject: str) -> Sequence[Facts]:
        return [facts for facts in await self.history(subject) if not is_download(facts)]

    async def history(self, subject: str) -> Sequence[Facts]:
        with translating():
            found = self._entries.find({"subject": subject, **_NUMBERED}, sort=[("_id", 1)])
            return [_facts(document) async for document in found]

    async def append(self, entry: Facts) -> None:
        document = {name: value for name, value in entry.items() if name != "number"}
        with translating():
            await self._entries.insert_one({"_id": entry["number"], **document})

    async def entries(self) -> AsyncIterator[Facts]:
        with translating():
            async for document in self._entries.find({}, sort=[("_id", 1)]):
                yield _facts(document)


def _facts(document: Document) -> Facts:
    rest = {name: value for name, value in document.items() if name != "_id"}
    return {"number": document["_id"], **rest}

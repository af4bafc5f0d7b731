"""What waits to be sealed (port `Waiting`); `mongo_schema.py` has the indexes for it."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Final

from egress_manager.adapters import mongo_calls, mongo_recordings
from egress_manager.adapters import mongo_client as mongo
from egress_manager.adapters.translating import translating
from egress_manager.domain.provenance import BEGINNING, MAC, Older, Reached

#: So many documents are looked at in one stretch of a walk, for which there is no index.
STRETCH: Final = 200


class MongoWaiting:
    """Ids, by what documents say of themselves in `unsealed`; of recordings at one place."""

    def __init__(self, database: mongo.Database, place: str = "") -> None:
        self._place = place
        self._recordings = database[mongo_recordings.COLLECTION]
        self._calls = database[mongo_calls.COLLECTION]

    async def recordings(self, limit: int, but: Collection[str] = ()) -> Sequence[str]:
        here = {"place": {"$in": ["", None, self._place]}}
        return await _ids(self._recordings, here, limit, but)

    async def calls(
        self, left_before: datetime, limit: int, but: Collection[str] = ()
    ) -> Sequence[str]:
        return await _ids(self._calls, {"left_at": {"$lt": left_before}}, limit, but)

    async def unsigned(self, reached: Reached = BEGINNING) -> Older:
        place, last = reached
        collections = (self._recordings, self._calls)
        told = {MAC: 1, "seal.place": 1}
        with translating():
            further = {"_id": {"$gt": last}}
            found = collections[place].find(further, told, sort=[("_id", 1)], limit=STRETCH)
            documents = [document async for document in found]
        ids = [str(document["_id"]) for document in documents if self._is_older(document)]
        if len(documents) == STRETCH:
            return Older(ids, (place, str(documents[-1]["_id"])))
        return Older(ids, (place + 1, "") if place + 1 < len(collections) else None)

    async def every(self) -> AsyncIterator[tuple[bool, object]]:
        with translating():
            for collection in (self._recordings, self._calls):
                is_call = collection is self._calls
                async for document in collection.find({}, {"_id": 1}, sort=[("_id", 1)]):
                    yield is_call, document["_id"]

    def _is_older(self, document: mongo.Document) -> bool:
        """Whether it was sealed here, and has no code."""
        seal = document.get("seal")
        is_here = isinstance(seal, dict) and seal.get("place") in ("", None, self._place)
        return is_here and document.get(MAC) is None


async def _ids(
    collection: mongo.Collection, where: mongo.Document, limit: int, but: Collection[str]
) -> Sequence[str]:
    # what has another kind of id is no document of ours, and could not be asked for
    wanted = {"unsealed": True, "_id": {"$nin": list(but), "$type": "string"}, **where}
    with translating():
        found = collection.find(wanted, {"_id": 1}, sort=[("_id", 1)], limit=limit)
        return [str(document["_id"]) async for document in found]

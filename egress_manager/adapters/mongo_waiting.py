"""What waits to be sealed (port `Waiting`); `mongo_schema.py` has the indexes for it."""

from collections.abc import Collection, Sequence
from datetime import datetime

from egress_manager.adapters import mongo_calls, mongo_recordings
from egress_manager.adapters import mongo_client as mongo
from egress_manager.adapters.translating import translating
from egress_manager.domain.provenance import MAC


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

    async def unsigned(self, limit: int, but: Collection[str] = ()) -> Sequence[str]:
        older: mongo.Document = {MAC: None, "seal.place": {"$in": ["", None, self._place]}}
        older |= {"seal": {"$ne": None}, "_id": {"$nin": list(but)}}
        found: list[str] = []
        for collection in (self._recordings, self._calls):
            with translating():
                ids = collection.find(older, {"_id": 1}, limit=limit)
                found += [str(document["_id"]) async for document in ids]
        return found


async def _ids(
    collection: mongo.Collection, where: mongo.Document, limit: int, but: Collection[str]
) -> Sequence[str]:
    wanted = {"unsealed": True, "_id": {"$nin": list(but)}, **where}
    with translating():
        found = collection.find(wanted, {"_id": 1}, sort=[("_id", 1)], limit=limit)
        return [str(document["_id"]) async for document in found]

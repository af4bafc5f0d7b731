"""Which recording a file belongs to (port `Owners`); `mongo_schema.py` has the indexes for it."""

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_documents import value_of
from egress_manager.adapters.mongo_recordings import COLLECTION
from egress_manager.adapters.translating import translating
from egress_manager.domain.recordings import Recording


class MongoOwners:
    """Recordings by what their documents say of their files."""

    def __init__(self, database: Database) -> None:
        self._recordings = database[COLLECTION]

    async def of_file(self, path: str) -> Recording | None:
        return await self._first({"$or": [{"filepath": path}, {"tracks.filepath": path}]})

    async def of_content(self, sha256: str) -> Recording | None:
        return await self._first({"sha256": sha256})

    async def _first(self, where: Document) -> Recording | None:
        with translating():
            document = await self._recordings.find_one(where)
        return None if document is None else value_of(Recording, document)

"""The API key's fingerprint in MongoDB: the collection `keys`."""

from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.translating import translating

COLLECTION: Final = "keys"

#: There is one key for now.
API_KEY: Final = "api"


class MongoKeys:
    """`Keys`; the key itself is nowhere."""

    def __init__(self, database: Database) -> None:
        self._keys = database[COLLECTION]

    async def fingerprint(self) -> str | None:
        with translating():
            document = await self._keys.find_one({"_id": API_KEY})
        return None if document is None else str(document["fingerprint"])

    async def keep_first(self, fingerprint: str, at: datetime) -> bool:
        with translating():
            try:
                await self._keys.insert_one(_document(fingerprint, at))
            except DuplicateKeyError:
                return False
        return True

    async def replace(self, fingerprint: str, at: datetime) -> None:
        with translating():
            await self._keys.replace_one({"_id": API_KEY}, _document(fingerprint, at), upsert=True)


def _document(fingerprint: str, at: datetime) -> dict[str, object]:
    return {"_id": API_KEY, "fingerprint": fingerprint, "made_at": at}

"""What lies in the database beside documents and is refused (port `Rows`)."""

from collections.abc import AsyncIterator

from egress_manager.adapters import mongo_inbox, mongo_keys
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.translating import translating


class MongoRows:
    """Webhooks that wait in the inbox, and the record of the API key; read only."""

    def __init__(self, database: Database, codes: Codes) -> None:
        self._inbox = database[mongo_inbox.COLLECTION]
        self._keys = database[mongo_keys.COLLECTION]
        self._codes = codes

    async def refused(self) -> AsyncIterator[str]:
        with translating():
            async for row in self._inbox.find({"done_at": None}, sort=[("kept_at", 1)]):
                if not mongo_inbox.is_ours(row, self._codes):
                    yield f"{mongo_inbox.COLLECTION}/{row['_id']}"
            async for row in self._keys.find({"_id": mongo_keys.API_KEY}):
                if not mongo_keys.is_ours(row, self._codes):
                    yield f"{mongo_keys.COLLECTION}/{row['_id']}"

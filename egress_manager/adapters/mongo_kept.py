"""The webhooks that are still in the inbox, in the order in which they came (port `Kept`)."""

from collections.abc import AsyncIterator
from datetime import datetime

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_inbox import COLLECTION
from egress_manager.adapters.mongo_versioned import within
from egress_manager.adapters.translating import translating


class MongoKept:
    """The collection `inbox`, read only."""

    def __init__(self, database: Database) -> None:
        self._inbox = database[COLLECTION]

    async def all(
        self, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[tuple[datetime, bytes]]:
        with translating():
            found = self._inbox.find(
                within("kept_at", since, until),
                {"kept_at": 1, "body": 1},
                sort=[("kept_at", 1), ("_id", 1)],
                allow_disk_use=True,
            )
            async for document in found:
                yield document["kept_at"], bytes(document["body"])

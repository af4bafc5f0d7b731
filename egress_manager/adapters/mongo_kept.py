"""The webhooks that are still in the inbox, in the order in which they came (port `Kept`)."""

from collections.abc import AsyncIterator
from datetime import datetime

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.mongo_inbox import COLLECTION, NOUN, is_ours
from egress_manager.adapters.mongo_versioned import within
from egress_manager.adapters.translating import translating


class MongoKept:
    """The collection `inbox`, read only; without rows that the service did not keep.

    What is told here may be signed and sent again: nobody's forgery becomes genuine that way.
    """

    def __init__(self, database: Database, codes: Codes | None = None) -> None:
        self._codes = codes or Codes()
        self._inbox = database[COLLECTION]

    async def all(
        self, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[tuple[datetime, bytes]]:
        with translating():
            found = self._inbox.find(
                within("kept_at", since, until),
                sort=[("kept_at", 1), ("_id", 1)],
                allow_disk_use=True,
            )
            async for document in found:
                if is_ours(document, self._codes):
                    yield document["kept_at"], bytes(document["body"])
                else:
                    self._codes.refusals.note("webhook_not_ours", NOUN, document["_id"])

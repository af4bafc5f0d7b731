"""The inbox in MongoDB: webhooks exactly as they came, in the collection `inbox`.

Only the body is kept, not what we understood of it: a later version may understand more.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.translating import translating
from egress_manager.domain.incoming import Unrecognised, Webhook
from egress_manager.errors import BadRequest

COLLECTION: Final = "inbox"

#: Reads a body that was checked when it came; the moment is when that was.
Reading = Callable[[bytes, datetime], Webhook]


class MongoInbox:
    """`Inbox`; what is done is forgotten after a week (`mongo_schema.DONE_KEPT_FOR`)."""

    def __init__(self, database: Database, read: Reading) -> None:
        self._inbox = database[COLLECTION]
        self._read = read

    async def keep(self, webhook: Webhook, at: datetime) -> bool:
        document = {
            "_id": webhook.event_id,
            "name": webhook.name,
            "body": webhook.body,
            "kept_at": at,
            "done_at": None,
        }
        with translating():
            try:
                await self._inbox.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    async def done(self, event_id: str, at: datetime, outcome: Mapping[str, Any]) -> None:
        with translating():
            await self._inbox.update_one(
                {"_id": event_id}, {"$set": {"done_at": at, "outcome": dict(outcome)}}
            )

    async def waiting(self, limit: int) -> Sequence[Webhook]:
        with translating():
            found = self._inbox.find({"done_at": None}, sort=[("kept_at", 1)], limit=limit)
            return [self._webhook(document) async for document in found]

    def _webhook(self, document: Document) -> Webhook:
        """Read again; a body that can't be read any more is still there, and means nothing."""
        event_id, body, at = document["_id"], bytes(document["body"]), document["kept_at"]
        try:
            read = self._read(body, at)
        except BadRequest:
            return Webhook(event_id, document["name"], Unrecognised(at, document["name"]), body)
        return Webhook(event_id, read.name, read.news, body)

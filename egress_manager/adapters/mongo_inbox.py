"""The inbox in MongoDB: webhooks exactly as they came, in the collection `inbox`.

Only the body is kept, not what we understood of it: a later version may understand more.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from egress_manager.adapters.group_commit import GroupCommit
from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.translating import translating
from egress_manager.domain.incoming import Unrecognised, Webhook
from egress_manager.domain.moments import to_milliseconds
from egress_manager.domain.provenance import MAC, Purpose
from egress_manager.errors import BadRequest

COLLECTION: Final = "inbox"

#: The fields that a webhook's code covers. Fields on its processing change later.
CODED: Final = ("_id", "name", "body", "kept_at")
#: What refusals of webhooks are called.
NOUN: Final = "webhooks that the service did not keep"

#: The server's code for: that id is taken.
_DUPLICATE: Final = 11000

#: Reads a body that was checked when it came; the moment is when that was.
Reading = Callable[[bytes, datetime], Webhook]


class MongoInbox:
    """`Inbox`; what is done is forgotten after a week (`mongo_schema.DONE_KEPT_FOR`).

    What nobody checked a signature of is never told: a row that has not our code stays, refused.
    """

    def __init__(self, database: Database, read: Reading, codes: Codes | None = None) -> None:
        self._codes = codes or Codes()
        self._inbox = database[COLLECTION]
        self._read = read
        self._keeping = GroupCommit(self._insert)
        self._noting = GroupCommit(self._note)

    async def keep(self, webhook: Webhook, at: datetime) -> bool:
        document = {
            "_id": webhook.event_id,
            "name": webhook.name,
            "body": webhook.body,
            "kept_at": to_milliseconds(at),
        }
        code = self._codes.code(Purpose.INBOX, document)
        document |= {"done_at": None} | ({} if code is None else {MAC: code})
        return await self._keeping.add(document)

    async def done(self, event_id: str, at: datetime, outcome: Mapping[str, Any]) -> None:
        change = {"$set": {"done_at": at, "outcome": dict(outcome)}}
        await self._noting.add(UpdateOne({"_id": event_id}, change))

    async def _insert(self, documents: Sequence[Document]) -> list[bool]:
        """Store them; for each whether it was new."""
        known: set[int] = set()
        with translating():
            try:
                await self._inbox.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                errors = (error.details or {}).get("writeErrors", [])
                if any(e["code"] != _DUPLICATE for e in errors) or not errors:
                    raise
                known = {e["index"] for e in errors}
        return [index not in known for index in range(len(documents))]

    async def _note(self, changes: Sequence[UpdateOne]) -> list[None]:
        with translating():
            await self._inbox.bulk_write(changes, ordered=False)
        return [None] * len(changes)

    async def waiting(self, limit: int) -> Sequence[Webhook]:
        found: list[Webhook] = []
        refused = 0
        while len(found) < limit:
            wanted = limit - len(found)
            documents = await self._kept(wanted, skip=len(found) + refused)
            for document in documents:
                if is_ours(document, self._codes):
                    found.append(self._webhook(document))
                else:
                    refused += 1
                    self._codes.refusals.note("webhook_not_ours", NOUN, document["_id"])
            if len(documents) < wanted:
                break
        return found

    async def _kept(self, limit: int, *, skip: int) -> list[Document]:
        """What is not done, the oldest first, after so many that were seen."""
        with translating():
            found = self._inbox.find({"done_at": None}, sort=[("kept_at", 1)], skip=skip)
            return await found.limit(limit).to_list()

    async def heard_of(self, event: str, room_name: str, since: datetime) -> bool:
        """Whether a webhook of that name about that room was kept since then. For checks."""
        # Two halves, as the indexes have them.
        recent = [{"done_at": None, "kept_at": {"$gte": since}}, {"done_at": {"$gte": since}}]
        with translating():
            found = self._inbox.find({"$or": recent, "name": event}, {"body": 1})
            return any([_room_of(document["body"]) == room_name async for document in found])

    def _webhook(self, document: Document) -> Webhook:
        """Read again; a body that can't be read any more is still there, and means nothing."""
        event_id, body, at = document["_id"], bytes(document["body"]), document["kept_at"]
        try:
            read = self._read(body, at)
        except BadRequest:
            return Webhook(event_id, document["name"], Unrecognised(at, document["name"]), body)
        return Webhook(event_id, read.name, read.news, body)


def is_ours(document: Document, codes: Codes) -> bool:
    """Whether a row is a webhook that the service kept, as it kept it."""
    said = {name: document.get(name) for name in CODED}
    is_webhook = isinstance(said["_id"], str) and isinstance(said["name"], str)
    is_webhook = is_webhook and isinstance(said["body"], bytes)
    is_webhook = is_webhook and isinstance(said["kept_at"], datetime)
    return is_webhook and codes.is_ours(Purpose.INBOX, said, document.get(MAC), said["kept_at"])


def _room_of(body: bytes) -> object:
    """The name of the room that an event is about, if it names one."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return json.loads(body)["room"]["name"]
    return None

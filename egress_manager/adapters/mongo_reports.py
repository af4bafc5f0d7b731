"""Daily ledgers in MongoDB: the collection `reports`, one document a day."""

from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_documents import document_of
from egress_manager.adapters.translating import translating
from egress_manager.domain.ledger import Report

COLLECTION: Final = "reports"

#: MongoDB takes documents of 16 MB: of a day with more calls the totals and these lines are kept.
MOST_LINES: Final = 20_000


class MongoReports:
    """`Reports`, by the day on which they begin."""

    def __init__(self, database: Database) -> None:
        self._reports = database[COLLECTION]

    async def has(self, since: datetime) -> bool:
        with translating():
            return await self._reports.find_one({"_id": _day(since)}, {"_id": 1}) is not None

    async def keep(self, report: Report) -> bool:
        document = document_of(report)
        document["lines"] = document["lines"][:MOST_LINES]
        with translating():
            try:
                await self._reports.insert_one({"_id": _day(report.since), **document})
            except DuplicateKeyError:
                return False
        return True


def _day(since: datetime) -> str:
    return since.date().isoformat()

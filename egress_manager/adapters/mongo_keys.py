"""The API key's fingerprint in MongoDB: the collection `keys`."""

from datetime import datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from egress_manager.adapters.mongo_client import Database, Document
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.translating import translating
from egress_manager.domain.moments import to_milliseconds
from egress_manager.domain.provenance import MAC, Provenance, Purpose

COLLECTION: Final = "keys"

#: There is one key for now.
API_KEY: Final = "api"
#: What refusals of its record are called.
NOUN: Final = "API keys that the service did not make"


class MongoKeys:
    """`Keys`; the key itself is nowhere. A record that has not our code opens nothing, and stays.

    One that is older than codes gets its code when it is read first.
    """

    def __init__(self, database: Database, codes: Codes | None = None) -> None:
        self._keys = database[COLLECTION]
        self._codes = codes or Codes()

    async def fingerprint(self) -> str | None:
        with translating():
            document = await self._keys.find_one({"_id": API_KEY})
        if document is None:
            return None
        if not is_ours(document, self._codes):
            self._codes.refusals.note("api_key_not_ours", NOUN, document.get("fingerprint"))
            return None
        if self._provenance(document) is Provenance.UNSIGNED:
            with translating():
                await self._keys.replace_one(document, self._coded(_said(document)))
        return str(document["fingerprint"])

    async def keep_first(self, fingerprint: str, at: datetime) -> bool:
        with translating():
            try:
                await self._keys.insert_one(self._document(fingerprint, at))
            except DuplicateKeyError:
                return False
        return True

    async def replace(self, fingerprint: str, at: datetime) -> None:
        with translating():
            document = self._document(fingerprint, at)
            await self._keys.replace_one({"_id": API_KEY}, document, upsert=True)

    def _document(self, fingerprint: str, at: datetime) -> Document:
        said = {"_id": API_KEY, "fingerprint": fingerprint, "made_at": to_milliseconds(at)}
        return self._coded(said)

    def _coded(self, said: Document) -> Document:
        code = self._codes.code(Purpose.API_KEY, said)
        return said if code is None else said | {MAC: code}

    def _provenance(self, document: Document) -> Provenance:
        return self._codes.provenance(Purpose.API_KEY, _said(document), document.get(MAC))


def is_ours(document: Document, codes: Codes) -> bool:
    """Whether the record is one that the service made, as it made it."""
    said = _said(document)
    if not isinstance(said["fingerprint"], str):
        return False
    return codes.is_ours(Purpose.API_KEY, said, document.get(MAC), said["made_at"])


def _said(document: Document) -> Document:
    return {name: document.get(name) for name in ("_id", "fingerprint", "made_at")}

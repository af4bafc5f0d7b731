"""Message authentication codes of rows that are no documents: inbox, API key, carried captures.

A code covers the content of a row and its purpose. A row without a code is accepted if an older
version of the service may have written it (`standing.may_be_older`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import bson

from egress_manager.adapters.mongo_client import Document
from egress_manager.adapters.mongo_refusals import Refusals
from egress_manager.domain.provenance import Provenance, Purpose, key_for, mac_for, provenance_of
from egress_manager.domain.standing import may_be_older


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Codes:
    """The keys of the codes, the one to write with first, and when the first of them was made.

    Without keys nothing gets a code, and everything is taken as it is.
    """

    keys: Sequence[bytes] = ()
    made_at: datetime | None = None
    refusals: Refusals = field(default_factory=Refusals)
    now: Callable[[], datetime] = _now

    def code(self, purpose: Purpose, said: Document) -> str | None:
        """The code of what a row says; None without a key."""
        return mac_for(bson.encode(said), Provenance.SIGNED, self._keys(purpose))

    def is_ours(self, purpose: Purpose, said: Document, told: object, written_at: object) -> bool:
        """Whether the service wrote the content of a row, by the code that the row has."""
        provenance = self.provenance(purpose, said, told)
        if provenance is not Provenance.UNSIGNED:
            return provenance is not Provenance.FOREIGN
        if not isinstance(written_at, datetime):
            return False
        return may_be_older(written_at, self.made_at, self.now())

    def provenance(self, purpose: Purpose, said: Document, told: object) -> Provenance:
        """Who wrote what a row says, as far as its code shows."""
        return provenance_of(bson.encode(said), told, self._keys(purpose))

    def _keys(self, purpose: Purpose) -> list[bytes]:
        return [key_for(purpose, key) for key in self.keys]

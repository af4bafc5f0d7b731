"""Whether the service itself wrote a document: every write of ours leaves a code that shows it.

The code is an HMAC-SHA256 of all of the stored document, under a key that the database does not
have. Who writes to the database without that key leaves a document whose code does not fit, and
one that was written so stays foreign, whatever flow of ours changes it afterwards.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: What the code is called in a stored document.
MAC: Final = "mac"

#: Metadata of a field that is no part of a document: `provenance` is what the store finds.
NOT_STORED: Final[Mapping[str, bool]] = {"stored": False}

#: What separates this use of the signing key from every other one.
_PURPOSE: Final = b"egress-manager/documents"

#: How far a walk came: in which collection, and the id of the last document there.
Reached = tuple[int, str]
BEGINNING: Final[Reached] = (0, "")


@dataclass(frozen=True, slots=True)
class Older:
    """Documents without a code that one stretch of a walk found, and from where it goes on.

    `reached` is None at the end of it.
    """

    ids: Sequence[str]
    reached: Reached | None


class Provenance(StrEnum):
    """Who wrote a document, as far as its code shows.

    SIGNED: a process that has the key. UNSIGNED: it has no code, as those of versions that knew
    none. FOREIGN: its code does not fit. UNKNOWN: it has a code, and no key here checks it.
    """

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


def document_key(seed: bytes) -> bytes:
    """The key of the codes, which follows from the seed of the signing key."""
    return hmac.digest(seed, _PURPOSE, "sha256")


class Purpose(StrEnum):
    """What else gets a code: a code of one is none of another."""

    INBOX = "inbox"
    API_KEY = "api_key"
    CARRIED = "carried"


def key_for(purpose: Purpose, key: bytes) -> bytes:
    """The key of codes of that purpose, which follows from the key of those of documents."""
    return hmac.digest(key, purpose.encode(), "sha256")


def mac_for(document: bytes, provenance: Provenance, keys: Sequence[bytes]) -> str | None:
    """The code of a document that is about to be stored, by the first of the keys; None for none.

    What had none when it was read gets none, and what was foreign one that fits nothing.
    """
    if not keys or provenance is Provenance.UNSIGNED:
        return None
    return _mac(document, keys[0]) if provenance is Provenance.SIGNED else ""


def provenance_of(document: bytes, told: object, keys: Sequence[bytes]) -> Provenance:
    """Who wrote a document with the code that is told, without it.

    Without a key nobody can tell; what has no code either counts as ours.
    """
    if not keys:
        return Provenance.SIGNED if told is None else Provenance.UNKNOWN
    if told is None:
        return Provenance.UNSIGNED
    fits = isinstance(told, str) and told.isascii()
    fits = fits and any(hmac.compare_digest(str(told), _mac(document, key)) for key in keys)
    return Provenance.SIGNED if fits else Provenance.FOREIGN


def _mac(document: bytes, key: bytes) -> str:
    return hmac.digest(key, document, "sha256").hex()

"""Whether the service itself wrote a document: every write of ours leaves a code that shows it.

The code is an HMAC-SHA256 of all of the stored document, under a key that the database does not
have. Who writes to the database without that key leaves a document whose code does not fit, and
one that was written so stays foreign, whatever flow of ours changes it afterwards.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from egress_manager.domain.seal import moment

#: What the code is called in a stored document.
MAC: Final = "mac"

#: Metadata of a field that is no part of a document: `provenance` is what the store finds.
NOT_STORED: Final[Mapping[str, bool]] = {"stored": False}

#: What separates this use of the signing key from every other one.
_PURPOSE: Final = b"egress-manager/documents"


class Provenance(StrEnum):
    """Who wrote a document, as far as its code shows.

    SIGNED: a process that has the key. UNSIGNED: it has no code, as those of versions that knew
    none. FOREIGN: its code does not fit.
    """

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    FOREIGN = "foreign"


def document_key(seed: bytes) -> bytes:
    """The key of the codes, which follows from the seed of the signing key."""
    return hmac.digest(seed, _PURPOSE, hashlib.sha256)


def with_mac(
    document: Mapping[str, Any], provenance: Provenance, keys: Sequence[bytes]
) -> dict[str, Any]:
    """The document with its code, by the first of the keys.

    What was not ours when it was read gets none, and what was foreign one that fits nothing.
    """
    stored = {name: value for name, value in document.items() if name != MAC}
    if not keys or provenance is Provenance.UNSIGNED:
        return stored
    fits = provenance is Provenance.SIGNED
    return stored | {MAC: _mac(stored, keys[0]) if fits else ""}


def provenance_of(document: Mapping[str, Any], keys: Sequence[bytes]) -> Provenance:
    """Who wrote the document; without a key nobody can tell, and it counts as ours."""
    if not keys:
        return Provenance.SIGNED
    told = document.get(MAC)
    if told is None:
        return Provenance.UNSIGNED
    stored = {name: value for name, value in document.items() if name != MAC}
    try:
        fits = any(hmac.compare_digest(str(told), _mac(stored, key)) for key in keys)
    except (TypeError, ValueError, RecursionError):  # something in it that we never write
        return Provenance.FOREIGN
    return Provenance.SIGNED if fits else Provenance.FOREIGN


def _mac(document: Mapping[str, Any], key: bytes) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=_plain)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _plain(value: Any) -> str:
    """Moments as they are hashed everywhere. Raises `TypeError` for what we never store."""
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(type(value).__name__)

"""What a document is, held against the newest entry about it: sealed, waiting, or tampered with.

What a document says of itself counts only if the service wrote it (`domain/provenance.py`); the
entry counts always. A document of a version that signed none counts where it is what was sealed;
what had not been sealed by then is taken as it is for a while after the key was made.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.chain import Trouble
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Content, Entry, facts_of, moment, sha256_of

Document = Call | Recording

#: Documents that no version signed are taken as they are for so long after the key was made.
ADOPTED_WITHIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is wrong with a document, if anything; else whether it waits to be sealed again.

    `may_differ`: its files are being made again, or were, and the entry about them is to come.
    """

    trouble: Trouble | None = None
    is_waiting: bool = False
    may_differ: bool = False


def standing_of(document: Document, newest: Entry) -> Standing:
    """How a document that there are entries about stands."""
    seal, is_unsigned = document.seal, document.provenance is Provenance.UNSIGNED
    is_same = is_as_sealed(document, newest)
    if document.provenance is Provenance.FOREIGN or (is_unsigned and newest.version is not None):
        is_changed = not is_same or (seal is not None and seal.hash != newest.hash)
        return Standing(Trouble.DOCUMENT_CHANGED if is_changed else Trouble.DOCUMENT_FOREIGN)
    if newest.version is not None and document.version < newest.version:
        return Standing(Trouble.DOCUMENT_ROLLED_BACK)
    if seal is not None and seal.version == document.version:
        is_whole = is_same and seal.hash == newest.hash
        return Standing(None if is_whole else Trouble.DOCUMENT_CHANGED)
    if is_unsigned:
        return Standing(Trouble.DOCUMENT_CHANGED)
    remade = not _is_over(document) or made_at(document) != newest.content.made_at
    return Standing(is_waiting=True, may_differ=remade)


def standing_without_key(document: Document, newest: Entry) -> Standing:
    """The same where the key of the codes is not here: nothing the document says excuses it.

    A document without a code counts as SIGNED there, and is none of a version that signs.
    """
    if newest.version is not None and document.version < newest.version:
        return Standing(Trouble.DOCUMENT_ROLLED_BACK)
    is_whole = document.seal is None or document.seal.hash == newest.hash
    is_whole = is_whole and is_as_sealed(document, newest)
    if not is_whole:
        return Standing(Trouble.DOCUMENT_CHANGED)
    is_coded = document.provenance is Provenance.UNKNOWN
    return Standing(None if is_coded or newest.version is None else Trouble.DOCUMENT_FOREIGN)


def standing_of_unsealed(
    document: Document, key_made_at: datetime | None, now: datetime
) -> Standing:
    """How a document that no entry is about stands."""
    if document.provenance is Provenance.FOREIGN:
        return Standing(Trouble.DOCUMENT_FOREIGN)
    if document.seal is not None:
        return Standing(Trouble.DOCUMENT_INSERTED)
    if document.provenance is Provenance.UNSIGNED and not _is_old(document, key_made_at, now):
        return Standing(Trouble.DOCUMENT_FOREIGN)
    return Standing(is_waiting=document.is_unsealed)


def may_be_sealed(
    document: Document, before: Entry | None, key_made_at: datetime | None, now: datetime
) -> bool:
    """Whether the service seals this: it is ours, and not older than what is sealed of it.

    `before` is the newest entry about it.
    """
    if before is not None and before.version is not None and document.version < before.version:
        return False
    if document.provenance is not Provenance.UNSIGNED:
        return document.provenance is Provenance.SIGNED
    if before is not None and is_as_sealed(document, before):
        return True
    if before is not None and not _was_opened_again(document, before):
        return False
    return _is_old(document, key_made_at, now)


def is_as_sealed(document: Document, entry: Entry) -> bool:
    """Whether the document says what the entry says that it did."""
    content: Content = entry.content
    is_same = sha256_of(facts_of(document)) == content.facts_sha256
    return is_same and made_at(document) == content.made_at


def is_older(document: Document) -> bool:
    """Whether a version sealed it that signed no documents."""
    return document.provenance is Provenance.UNSIGNED and document.seal is not None


def waits_for_code(document: Document) -> bool:
    """Whether a version sealed it that signed no documents, and nothing happened to it since."""
    seal = document.seal if is_older(document) else None
    return seal is not None and seal.version == document.version


def made_at(document: Document) -> str:
    """When a document came to its end, as it is sealed."""
    if isinstance(document, Call):
        return moment(document.left_at or document.joined_at)
    return moment(document.since or document.created_at)


def began_at(document: Document) -> datetime:
    """When what it is of began."""
    return document.joined_at if isinstance(document, Call) else document.created_at


def may_be_older(written_at: datetime, key_made_at: datetime | None, now: datetime) -> bool:
    """Whether a version that knew no codes may have written something: for a while, at the start.

    It was written before the key was made, which is not longer ago than `ADOPTED_WITHIN`.
    """
    if key_made_at is None:
        return True
    return written_at < key_made_at and now < key_made_at + ADOPTED_WITHIN


def _is_over(document: Document) -> bool:
    return document.is_over if isinstance(document, Call) else document.is_final


def _was_opened_again(document: Document, before: Entry) -> bool:
    """Whether a version that signed no documents sealed it, and it was made again since."""
    seal = document.seal
    is_newer = seal is not None and before.version is None and seal.version < document.version
    return is_newer and made_at(document) != before.content.made_at


def _is_old(document: Document, key_made_at: datetime | None, now: datetime) -> bool:
    """Whether a version that signed no documents may have written it."""
    return may_be_older(began_at(document), key_made_at, now)

"""The chain of seals, walked from its first entry to its last: what was done to it, and where.

An entry whose content was changed does not have its hash; one that was made anew, with a hash that
fits, is known by another hash to the entry after it and to the sidecar beside its file. Who has not
the key can't sign one; and a checkpoint that was noted elsewhere says what the chain has to have.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeGuard

from egress_manager.domain.downloads import is_download
from egress_manager.domain.merkle import Peaks, grown, root_of
from egress_manager.domain.notes import Checkpoint
from egress_manager.domain.seal import NOTHING, Content, Entry, Facts, Kind, hash_of
from egress_manager.domain.signing import Trusted, is_signed, leaf_of, signed_checkpoint


class Trouble(StrEnum):
    """What is not as it was sealed."""

    ENTRY_CHANGED = "entry_changed"
    ENTRY_REPLACED = "entry_replaced"
    ENTRY_REMOVED = "entry_removed"
    ENTRY_INSERTED = "entry_inserted"
    ENTRY_UNKNOWN = "entry_unknown"
    ENTRY_UNSIGNED = "entry_unsigned"
    ENTRY_FORGED = "entry_forged"
    CHECKPOINT_DIFFERS = "checkpoint_differs"
    DOCUMENT_CHANGED = "document_changed"
    DOCUMENT_MISSING = "document_missing"
    DOCUMENT_INSERTED = "document_inserted"
    DOCUMENT_FOREIGN = "document_foreign"
    DOCUMENT_UNREADABLE = "document_unreadable"
    DOCUMENT_ROLLED_BACK = "document_rolled_back"
    ROW_FOREIGN = "row_foreign"
    KEY_MISSING = "key_missing"
    PLACE_UNKNOWN = "place_unknown"
    FILE_CHANGED = "file_changed"
    FILE_MISSING = "file_missing"
    FILE_INSERTED = "file_inserted"
    CONTENT_REPLACED = "content_replaced"
    SIDECAR_CHANGED = "sidecar_changed"
    SIDECAR_MISSING = "sidecar_missing"
    SIDECAR_UNREADABLE = "sidecar_unreadable"


#: What each means, for people.
WORDS: Final[Mapping[Trouble, str]] = {
    Trouble.ENTRY_CHANGED: "the entry was changed: its hash is not that of what it says",
    Trouble.ENTRY_REPLACED: "the entry was replaced: it is known by another hash",
    Trouble.ENTRY_REMOVED: "the entry was removed",
    Trouble.ENTRY_INSERTED: "the entry was inserted: its number is none, or was there before",
    Trouble.ENTRY_UNKNOWN: "no entry has the hash that was given",
    Trouble.ENTRY_UNSIGNED: "the entry has no signature, and had one or should have",
    Trouble.ENTRY_FORGED: "the entry is not signed by a key that is trusted here",
    Trouble.CHECKPOINT_DIFFERS: "the chain is not the one of the checkpoint that was noted",
    Trouble.DOCUMENT_CHANGED: "the document is not what was sealed",
    Trouble.DOCUMENT_MISSING: "there is no such document any more",
    Trouble.DOCUMENT_INSERTED: "the document says that it is sealed, and no entry is about it",
    Trouble.DOCUMENT_FOREIGN: "the service did not write the document as it is",
    Trouble.DOCUMENT_UNREADABLE: "the document can't be read: it is none of its kind",
    Trouble.DOCUMENT_ROLLED_BACK: "the document is an older version than the one that was sealed",
    Trouble.ROW_FOREIGN: "the service did not store it, and does not use it",
    Trouble.KEY_MISSING: "the key that signed is not here: nobody can tell who wrote all this",
    Trouble.PLACE_UNKNOWN: "no recordings directory that is known has the files",
    Trouble.FILE_CHANGED: "the file is not what was sealed",
    Trouble.FILE_MISSING: "the file is not there any more",
    Trouble.FILE_INSERTED: "there was no such file when it was sealed",
    Trouble.CONTENT_REPLACED: "the file was another one before, and was not made again",
    Trouble.SIDECAR_CHANGED: "the sidecar does not say what was sealed",
    Trouble.SIDECAR_MISSING: "there is no sidecar",
    Trouble.SIDECAR_UNREADABLE: "the sidecar can't be read",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was sealed. `until` is the last of several entries in a row."""

    trouble: Trouble
    entry: int | None = None
    until: int | None = None
    subject: str = ""
    path: str = ""

    @property
    def words(self) -> str:
        """What it means, for people."""
        return WORDS[self.trouble]


@dataclass(frozen=True, slots=True)
class Witness:
    """By which hash a sidecar knows an entry, and where it lies."""

    hash: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A checkpoint that was noted outside of the database, and where."""

    checkpoint: Checkpoint
    path: str = ""


class Chain:
    """Takes entries as they are stored, in the order of their numbers, and names what is wrong.

    `newest` has the number of the last entry about each document, `places` where files are by
    entries that are signed, `signed_from` the number of the first entry that has a signature.
    `needs_key`: some of them are signed, numbered or not.
    `known` is a hash that somebody noted: an entry has to have it. Without `trusted` no signature
    is looked at; whether there is one is, where `lacks_key`: sidecars show that there was a key.
    """

    def __init__(
        self,
        witnesses: Mapping[int, Witness] | None = None,
        known: str = "",
        trusted: Trusted | None = None,
        noted: Iterable[Noted] = (),
        *,
        lacks_key: bool = False,
    ) -> None:
        self.last = 0
        self.hash = NOTHING
        self.length = 0
        self.newest: dict[str, int] = {}
        self.changed: dict[int, str] = {}
        self.places: set[str] = set()
        self.signed_from: int | None = None
        self.needs_key = False
        self.downloads = 0
        self.adopted: dict[int, str] = {}
        self.peaks: Peaks | None = ()
        self._trusted = trusted
        self._is_for_signed = trusted is not None or lacks_key
        self._noted = tuple(noted)
        self._witnesses = witnesses or {}
        self._known = known
        self._is_whole = True
        self._named: set[int] = set()

    def take(self, facts: Facts) -> Iterator[Finding]:
        """The next entry; what is wrong with it, or with the one before it."""
        number, subject = facts.get("number"), str(facts.get("subject", ""))
        if not _is_number(number) or number <= self.last:
            told = number if _is_number(number) else None
            yield Finding(Trouble.ENTRY_INSERTED, told, subject=subject)
            return
        if number > self.last + 1:
            yield Finding(Trouble.ENTRY_REMOVED, self.last + 1, until=number - 1)
            self.peaks = None
        is_whole = hash_of(facts) == facts.get("hash")
        if not is_whole:
            yield Finding(Trouble.ENTRY_CHANGED, number, subject=subject)
        elif number == self.last + 1 and self._is_whole and facts.get("previous") != self.hash:
            yield from self._replaced(self._guilty(number))
        self.last, self.hash, self._is_whole = number, str(facts.get("hash", "")), is_whole
        self.length += 1
        self._learn(facts, number, subject)
        if is_whole:
            yield from self._authority(facts, number, subject)
        else:  # that was found: no checkpoint says more
            self.peaks = None
        if self._known == self.hash:
            self._known = ""

    def end(self) -> Iterator[Finding]:
        """That was the last; what is missing after it."""
        known = {number: witness.path for number, witness in self._witnesses.items()}
        known |= {noted.checkpoint.size: noted.path for noted in self._noted}
        beyond = max(known, default=0)
        if beyond > self.last:
            path = known[beyond]
            yield Finding(Trouble.ENTRY_REMOVED, self.last + 1, until=beyond, path=path)
        if self._known:
            yield Finding(Trouble.ENTRY_UNKNOWN)

    def _learn(self, facts: Facts, number: int, subject: str) -> None:
        """Fold in an entry, whatever it is worth."""
        if self.peaks is not None:
            try:
                self.peaks = grown(self.peaks, number - 1, leaf_of(facts))
            except (TypeError, ValueError, RecursionError):
                self.peaks = None
        self.needs_key = self.needs_key or is_signed(facts)
        if is_download(facts):
            self.downloads += 1
            return
        self.newest[subject] = number
        if facts.get("is_adopted"):
            self.adopted[number] = subject
        if facts.get("kind") == Kind.CHANGED:
            self.changed[number] = subject

    def _authority(self, facts: Facts, number: int, subject: str) -> Iterator[Finding]:
        """What sidecars, its signature and checkpoints say of an entry that has its hash."""
        if not self._agrees(number):
            yield from self._replaced(number)
        yield from self._signature(facts, number, subject)
        yield from self._checkpoint(number)

    def _signature(self, facts: Facts, number: int, subject: str) -> Iterator[Finding]:
        """What is wrong with the signature of an entry that has its hash."""
        if not is_signed(facts):
            is_stripped = self._is_for_signed and _is_of_who_signs(facts)
            if is_stripped or self.signed_from is not None:
                yield Finding(Trouble.ENTRY_UNSIGNED, number, subject=subject)
            return
        self.signed_from = self.signed_from or number
        if self._trusted is None:
            return
        if signed_checkpoint(facts, self._trusted) is None:
            yield Finding(Trouble.ENTRY_FORGED, number, subject=subject)
        elif isinstance(place := facts.get("place"), str):
            self.places.add(place)

    def _checkpoint(self, number: int) -> Iterator[Finding]:
        """Whether the chain up to here is the one of a checkpoint that was noted."""
        for noted in self._noted:
            is_known = noted.checkpoint.size == number and self.peaks is not None
            if is_known and root_of(self.peaks or ()) != noted.checkpoint.root:
                yield Finding(Trouble.CHECKPOINT_DIFFERS, number, path=noted.path)

    def _guilty(self, number: int) -> int:
        """Of two entries that do not fit: the first, unless a sidecar speaks for it."""
        speaks_for = self.last in self._witnesses and self._agrees(self.last)
        return number if speaks_for or self.last == 0 else self.last

    def _agrees(self, number: int) -> bool:
        """Whether no sidecar knows the last entry by another hash."""
        witness = self._witnesses.get(number)
        return witness is None or witness.hash == self.hash

    def _replaced(self, number: int) -> Iterator[Finding]:
        if number not in self._named:
            self._named.add(number)
            witness = self._witnesses.get(number, Witness(""))
            yield Finding(Trouble.ENTRY_REPLACED, number, path=witness.path)


def check_chain(
    entries: Iterable[Facts], witnesses: Mapping[int, Witness] | None = None, known: str = ""
) -> Iterator[Finding]:
    """Everything that is wrong with these entries."""
    chain = Chain(witnesses, known)
    for facts in entries:
        yield from chain.take(facts)
    yield from chain.end()


def witnesses_of(entries: Iterable[Facts], path: str) -> Iterator[tuple[int, Witness]]:
    """What a sidecar's entries say of the chain; one that does not have its hash says nothing."""
    for facts in entries:
        number, known = facts.get("number"), facts.get("hash")
        if _is_number(number) and isinstance(known, str) and known == hash_of(facts):
            yield number, Witness(known, path)


def replaced_content(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Files that were others before, by the entries about one document, and not made again."""
    before: Content | None = None
    for entry in entries:
        content = entry.content
        if before is not None and before.made_at == content.made_at:
            for file in content.files:
                known = before.hashes.get(file.role)
                if known and file.sha256 and known != file.sha256:
                    where = (entry.number, None, content.subject, file.path)
                    yield Finding(Trouble.CONTENT_REPLACED, *where)
        before = content


def _is_of_who_signs(facts: Facts) -> bool:
    """Whether an entry was signed when it was made: no version before notes what it has."""
    return "version" in facts or is_download(facts)


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

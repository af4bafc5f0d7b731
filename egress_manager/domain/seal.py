"""Seals: what a finished document and its files hold, as an entry of a chain that only ever grows.

An entry has the SHA-256 of every file and of the document's facts, and the hash of the entry before
it; its own hash is taken of all that, and it is signed (`domain/signing.py`). Who changes, removes
or inserts one has to make every later one anew, which nobody can without the key.

Rules for editors: the hashes of documents that are sealed must come out the same for ever. A field
that a later version adds needs a default; the default of a field never changes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final

Facts = Mapping[str, Any]

#: What changes in a document without anything happening to what it is of.
VOLATILE: Final = frozenset({"version", "due_at", "attempts", "seal", "seen_at", "provenance"})

#: What the first entry has in the place of the hash of the one before it.
NOTHING: Final = ""

#: What an entry has besides that its hash is not taken of.
AFTER_THE_HASH: Final = frozenset({"hash", "peaks", "signature"})

#: The role of the file of a whole call; the others are called by their tracks.
MIX: Final = "mix"
#: That of the mix that was there before it was made again, where it was.
FIRST_MIX: Final = "first_mix"


@dataclass(frozen=True, slots=True)
class Seal:
    """What a document says of the newest entry about it; `version` is the document's that has it.

    A document whose version is another one was changed since. `place` is where its sidecar lies.
    """

    number: int
    hash: str
    version: int
    place: str = ""


class Kind(StrEnum):
    """Why there is an entry: what is new since the one before it about the same document."""

    SEALED = "sealed"
    MADE_AGAIN = "made_again"
    MOVED = "moved"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file as it was; `sha256` is empty where there was none on this host."""

    role: str
    path: str
    sha256: str = ""
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What is sealed: a document by its id, when it came to its end, its facts and its files.

    `call_facts_sha256` is of a recording's call, as it was then and as the sidecar has it.
    """

    subject: str
    made_at: str
    facts_sha256: str
    call_facts_sha256: str = ""
    files: tuple[SealedFile, ...] = ()

    @property
    def hashes(self) -> Mapping[str, str]:
        """What is known of the files' content, by their roles."""
        return {file.role: file.sha256 for file in self.files if file.sha256}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the chain. `number` counts from 1; moments are text, as they are hashed.

    `version` is the document's that was sealed, None in entries of versions that did not note it;
    `place` is where its files and its sidecar lie. `is_adopted`: the document was written by a
    version that signed none.
    """

    number: int
    at: str
    kind: Kind
    content: Content
    previous: str
    hash: str = ""
    version: int | None = None
    place: str = ""
    is_adopted: bool = False
    signature: str = ""


def moment(at: datetime) -> str:
    """A moment as it is hashed: UTC, to the millisecond."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def facts_of(document: Any) -> Facts:
    """The canonical facts of a document of the domain, without what is volatile.

    What has its default is left out: so a field that is added later changes no hash.
    """
    facts: dict[str, Any] = _plain(document)
    return {name: value for name, value in facts.items() if name not in VOLATILE}


def _plain(value: Any) -> Any:
    """Values as JSON has them."""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    kind: Any = type(value)
    defaults = _defaults(kind)
    told = ((name, getattr(value, name)) for name in defaults)
    return {name: _plain(each) for name, each in told if each != defaults[name]}


@cache
def _defaults(kind: type[Any]) -> Mapping[str, Any]:
    """The fields of a dataclass and their defaults; `MISSING` equals nothing."""
    return {field.name: field.default for field in dataclasses.fields(kind)}


def sha256_of(facts: Facts) -> str:
    """The hash of facts, however they are ordered. Raises `TypeError` for what is no JSON."""
    return hashlib.sha256(_canonical(facts).encode()).hexdigest()


def _canonical(facts: Facts) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def text_of(facts: Facts) -> bytes:
    """What the hash of an entry is taken of, and what its leaf holds in the Merkle tree.

    Raises `TypeError`, `ValueError` or `RecursionError` for what is no entry.
    """
    hashed = {name: value for name, value in facts.items() if name not in AFTER_THE_HASH}
    return _canonical(hashed).encode()


def hash_of(facts: Facts) -> str:
    """The hash that an entry ought to have, of all else in it; empty for what is no entry."""
    try:
        return hashlib.sha256(text_of(facts)).hexdigest()
    except (TypeError, ValueError, RecursionError):
        return ""


def kind_of(before: Content | None, content: Content) -> Kind | None:
    """What is new since the newest entry about the same document; None where nothing is."""
    if before is None:
        return Kind.SEALED
    if before == content:
        return None
    if before.made_at != content.made_at:
        return Kind.MADE_AGAIN
    is_moved = {file.path for file in before.files} != {file.path for file in content.files}
    return Kind.MOVED if is_moved and before.hashes == content.hashes else Kind.CHANGED


def linked(newest: Facts | None, facts: Facts) -> Facts:
    """Facts as the entry that comes next; `newest` is the one that is the last now."""
    newest = newest or {"number": 0, "hash": NOTHING}
    previous = str(newest.get("hash", NOTHING))
    entry = {**facts, "number": int(newest["number"]) + 1, "previous": previous}
    return {**entry, "hash": hash_of(entry)}


def entry_after(newest: Facts | None, content: Content, kind: Kind, at: datetime) -> Entry:
    """The entry about that content that comes next."""
    entry = entry_of(linked(newest, facts_of_entry(Entry(0, moment(at), kind, content, NOTHING))))
    assert entry is not None
    return entry


def facts_of_entry(entry: Entry) -> Facts:
    """An entry as it is hashed and stored."""
    content = entry.content
    return {
        "number": entry.number,
        "at": entry.at,
        "kind": entry.kind.value,
        "subject": content.subject,
        "made_at": content.made_at,
        "facts_sha256": content.facts_sha256,
        "call_facts_sha256": content.call_facts_sha256,
        "files": [dataclasses.asdict(file) for file in content.files],
        "previous": entry.previous,
        "hash": entry.hash,
        **_noted(entry),
    }


def _noted(entry: Entry) -> Facts:
    """What entries of older versions lack."""
    if entry.version is None:
        return {}
    adopted = {"is_adopted": True} if entry.is_adopted else {}
    return {"version": entry.version, "place": entry.place, **adopted}


def entry_of(facts: Facts) -> Entry | None:
    """The entry that was stored; None where somebody made something else of it."""
    try:
        content = Content(
            facts["subject"],
            facts["made_at"],
            facts["facts_sha256"],
            facts["call_facts_sha256"],
            tuple(SealedFile(**file) for file in facts["files"]),
        )
        kind = Kind(facts["kind"])
        return Entry(
            facts["number"],
            facts["at"],
            kind,
            content,
            facts["previous"],
            facts["hash"],
            facts.get("version"),
            facts.get("place", ""),
            facts.get("is_adopted", False),
            facts.get("signature", ""),
        )
    except (KeyError, TypeError, ValueError):
        return None

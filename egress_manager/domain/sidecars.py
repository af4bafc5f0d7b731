"""Sidecars: everything that is known of a recording or a call, in a file of its own.

It lies beside the mix, `….mp4.json`; where there is none, or its name would be too long, it lies
below `.sidecars`, by its id, in one of 4096 folders for each kind.
"""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Entry, Facts, entry_of, facts_of, hash_of, sha256_of

#: Where entries are that say who was given audio, a file a month, in `FOLDER`: a line an entry.
DOWNLOADS: Final = "downloads"
DOWNLOADS_ENDING: Final = ".jsonl"

#: Where sidecars are that lie beside no file, below the recordings directory.
FOLDER: Final = ".sidecars"

ENDING: Final = ".json"

#: File systems allow 255 bytes for a name; one in the making has a dot and `.part` more.
_NAME_AT_MOST: Final = 255 - len(f".{ENDING}.part")

_PLAIN_ID: Final = re.compile(r"(call|rec)_[A-Za-z0-9]{3,60}")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar holds; `subject` is the id of what it is about.

    The recording's has its call as well, as it was then; a call has a sidecar of its own, which
    tells it to its end. `entries` are all entries of the chain about the subject, as they are
    stored, the oldest first. `provenance` is what its signature says of it.
    """

    subject: str
    entries: tuple[Facts, ...] = ()
    recording: Recording | None = None
    call: Call | None = None
    provenance: Provenance = field(default=Provenance.SIGNED, compare=False)

    @property
    def document(self) -> Recording | Call | None:
        """What it is about, if it has that."""
        found = self.recording or self.call
        return found if found is not None and found.id == self.subject else None

    @property
    def newest(self) -> Entry | None:
        """The last entry about it, if that can be read."""
        return entry_of(self.entries[-1]) if self.entries else None

    @property
    def is_as_sealed(self) -> bool:
        """Whether its entries have their hashes, and it says what the newest of them is about."""
        if self.newest is None or any(hash_of(each) != each.get("hash") for each in self.entries):
            return False
        content = self.newest.content
        call = self.call if self.recording is not None else None
        return (
            self.document is not None
            and sha256_of(facts_of(self.document)) == content.facts_sha256
            and (sha256_of(facts_of(call)) if call else "") == content.call_facts_sha256
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that should be a sidecar, and why it is none."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Lying:
    """A sidecar and where it lies."""

    path: str
    sidecar: Sidecar


def paths_of(document: Recording | Call) -> tuple[str, ...]:
    """The files that a document names."""
    if not isinstance(document, Recording):
        return ()
    named = (document.filepath, document.repaired_from, *(t.filepath for t in document.tracks))
    return tuple(path for path in named if path)


def beside(filepath: str) -> str | None:
    """The sidecar of a file; None where its name would be too long."""
    name = PurePosixPath(filepath).name
    return f"{filepath}{ENDING}" if 0 < len(name.encode()) <= _NAME_AT_MOST else None


def by_id(subject: str) -> str:
    """The sidecar of what has no file, below the recordings directory."""
    kind = "calls" if is_call(subject) else "recordings"
    name = subject if _PLAIN_ID.fullmatch(subject) else sha256_of({"subject": subject})
    shard = name.rpartition("_")[2][:3].lower()
    return f"{FOLDER}/{kind}/{shard}/{name}{ENDING}"


def is_call(subject: str) -> bool:
    """Whether that is the id of a call."""
    return subject.startswith("call_")

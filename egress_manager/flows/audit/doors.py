"""The doors of sealing: the chain of entries, the key that signs it, the sidecars, what waits.

An external witness of the chain takes what `Signer.noted` has: a checkpoint as a signed note.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.provenance import BEGINNING, Older, Reached
from egress_manager.domain.seal import Facts
from egress_manager.domain.sidecars import Lying, Sidecar, Unreadable
from egress_manager.domain.signing import Trusted
from egress_manager.ports import Calls, Clock, Files, Recordings


class Audit(Protocol):
    """The chain of entries, to which is only ever added. Verbs raise `StoreUnavailable`.

    Entries are told as they are stored, whatever somebody made of them.
    """

    async def newest(self) -> Facts | None:
        """The entry that has the greatest number, if there is any."""
        ...

    async def about(self, subject: str) -> Sequence[Facts]:
        """All entries about a document, the oldest first, without those of downloads."""
        ...

    async def history(self, subject: str) -> Sequence[Facts]:
        """The same with those of downloads."""
        ...

    async def append(self, entry: Facts) -> None:
        """Store an entry. Raises `Conflict` where its number is taken."""
        ...

    def entries(self) -> AsyncIterator[Facts]:
        """Every entry in the order of their numbers; what has no number comes first or last."""
        ...


class Signer(Trusted, Protocol):
    """The signing key, which the database does not have, and what it signed last.

    Verbs raise `StorageFailed` where the disk does not do it.
    """

    @property
    def made_at(self) -> datetime:
        """When the key was made, with the first start of a version that signs."""
        ...

    def sign(self, text: str) -> str:
        """The signature by the first key in base64, with the hash of the key before it."""
        ...

    async def noted(self) -> str:
        """The signed note of the furthest checkpoint; empty where there is none."""
        ...

    async def note(self, size: int, note: str) -> None:
        """Keep the note of a checkpoint of that size, unless a further one is kept."""
        ...


class Waiting(Protocol):
    """Documents that are over and were changed since they were sealed, or never were.

    Their ids, in order, without those in `but`. Verbs raise `StoreUnavailable`.
    """

    async def recordings(self, limit: int, but: Collection[str] = ()) -> Sequence[str]:
        """Recordings in a final state, whose files are here."""
        ...

    async def calls(
        self, left_before: datetime, limit: int, but: Collection[str] = ()
    ) -> Sequence[str]:
        """Calls whose caller left before that."""
        ...

    def every(self) -> AsyncIterator[tuple[bool, object]]:
        """Every stored document, by its id: whether it lies among the calls, and its id.

        Whatever somebody made of it: the id may be no text, and the document none of its kind.
        """
        ...

    async def unsigned(self, reached: Reached = BEGINNING) -> Older:
        """Some documents that an older version sealed, and nobody signed since; files are here.

        It is a walk through all documents, some hundred at a time, which may have none of them.
        """
        ...


class Rows(Protocol):
    """What the database has beside documents, with codes of its own."""

    def refused(self) -> AsyncIterator[str]:
        """The names of those that the service did not write, and does not use."""
        ...


class Sidecars(Protocol):
    """The files beside recordings. Verbs raise `StorageFailed` where the disk does not do it."""

    async def fingerprint(self, path: str) -> Fingerprint | None:
        """What a file holds, when all of it is on the disk; None where there is no such file."""
        ...

    async def put(self, sidecar: Sidecar, filepath: str | None, was: Collection[str] = ()) -> None:
        """Have it on the disk, whole, in the place of the one before; `filepath` is of the mix.

        `was` are paths that the mix had before: a sidecar that lies there is removed. A file that
        is no sidecar of the same document is never touched.
        """
        ...

    async def about(self, subject: str, filepath: str | None) -> Sidecar | None:
        """The sidecar of a document, where it has to lie; None where there is none to be read."""
        ...

    def holds(self, path: str) -> bool:
        """Whether that names a file below the recordings directory, and none that is hidden."""
        ...

    async def add_download(self, entry: Facts) -> None:
        """Have an entry that says who was given audio on the disk, after those before it."""
        ...

    def downloads(self) -> AsyncIterator[Facts]:
        """Those entries, as they were added; what can't be read is passed over."""
        ...

    def every(self) -> AsyncIterator[Lying | Unreadable]:
        """Every sidecar in the directory and below; other files are passed over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealers:
    """Everything that sealing takes, and holding things against their seals.

    `place` is whose files and sidecars these are, where several hosts have their own. Without a
    `signer` nothing is signed, and `verify` says that the key is missing if anything ever was.
    """

    recordings: Recordings
    calls: Calls
    waiting: Waiting
    audit: Audit
    sidecars: Sidecars
    files: Files
    clock: Clock
    signer: Signer | None = None
    rows: Rows | None = None
    place: str = ""

    def is_here(self, place: str) -> bool:
        """Whether what lies at that place can be read; what has no place lies anywhere."""
        return place in ("", self.place)

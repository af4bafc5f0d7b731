"""The doors of the import: files that lie around, their sound, and whose files are known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from egress_manager.domain.importing import SoundFile, Stray
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.recordings import Recording
from egress_manager.ports import Clock, Files, Recordings


class Sounds(Protocol):
    """What is in sound files."""

    async def decode(self, path: str) -> SoundFile:
        """The file, decoded from its beginning to its end. Raises `NoSound`."""
        ...


class Depot(Files, Protocol):
    """Files that are to be imported, and the recordings directory; nothing is ever written over.

    Verbs raise `StorageFailed` where the disk does not do it.
    """

    def find(self, paths: Iterable[str]) -> Sequence[Stray]:
        """The files of these names, and the sound files of these folders and those below.

        Each file once, in order; links and what is hidden are passed over in folders.
        """
        ...

    def is_as_found(self, stray: Stray) -> bool:
        """Whether nobody wrote to the file since it was found."""
        ...

    def home(self, path: str) -> str | None:
        """The path as documents have it, if the file lies where recordings can be played from."""
        ...

    async def fingerprint(self, path: str) -> Fingerprint | None:
        """What the file holds; None where there is none."""
        ...

    async def copy(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        """A copy of its own, whole and on the disk when this returns. Harmless to repeat.

        Raises `Conflict` where something else has that name, `StorageFailed` where it is not what
        the fingerprint says.
        """
        ...

    async def also_as(self, path: str, name: str, fingerprint: Fingerprint) -> None:
        """As `copy`, but it may be a second name for the same file."""
        ...

    async def drop(self, path: str, fingerprint: Fingerprint) -> None:
        """Take a name away from what the fingerprint says. Harmless to repeat."""
        ...


class Owners(Protocol):
    """Whose files are known. Verbs raise `StoreUnavailable`."""

    async def of_file(self, path: str) -> Recording | None:
        """The recording whose mix, or one of whose tracks, has that path."""
        ...

    async def of_content(self, sha256: str) -> Recording | None:
        """The recording whose mix holds that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Importers:
    """What importing takes; `naming` is the pattern by which files are named that are copied.

    `place` is the name of the directory that they come to.
    """

    recordings: Recordings
    owners: Owners
    depot: Depot
    sounds: Sounds
    clock: Clock
    naming: str
    place: str = ""

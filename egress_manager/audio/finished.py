"""A file that bears its name only when it is complete, and the ways in which none can be made."""

import glob
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from egress_manager.domain.recordings import Piece
from egress_manager.errors import RenderFailed


class NoAudio(RenderFailed):
    """Nothing was kept of any track: nobody published one, or nobody sent a packet."""

    code = "no_audio"
    retryable = False


class NeverCaptured(RenderFailed):
    """Nothing was kept of any track, and the recorder was away: nobody can tell who spoke."""

    code = "never_captured"
    retryable = False


class Encrypted(RenderFailed):
    """The room is end-to-end encrypted: what was kept can't be understood."""

    code = "encrypted"
    retryable = False


def spared(filepath: str, pieces: Iterable[Piece]) -> str:
    """The path for a new file; one beside it where a file has it that others are made of.

    Else the first rendering would destroy what a second one needs.
    """
    path = PurePath(filepath)
    if path not in {PurePath(piece.filepath) for piece in pieces}:
        return filepath
    return str(path.with_name(f"{path.stem}.whole{path.suffix}"))


class Unfinished:
    """A file in the making, under a temporary name beside its final one. Raises `OSError`.

    The temporary name is its own: another process may make the same file, and whatever it writes
    when it gives up must not go into this one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

    def begin(self) -> Path:
        """The temporary name, in a folder that exists: an empty one may have been removed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.temporary

    def keep(self) -> int:
        """It is complete: bring it to the disk, then give it its name. Its size in bytes.

        What others had begun of it is removed: of processes that died, nobody else would.
        """
        with self.temporary.open("rb") as file:
            os.fsync(file.fileno())
        self.temporary.replace(self.path)
        for begun in self.path.parent.glob(f".{glob.escape(self.path.name)}.*part"):
            with suppress(OSError):
                begun.unlink()
        _sync_directory(self.path.parent)
        return self.path.stat().st_size

    def drop(self) -> None:
        """Remove it; harmless where it is not there."""
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Bring a new name to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

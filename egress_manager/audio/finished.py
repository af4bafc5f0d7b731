"""A file that bears its name only when it is complete, and the ways in which none can be made."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from egress_manager.domain.recordings import Piece
from egress_manager.errors import RenderFailed


class NoAudio(RenderFailed):
    """Nothing was kept of any track: nobody published one, or nobody sent a packet."""

    code = "no_audio"
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
    """A file in the making, under a temporary name beside its final one. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

    def keep(self) -> int:
        """It is complete: bring it to the disk, then give it its name. Its size in bytes."""
        with self.temporary.open("rb") as file:
            os.fsync(file.fileno())
        self.temporary.replace(self.path)
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

"""The place where a process works: the identity of its recordings directory, and its database.

Processes that share the directory, on one host or through a shared disk, have the same place: any
of them can work on what any of them kept.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from egress_manager.errors import StorageFailed

log = logging.getLogger(__name__)

#: The file with the name, in the recordings directory; and the one with its database's id.
FILE: Final = ".place"
DATABASE_FILE: Final = ".database"


def place(directory: Path) -> str:
    """The name of the directory: made once, then read. Eight hexadecimal digits.

    Where nothing can be written, host and path have to do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _read(directory / FILE) or _made(directory / FILE, secrets.token_hex(4))
    except OSError as error:
        log.warning("place_not_kept", extra={"why": error.strerror})
        return hashlib.sha256(f"{socket.gethostname()}{directory}".encode()).hexdigest()[:8]


def known_place(directory: Path) -> str:
    """Its name, for who changes nothing; empty where no process ever worked on it."""
    try:
        return _read(directory / FILE)
    except OSError:
        return ""


def _read(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    return ""


def _made(path: Path, text: str) -> str:
    """Whole or not at all: of several who make it at once, the first one's counts."""
    own = _written(path, text)
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
    return _read(path)


def _written(path: Path, text: str) -> Path:
    """A file of our own beside it, with that text."""
    own = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    own.write_text(text)
    return own


class LocalDirectoryMark:
    """The database that a recordings directory belongs to (port `DirectoryMark`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def path(self) -> str:
        return str(self._directory)

    async def owner(self, database_id: str) -> str:
        return await asyncio.to_thread(self._owner, database_id)

    def _owner(self, database_id: str) -> str:
        path = self._directory / DATABASE_FILE
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            return _read(path) or (_made(path, database_id) if database_id else "")
        except OSError as error:
            log.warning("directory_not_marked", extra={"why": error.strerror})
            return database_id

    async def give_to(self, database_id: str) -> None:
        try:
            await asyncio.to_thread(self._give_to, database_id)
        except OSError as error:
            raise StorageFailed(f"{self.path} can't be written: {error.strerror}") from error

    def _give_to(self, database_id: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / DATABASE_FILE
        _written(path, database_id).replace(path)

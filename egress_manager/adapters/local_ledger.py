"""Books of JSON entries in a directory of this host (port `Ledger`): a file each, a line an entry.

A book is only ever added to, and a line counts when it is whole: a crash tears the last one at
most. What is in them may be secret (PINs), so only the owner can read them.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from egress_manager.errors import Conflict, NotFound, StorageFailed

_ENDING: Final = ".jsonl"
_LOCK: Final = "lock"
#: A book that has no name yet, because its first entry is not on the disk.
_NEW: Final = "new"


class LocalLedger:
    """The books below one directory, which is made when the first is begun."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._trouble():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._lock(lock)
            yield
        finally:
            os.close(lock)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("somebody else is at it on this host: wait for the other one") from None

    def books(self) -> Sequence[str]:
        books = (path.stem for path in self._directory.glob(f"*{_ENDING}"))
        return sorted((book for book in books if book.isdecimal()), key=int)

    def read(self, book: str) -> Iterator[Mapping[str, Any]]:
        if book not in self.books():
            raise NotFound(
                f"there is no run {book}; there are: {', '.join(self.books()) or 'none'}"
            )
        return self._entries(book)

    def _entries(self, book: str) -> Iterator[Mapping[str, Any]]:
        with self._trouble(), self._path(book).open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and "entry" in entry:
                    yield entry

    def begin(self, entry: Mapping[str, Any]) -> str:
        book = f"{max(map(int, self.books()), default=0) + 1:04d}"
        new = self._directory / _NEW
        with self._trouble():
            new.unlink(missing_ok=True)  # of somebody who was killed here
            _append(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), entry)
            os.link(new, self._path(book))
            new.unlink()
            _sync(self._directory)
        return book

    def write(self, book: str, entry: Mapping[str, Any]) -> None:
        with self._trouble():
            _append(os.open(self._path(book), os.O_RDWR), entry)

    def _path(self, book: str) -> Path:
        return self._directory / f"{book}{_ENDING}"

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageFailed(f"{self._directory} can't be used: {error.strerror}") from error


def _append(descriptor: int, entry: Mapping[str, Any]) -> None:
    """Add a line, on the disk when this returns, after the end of one that was torn."""
    line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    with open(descriptor, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\n" + line if _is_torn(descriptor, end) else line)
        file.flush()
        os.fsync(descriptor)


def _is_torn(descriptor: int, size: int) -> bool:
    """Whether the last line of a file has no end."""
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

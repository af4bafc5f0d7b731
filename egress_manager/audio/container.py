"""What can be seen of a sound file from outside: its size, its sum, and whether it is whole."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

#: The last page of an Ogg stream lies within so many bytes of the end: a page has at most 65,307.
_LAST_PAGE: Final = 65_307
_PAGE: Final = b"OggS"
_FLAGS_AT: Final = 5
_LAST_FLAG: Final = 4

#: So many boxes are looked at for the index of an mp4; it is the second or third.
_MOST_BOXES: Final = 64


@dataclass(frozen=True, slots=True)
class Outside:
    """A file as the file system has it.

    `problem` is `missing` or `empty`, or nothing. `is_fast_start`: an mp4 with its index in front,
    so that a player can begin before it has everything; None for other files. `has_end`: an Ogg
    file whose last page says that it is the last; None for other files.
    """

    problem: str = ""
    size_bytes: int = 0
    sha256: str = ""
    is_fast_start: bool | None = None
    has_end: bool | None = None


def look(path: Path) -> Outside:
    """Look at a file. What can't be opened is missing."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            if not size:
                return Outside("empty", 0, sha256)
            return Outside("", size, sha256, _is_fast_start(file), _has_end(file, size))
    except OSError:
        return Outside("missing")


def _is_fast_start(file: BinaryIO) -> bool | None:
    """Whether an mp4 has its index (`moov`) before its sound (`mdat`)."""
    at = 0
    for n in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if n == 0 and kind != b"ftyp":
            return None
        if kind in (b"moov", b"mdat"):
            return kind == b"moov"
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size < 8:
            break
        at += size
    return False


def _has_end(file: BinaryIO, size: int) -> bool | None:
    """Whether an Ogg file's last page is marked as the last."""
    file.seek(0)
    if file.read(len(_PAGE)) != _PAGE:
        return None
    file.seek(max(0, size - _LAST_PAGE))
    tail = file.read()
    at = tail.rfind(_PAGE)
    return at >= 0 and len(tail) > at + _FLAGS_AT and bool(tail[at + _FLAGS_AT] & _LAST_FLAG)

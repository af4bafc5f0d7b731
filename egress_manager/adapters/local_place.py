"""The place where a process works: the identity of its recordings directory.

Processes that share the directory, on one host or through a shared disk, have the same place: any
of them can work on what any of them kept.
"""

import hashlib
import logging
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: The file with the name, in the recordings directory.
FILE: Final = ".place"


def place(directory: Path) -> str:
    """The name of the directory: made once, then read. Eight hexadecimal digits.

    Where nothing can be written, host and path have to do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _read(directory / FILE) or _made(directory / FILE)
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


def _made(path: Path) -> str:
    """Whole or not at all: of several who make it at once, the first one's counts."""
    own = path.with_name(f"{FILE}-{secrets.token_hex(4)}")
    own.write_text(secrets.token_hex(4))
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
    return _read(path)

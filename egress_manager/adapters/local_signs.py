"""Signs of life on this host's disk: a locked file for every process (port `Signs`).

The kernel lets go of the lock when the process ends, however it ends; so those who work on the same
directory know of each other's end at once.
"""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Where they are, below the recordings directory.
FOLDER: Final = ".processes"

#: A process that was killed leaves its file; the next start after this removes it. Seconds.
KEPT_FOR: Final = 3600.0


class LocalSigns:
    """The locked file of this process, and those of others."""

    def __init__(self, directory: Path, process_id: str) -> None:
        self._directory = directory / FOLDER / socket.gethostname()
        self._process_id = process_id
        self._lock = -1

    def show(self) -> None:
        if self._lock >= 0:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._tidy()
            self._lock = os.open(
                self._directory / self._process_id, os.O_CREAT | os.O_RDONLY, 0o666
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            log.warning("no_sign_of_life", extra={"why": error.strerror})

    def gone(self, among: Collection[str]) -> Collection[str]:
        return [name for name in among if name != self._process_id and self._is_gone(name)]

    def hide(self) -> None:
        with suppress(OSError):
            (self._directory / self._process_id).unlink()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _tidy(self) -> None:
        """Remove the files of those who ended so long ago that nobody asks any more."""
        for path in self._directory.iterdir():
            is_old = time.time() - path.stat().st_mtime > KEPT_FOR
            if is_old and self._is_gone(path.name):
                path.unlink(missing_ok=True)

    def _is_gone(self, process_id: str) -> bool:
        """Whether its file is there, and nobody holds it. Who never showed one is not known."""
        try:
            lock = os.open(self._directory / process_id, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(lock)

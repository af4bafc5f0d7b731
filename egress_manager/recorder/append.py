"""A file that only grows, and outlives a full or broken disk.

What can't be written now is held back and tried again, in order; nothing that reached the file is
ever touched. When more is held back than fits, what comes then is given up, not what came first: a
file begins with what the rest of it is read by.
"""

import os
from collections import deque
from pathlib import Path
from typing import Final

#: How much is held back for a disk that does not take it: over ten minutes of a track. Bytes.
BACKLOG_BYTES: Final = 4 << 20


class AppendFile:
    """Opens when the first bytes come; `write` never raises, `error` says what is wrong now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error: OSError | None = None
        self.dropped = 0  # bytes given up
        self._fd = -1
        self._size = 0
        self._backlog: deque[bytes] = deque()
        self._held = 0
        self._is_dirty = False

    def write(self, data: bytes) -> None:
        """Append; on trouble hold it back, as far as there is room."""
        if self._held + len(data) > BACKLOG_BYTES:
            self.retry()
        if self._held + len(data) > BACKLOG_BYTES:
            self.dropped += len(data)
            return
        self._backlog.append(data)
        self._held += len(data)
        self.retry()

    def retry(self) -> None:
        """Write what is held back, as far as the disk takes it."""
        try:
            while self._backlog:
                self._put(self._backlog[0])
                self._held -= len(self._backlog.popleft())
                self.error = None
        except OSError as error:
            self.error = error

    @property
    def is_behind(self) -> bool:
        """Whether something is held back."""
        return bool(self._backlog)

    def sync(self) -> None:
        """Have the disk keep what the kernel has; blocks, so call it in a thread.

        Trouble shows in `error`. Not to be called at the same time as `close`.
        """
        if self._is_dirty and self._fd >= 0:
            self._is_dirty = False
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self._is_dirty = True
                self.error = error

    def close(self) -> None:
        """Write what can be written and let go of the file; harmless to repeat."""
        self.retry()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, data: bytes) -> None:
        """All of `data` at the end, or none of it counts: a torn rest is written over."""
        if self._fd < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], self._size + done)
        self._size += done
        self._is_dirty = True

"""The journal of a capture: what happened, when, on the one clock; JSON lines.

While a capture runs, its process holds a lock on the journal. The kernel lets go of it when the
process dies, so a journal without a last line and without a lock is one that was left behind.
"""

import fcntl
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from egress_manager.domain.captures import JOURNAL, SETTLED, Ended, Entry, Story, from_json, to_json
from egress_manager.recorder.append import AppendFile

log = logging.getLogger(__name__)

#: `json.dumps` with separators of one's own makes an encoder for every line.
_to_line = json.JSONEncoder(separators=(",", ":")).encode


def size_of(entry: Entry) -> int:
    """The bytes of an entry's line."""
    return len(_to_line(to_json(entry))) + 1


class Journal:
    """Writes entries; `on_entry` hears of each after it was written."""

    def __init__(self, directory: Path, on_entry: Callable[[Entry], None]) -> None:
        self.file = AppendFile(directory / JOURNAL)
        self._on_entry = on_entry
        self._lock = -1

    def write(self, entry: Entry) -> None:
        """Append one line; never raises."""
        self.file.write(_to_line(to_json(entry)).encode() + b"\n")
        if self._lock < 0:
            self._lock = _lock(self.file.path)
        try:
            self._on_entry(entry)
        except Exception:
            # Whoever listens, the packets that this entry tells of are to be kept.
            log.exception("entry_not_heard", extra={"entry": type(entry).__name__})

    def close(self) -> None:
        """Let go of the file and of the lock."""
        self.file.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read_journal(directory: Path) -> list[Entry]:
    """The entries of a capture's journal; a torn or damaged line is passed over."""
    try:
        lines = (directory / JOURNAL).read_bytes().split(b"\n")
    except OSError:
        return []
    return [entry for line in lines if (entry := _parse(line)) is not None]


def read_story(directory: Path) -> Story:
    """What a capture's journal tells."""
    story = Story()
    story.tell(read_journal(directory))
    return story


def is_held(directory: Path) -> bool:
    """Whether a living process is writing this journal."""
    lock = _lock(directory / JOURNAL)
    if lock < 0:
        return (directory / JOURNAL).exists()
    os.close(lock)
    return False


def close_left_behind(directory: Path, story: Story) -> None:
    """Write the last line of a journal whose process died: it ended when it last said something."""
    if story.ended is not None:
        return
    entry = Ended(story.last_at, "process_died")
    journal = directory / JOURNAL
    line = _to_line(to_json(entry)).encode()
    with journal.open("ab") as file:
        file.write(b"\n" + line + b"\n")  # the first newline ends a line that was torn
    story.tell([entry])


def settle(directory: Path) -> None:
    """Mark a capture: all calls in it have their final files."""
    (directory / SETTLED).touch()


def _parse(line: bytes) -> Entry | None:
    try:
        return from_json(json.loads(line)) if line else None
    except (ValueError, TypeError, AttributeError):
        return None


def _lock(path: Path) -> int:
    """A file descriptor that holds the lock, or -1 where somebody else holds it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor

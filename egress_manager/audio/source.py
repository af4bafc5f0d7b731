"""A capture's directory, read while it is still being written.

Plain files, read on from where the last reading stopped. A line or a page that is not whole yet is
read the next time; what can't be understood is passed over.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from egress_manager.audio import ogg, opus
from egress_manager.domain.captures import JOURNAL, Entry, Story, Stretch, from_json

#: A file is read on in pieces of this size. Bytes.
PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SoundPage:
    """A page of a stretch: packets without a hole between them, from granule to granule (ticks)."""

    start: int
    end: int
    packets: tuple[bytes, ...]


class Appended:
    """What was appended to a file since it was last asked; nothing where there is no file yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> bytes:
        """The next piece; empty where there is nothing new."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(PIECE)
            self._offset += len(data)
            return data
        return b""


class StretchFile:
    """The pages of one stretch's file, as they come."""

    def __init__(self, path: Path) -> None:
        self._appended = Appended(path)
        self._reader = ogg.Reader()

    def read(self) -> list[SoundPage]:
        """Some of the pages that are new; none where there are no more."""
        pages: list[SoundPage] = []
        while not pages and (data := self._appended.read()):
            pages = [_sound(page) for page in self._reader.feed(data) if not page.is_head]
        return pages


def _sound(page: ogg.Page) -> SoundPage:
    """A page whose granule says where its last packet ends: so the rest lies before it."""
    length = sum(map(opus.duration, page.packets))
    return SoundPage(page.granule - length, page.granule, page.packets)


class CaptureFiles:
    """One capture: the story its journal tells so far, and the files of its stretches."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.story = Story()
        self._journal = Appended(directory / JOURNAL)
        self._rest = b""

    def read(self) -> bool:
        """Take in what is new in the journal; whether there was anything."""
        was_new = False
        while data := self._journal.read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._tell(lines)
            was_new = True
        return was_new

    def _tell(self, lines: list[bytes]) -> None:
        for line in lines:
            entry = _entry(line)
            if entry is None:
                continue
            with suppress(KeyError):  # a page of a stretch whose own line was lost
                self.story.tell([entry])

    def file_of(self, stretch: Stretch) -> StretchFile:
        """A new reading of a stretch's file, from its beginning."""
        return StretchFile(self.directory / Path(stretch.began.file).name)


def _entry(line: bytes) -> Entry | None:
    """The entry of a line; None for a line that was damaged or that is not known."""
    try:
        found: Any = json.loads(line)
        return from_json(found)
    except (ValueError, TypeError, AttributeError):
        return None

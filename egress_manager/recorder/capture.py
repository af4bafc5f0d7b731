"""One busy period of a room on disk: a directory with its journal and its stretches.

It begins when the first caller is there and ends after the last has left; what it holds, and what
its journal says, is all that later work needs.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from egress_manager.domain.captures import (
    Began,
    ConnectionChanged,
    DigitPressed,
    Ended,
    Entry,
    ParticipantChanged,
    ParticipantGone,
    StretchBegan,
    TrackChanged,
    TrackGone,
    Trouble,
)
from egress_manager.recorder.append import AppendFile
from egress_manager.recorder.clock import now
from egress_manager.recorder.journal import Journal
from egress_manager.recorder.reception import Amount, Kept
from egress_manager.recorder.roster import News
from egress_manager.recorder.stretch import StretchWriter

#: The codecs whose packets are Opus when they reach us (LiveKit unwraps RED for us).
OPUS: Final = frozenset({"audio/opus", "audio/red", ""})
#: So many captures are written to the disk at once; each of them waits for its last turn first.
SYNCS_AT_ONCE: Final = 4
#: Threads of their own: a disk that stands still holds up nothing else that needs a thread, such as
#: the look-up of a server's name.
_syncing: Final = ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync")
#: A page that is being filled is written out when it is this old. Seconds.
PAGE_AGE: Final = 0.5


class Capture:
    """Keeps what comes, journals what happens. No verb raises for a disk that fails."""

    def __init__(
        self,
        directory: Path,
        room_name: str,
        room_sid: str,
        on_entry: Callable[[Entry], None],
    ) -> None:
        self.directory = directory
        self.room_sid = room_sid
        self._journal = Journal(directory, on_entry)
        self._participants: dict[str, ParticipantChanged] = {}
        self._tracks: dict[str, TrackChanged] = {}
        self._writers: dict[int, StretchWriter] = {}
        self._finished: list[AppendFile] = []  # closed stretches that the disk is yet to keep
        self._stretches = 0
        self._looked_at = now()
        self._troubled: set[tuple[str, str]] = set()
        self.began_at = now()
        self._write(Began(self.began_at, self.id, room_name, room_sid))

    @property
    def id(self) -> str:
        """`cap_…`, which is also the name of its directory."""
        return self.directory.name

    @property
    def error(self) -> OSError | None:
        """What keeps it from writing now."""
        return next((file.error for file in self._files() if file.error), None)

    def tell(self, news: News) -> None:
        """Somebody or something came, changed or left."""
        match news:
            case ParticipantChanged():
                self.participant(news)
            case ParticipantGone():
                self.participant_gone(news)
            case TrackChanged():
                self.track(news)
            case TrackGone():
                self.track_gone(news)

    def participant(self, entry: ParticipantChanged) -> None:
        """Somebody is there, or changed."""
        if not _is_news(self._participants.get(entry.participant_sid), entry):
            return
        self._participants[entry.participant_sid] = entry
        self._write(entry)

    def participant_gone(self, entry: ParticipantGone) -> None:
        """Somebody left: what came from there is written out first."""
        for track in list(self._tracks.values()):
            if track.participant_sid == entry.participant_sid:
                self.track_gone(TrackGone(entry.at, track.track_sid))
        self.flush()
        if self._participants.pop(entry.participant_sid, None) is not None:
            self._write(entry)

    def track(self, entry: TrackChanged) -> None:
        """A track is there, or changed."""
        if not _is_news(self._tracks.get(entry.track_sid), entry):
            return
        self._tracks[entry.track_sid] = entry
        self._write(entry)
        if entry.is_encrypted:
            self.trouble("encrypted", entry.track_sid)
        if entry.mime not in OPUS:
            self.trouble("codec", entry.track_sid, entry.mime)

    def track_gone(self, entry: TrackGone) -> None:
        """A track is not published any more: its stretches are closed."""
        for number, writer in list(self._writers.items()):
            if writer.began.track_sid == entry.track_sid:
                self._close_writer(number, "unpublished")
        self._troubled = {(what, sid) for what, sid in self._troubled if sid != entry.track_sid}
        if self._tracks.pop(entry.track_sid, None) is not None:
            self._write(entry)

    def connection(self, state: str, identity: str, detail: str = "") -> None:
        """Our own connection changed."""
        self._write(ConnectionChanged(now(), state, identity, detail))

    def digit(self, identity: str, digit: str) -> None:
        """Somebody pressed a key of the phone."""
        self._write(DigitPressed(now(), identity, digit))

    def trouble(self, what: str, track_sid: str = "", detail: str = "") -> None:
        """Something keeps audio from being kept; said once for each track."""
        if (what, track_sid) not in self._troubled:
            self._troubled.add((what, track_sid))
            self._write(Trouble(now(), what, track_sid, detail))

    def stalled(self, seconds: float) -> None:
        """This process stood still for so long: what came meanwhile may be lost."""
        self._write(Trouble(now(), "stalled", detail=f"{seconds:.3f}"))

    def open_stretch(
        self, track_sid: str, participant_sid: str, ssrc: int, first: Kept, before: Amount
    ) -> StretchWriter | None:
        """A writer for a run that begins with this packet; `before` is what was sent before it.

        None where the packet can't be understood, or where its track is gone: LiveKit ends a
        track with some frames of silence.
        """
        track = self._tracks.get(track_sid)
        if track is None or track.is_encrypted or track.mime not in OPUS:
            return None
        self._stretches += 1
        name = f"stretch-{self._stretches:04}.ogg"
        began = StretchBegan(
            first.arrived,
            self._stretches,
            name,
            track_sid,
            participant_sid,
            ssrc,
            first.timestamp,
            *before,
        )
        self._write(began)
        writer = StretchWriter(self.directory / name, began, self._write)
        self._writers[began.stretch] = writer
        return writer

    def close_stretch(self, writer: StretchWriter, reason: str) -> None:
        """Close one stretch; harmless to repeat."""
        self._close_writer(writer.began.stretch, reason)

    def tick(self, moment: float) -> None:
        """Now and then: write out old pages, try a failing disk again."""
        if moment - self._looked_at < PAGE_AGE:
            return
        self._looked_at = moment
        for writer in self._writers.values():
            writer.flush_older_than(moment - PAGE_AGE)
        for file in self._files():
            if file.is_behind:
                file.retry()
            if file.error:
                self.trouble("disk", detail=file.error.strerror or "")
            if file.dropped:
                self.trouble("backlog", detail=file.path.name)
        if self.error is None:
            self._troubled.discard(("disk", ""))  # should it come again, that is news

    def flush(self) -> None:
        """Give all that has come to the kernel."""
        for writer in self._writers.values():
            writer.flush()

    async def sync(self) -> None:
        """Have the disk keep it. Not to be called again before it has returned."""
        finished, self._finished = self._finished, []
        try:
            files = [*self._files(), *finished]
            await asyncio.get_running_loop().run_in_executor(_syncing, _sync, files)
        finally:
            self._finished += [file for file in finished if file.is_behind]
            for file in finished:
                if not file.is_behind:
                    file.close()

    def close(self, reason: str) -> None:
        """Close every stretch and write the last line; the disk has it after `release`."""
        for number in list(self._writers):
            self._close_writer(number, reason)
        self._write(Ended(now(), reason))

    async def release(self) -> None:
        """After `close`: have the disk keep all of it, and let go of the files and the lock."""
        await self.sync()
        for file in self._finished:
            file.close()
        self._journal.close()

    def _close_writer(self, number: int, reason: str) -> None:
        writer = self._writers.pop(number, None)
        if writer is not None:
            writer.close(now(), reason)
            self._finished.append(writer.file)

    def _files(self) -> list[AppendFile]:
        writing = (writer.file for writer in self._writers.values())
        return [self._journal.file, *writing, *self._finished]

    def _write(self, entry: Entry) -> None:
        self._journal.write(entry)


def _is_news(
    known: ParticipantChanged | TrackChanged | None, entry: ParticipantChanged | TrackChanged
) -> bool:
    """Whether anything but the moment differs."""
    return known is None or replace(known, at=entry.at) != entry


def _sync(files: Sequence[AppendFile]) -> None:
    for file in files:
        file.sync()

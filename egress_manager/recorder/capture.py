"""One busy period of a room on disk: a directory with its journal and its stretches.

It begins when the first caller is there and ends after the last has left; what it holds, and what
its journal says, is all that later work needs.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from egress_manager.domain.captures import (
    Began,
    ConnectionChanged,
    DigitPressed,
    Ended,
    Entry,
    LeftOut,
    ParticipantChanged,
    ParticipantGone,
    StretchBegan,
    TrackChanged,
    TrackGone,
    Trouble,
)
from egress_manager.domain.codecs import OPUS
from egress_manager.domain.quotas import NAME, Shelf
from egress_manager.recorder.append import AppendFile
from egress_manager.recorder.clock import now
from egress_manager.recorder.journal import Journal
from egress_manager.recorder.reception import Amount, Kept
from egress_manager.recorder.register import Change, Register
from egress_manager.recorder.roster import News
from egress_manager.recorder.stretch import StretchWriter

#: So many captures are written to the disk at once; each of them waits for its last turn first.
SYNCS_AT_ONCE: Final = 4
#: Threads of their own: a disk that stands still holds up nothing else that needs a thread, such as
#: the look-up of a server's name.
_syncing: Final = ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync")
#: A page that is being filled is written out when it is this old. Seconds.
PAGE_AGE: Final = 0.5
#: What grows of that which is over a quota is journaled no more often than this. Seconds.
LEFT_OUT_EVERY: Final = 5.0
#: When nothing was over a quota for so long, what is over it next is told apart. Seconds.
LEFT_OUT_APART: Final = 10.0


class Capture:
    """Keeps what comes, journals what happens. No verb raises for a disk that fails.

    `shelf` has what earlier captures left of the participants' quotas.
    """

    def __init__(
        self,
        directory: Path,
        room_name: str,
        room_sid: str,
        on_entry: Callable[[Entry], None],
        shelf: Shelf | None = None,
    ) -> None:
        self.directory = directory
        self.room_sid = room_sid
        self._journal = Journal(directory, on_entry)
        kept = shelf if shelf is not None else Shelf()
        self._register = Register(
            self._announce, self.leave_out, lambda identity: kept.of(room_name, identity, now())
        )
        self._left_out: dict[tuple[str, str, str], LeftOut] = {}
        self._untold: set[tuple[str, str, str]] = set()
        self._told_at = 0.0
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
        self._register.change(entry)

    def participant_gone(self, entry: ParticipantGone) -> None:
        """Somebody left: what came from there is written out first."""
        for track_sid in self._register.tracks_of(entry.participant_sid):
            self.track_gone(TrackGone(entry.at, track_sid))
        if self._register.strike(entry):
            self.flush()
            self._write(entry)

    def track(self, entry: TrackChanged) -> None:
        """A track is there, or changed."""
        self._register.change(entry)

    def track_gone(self, entry: TrackGone) -> None:
        """A track is not published any more: its stretches are closed."""
        for number, writer in list(self._writers.items()):
            if writer.began.track_sid == entry.track_sid:
                self._close_writer(number, "unpublished")
        self._troubled = {(what, sid) for what, sid in self._troubled if sid != entry.track_sid}
        if self._register.strike(entry):
            self._write(entry)

    def connection(self, state: str, identity: str, detail: str = "") -> None:
        """Our own connection changed."""
        self._write(ConnectionChanged(now(), state, identity, detail))

    def digit(self, identity: str, digit: str) -> None:
        """Somebody pressed a key of the phone; an empty one is none, and only counted."""
        moment = now()
        if digit and self._register.quotas(identity).digits.take(1, moment):
            self._write(DigitPressed(moment, identity[:NAME], digit))
        else:
            who = identity if self._register.knows(identity) else ""
            self.leave_out("digits", who, moment, 1)

    def leave_out(
        self, what: str, identity: str, moment: float, count: int, track_sid: str = ""
    ) -> None:
        """Something of a participant is over its quota: count it; the journal hears of it later."""
        key = (what, identity, track_sid)
        known = self._left_out.get(key)
        if known is not None and moment - known.at > LEFT_OUT_APART:
            if key in self._untold:
                self._write(known)
            known = None
        since, before = (known.since, known.count) if known else (moment, 0)
        self._left_out[key] = LeftOut(moment, *key, since, before + count)
        self._untold.add(key)

    def leave_out_of(self, participant_sid: str, track_sid: str, what: str, moment: float) -> None:
        """One packet of a track is over a quota."""
        self.leave_out(what, self._register.identity_of(participant_sid), moment, 1, track_sid)

    def admits(self, participant_sid: str, track_sid: str, moment: float) -> bool:
        """Whether a packet of a track is to be decrypted; one that is not is counted."""
        if self._register.packets(participant_sid, track_sid).take(1, moment):
            return True
        self.leave_out_of(participant_sid, track_sid, "packets", moment)
        return False

    def trouble(self, what: str, track_sid: str = "", detail: str = "") -> None:
        """Something keeps audio from being kept; said once for each track."""
        if (what, track_sid) not in self._troubled:
            self._troubled.add((what, track_sid))
            self._write(Trouble(now(), what, track_sid, detail))

    def stalled(self, seconds: float) -> None:
        """This process stood still for so long: what came meanwhile may be lost."""
        self._write(Trouble(now(), "stalled", detail=f"{seconds:.3f}"))

    def open_stretch(
        self,
        track_sid: str,
        participant_sid: str,
        ssrc: int,
        packets: Sequence[Kept],
        before: Amount,
    ) -> StretchWriter | None:
        """A writer for a run that begins with these packets; `before` is what was sent before them.

        None if they can't be understood, if their track is gone (LiveKit ends a track with some
        frames of silence), or if their participant has had too many stretches. The packets of a
        track that says it is encrypted are kept: anybody can say so.
        """
        track, first = self._register.track(track_sid), packets[0]
        if track is None or track.mime not in OPUS:
            return None
        identity = self._register.identity_of(participant_sid)
        quotas = self._register.quotas(identity)
        if not quotas.may_open(first.arrived):
            self.leave_out("stretches", identity, first.arrived, len(packets))
            return None
        self._register.settle((participant_sid, track_sid))
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
        writer = StretchWriter(
            self.directory / name,
            began,
            self._write,
            quotas,
            lambda what, at, count: self.leave_out(what, identity, at, count, track_sid),
        )
        quotas.open_stretches += 1
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
        self._register.catch_up(moment)
        if moment - self._told_at >= LEFT_OUT_EVERY:
            self._tell_left_out(moment)
        for file in self._files():
            self._mind(file)
        if self.error is None:
            self._troubled.discard(("disk", ""))  # should it come again, that is news

    def _mind(self, file: AppendFile) -> None:
        """Try again what a file holds back, and say what is wrong with it."""
        if file.is_behind:
            file.retry()
        if file.error:
            self.trouble("disk", detail=file.error.strerror or "")
        if file.dropped:
            self.trouble("backlog", detail=file.path.name)

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
        self._register.settle()
        self._tell_left_out(now())
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
            writer.quotas.open_stretches -= 1
            writer.close(now(), reason)
            self._finished.append(writer.file)

    def _files(self) -> list[AppendFile]:
        writing = (writer.file for writer in self._writers.values())
        return [self._journal.file, *writing, *self._finished]

    def _announce(self, entry: Change) -> None:
        """Write who is there, or what they publish, and what is wrong with it."""
        self._write(entry)
        if isinstance(entry, TrackChanged):
            if entry.is_encrypted:
                self.trouble("encrypted", entry.track_sid)
            if entry.mime not in OPUS:
                self.trouble("codec", entry.track_sid, entry.mime)

    def _tell_left_out(self, moment: float) -> None:
        """Write down what of that which was left out has grown."""
        self._told_at = moment
        untold, self._untold = self._untold, set()
        for key in untold:
            self._write(self._left_out[key])

    def _write(self, entry: Entry) -> None:
        self._journal.write(entry)


def _sync(files: Sequence[AppendFile]) -> None:
    for file in files:
        file.sync()

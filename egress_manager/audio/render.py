"""One call's files, made from its captures: mixed while the call goes on, finished at its end.

Finished files of the call, if there are any, are heard where nothing was captured.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from egress_manager.audio.finished import Encrypted, NeverCaptured, NoAudio, Unfinished, spared
from egress_manager.audio.mixing import Mixing, usable
from egress_manager.audio.pieces import Pieces
from egress_manager.audio.source import CaptureFiles
from egress_manager.audio.tracks import TrackRender, tracks_of
from egress_manager.domain.captures import Story
from egress_manager.domain.codecs import unusable
from egress_manager.domain.holes import NOT_RECORDED, Covered, captured, patched, was_away
from egress_manager.domain.limits import LATE
from egress_manager.domain.recordings import Channel, Hole, Rendered, RenderPlan, TrackFile
from egress_manager.domain.sides import Sides, sides
from egress_manager.errors import RenderFailed

#: The mix is so far behind the newest thing that the journals tell: pages take half a second to
#: come, packets that were lost are waited for, and a sender report, every five seconds, may tell
#: where the last words belong. Seconds.
BEHIND: Final = 7.0

#: Causes of a hole that concern everybody in the room.
EVERYBODY: Final = frozenset({"recorder down", "connection", "disk", "joining"})


class Render:
    """All work on one call. Its verbs are generators: between slices others get their turn."""

    def __init__(self, recordings_dir: Path, plan: RenderPlan) -> None:
        self.plan = plan
        self._recordings_dir = recordings_dir
        self._captures: list[CaptureFiles] = []
        self._captured: list[Covered] = []
        self._pieces = Pieces(recordings_dir, plan)
        self._mixing: Mixing | None = None
        self._mix = Unfinished(recordings_dir / self._filepath)
        self._tracks: list[TrackRender] = []
        self._take_captures()

    def replan(self, plan: RenderPlan) -> None:
        """A newer plan: what is mixed already is kept where it would be the same."""
        old, self.plan = self.plan, plan
        self._take_captures()
        if replace(old, captures=(), ends_at=None) == replace(plan, captures=(), ends_at=None):
            if self._mixing:
                self._mixing.plan = plan
            return
        self._start_over()
        path = self._recordings_dir / self._filepath
        if self._mix.path != path:
            self._mix.drop()
            self._mix = Unfinished(path)

    def follow(self) -> Iterator[None]:
        """Mix what can be mixed by now. Never raises: what went wrong is done again at the end.

        Where there are pieces, all of it is left for the end.
        """
        try:
            yield from self._read()
            newest = max((story.last_at for story in self._stories), default=0.0)
            until = newest - BEHIND
            if until <= self.plan.begins_at or self.plan.pieces:
                return
            if self._mixing is None:
                self._mixing = Mixing(self._captures, self.plan, self._mix.begin())
            yield from self._mixing.advance(until)
        except Exception:
            self._start_over()

    def finish(self) -> Generator[None, None, Rendered]:
        """Make the finished files. Raises `RenderFailed`; `OSError` where they can't be written."""
        yield from self._read()
        seats = sides(self._stories, self.plan)
        yield from self._begin_pieces()
        self._expect_audio()
        yield from self._finish_mix()
        self._tracks = [
            TrackRender(track, self._captures, self.plan, self._recordings_dir)
            for track in tracks_of(self._stories, self.plan, seats)
        ]
        files: list[TrackFile] = []
        for track in self._tracks:
            files += [(yield from track.render(seats))]
        for made in [track.made for track in self._tracks if track.made]:
            made.keep()
        assert self.plan.ends_at is not None
        return Rendered(
            filepath=self._filepath,
            duration_sec=round(self.plan.ends_at - self.plan.begins_at, 3),
            size_bytes=self._mix.keep(),
            channels=channels(self._stories, seats) if self._captures else (),
            tracks=tuple(files),
            holes=self._holes(files),
            speech_packets=sum(track.tally.speech for track in self._tracks),
        )

    def forget(self) -> None:
        """Stop, and remove what was begun."""
        self._start_over()
        self._pieces.close()
        self._mix.drop()
        for made in [track.made for track in self._tracks if track.made]:
            made.drop()

    @property
    def _filepath(self) -> str:
        return spared(self.plan.mix_filepath, self.plan.pieces)

    @property
    def _stories(self) -> list[Story]:
        return [capture.story for capture in self._captures]

    def _take_captures(self) -> None:
        known = {capture.directory for capture in self._captures}
        for name in self.plan.captures:
            directory = self._recordings_dir / name
            if directory not in known:
                self._captures.append(CaptureFiles(directory))

    def _read(self) -> Iterator[None]:
        """Read the journals on, in slices."""
        for capture in self._captures:
            while capture.read():
                yield

    def _begin_pieces(self) -> Iterator[None]:
        """Open the pieces, and find out where they are wanted."""
        assert self.plan.ends_at is not None
        stories = self._stories
        self._captured = captured(stories, usable(stories), self.plan.ends_at)
        self._pieces = Pieces(self._recordings_dir, self.plan, self._captured)
        yield from self._pieces.begin()

    def _expect_audio(self) -> None:
        """Raise `RenderFailed` in one of its kinds where there is nothing to make a file of."""
        assert self.plan.ends_at is not None
        stories = self._stories
        sids = set(usable(stories))
        if any(s.pages for story in stories for sid in sids for s in story.stretches_of(sid)):
            return
        if self._pieces.have_sound:
            return
        if "encrypted" in unusable(stories).values():
            raise Encrypted("the room is end-to-end encrypted, so its audio can't be understood")
        if self._pieces.are_unreadable:
            names = ", ".join(piece.filepath for piece in self.plan.pieces)
            raise RenderFailed(f"nothing was captured, and there is no audio to be read in {names}")
        if was_away(stories, self.plan.begins_at, self.plan.ends_at):
            raise NeverCaptured("no audio was kept: the recorder was away during the call")
        raise NoAudio("no audio was kept: nobody in the room sent any during the call")

    def _finish_mix(self) -> Iterator[None]:
        """Go on with what was mixed while the call went on; on any doubt make it again.

        What was mixed before pieces turned up lacks them.
        """
        if self.plan.pieces:
            self._start_over()
        if self._mixing is not None:
            try:
                yield from self._mixing.finish()
                return
            except Exception:
                self._start_over()
        self._mixing = Mixing(
            self._captures,
            self.plan,
            self._mix.begin(),
            is_final=True,
            pieces=self._pieces,
        )
        yield from self._mixing.finish()
        self._pieces.close()

    def _holes(self, files: list[TrackFile]) -> tuple[Hole, ...]:
        """What is missing of the whole call."""
        assert self.plan.ends_at is not None
        begins_at, ends_at = self.plan.begins_at, self.plan.ends_at
        missing = _common([hole for file in files for hole in file.holes])
        if not self.plan.pieces:
            return missing
        if not self._captured:
            missing = (Hole(0.0, ends_at - begins_at, NOT_RECORDED),)
        heard, unreadable = self._pieces.heard(), self._pieces.unreadable()
        return patched(missing, heard, unreadable, begins_at, ends_at)

    def _start_over(self) -> None:
        """Let go of what was mixed."""
        if self._mixing is not None:
            with suppress(Exception):
                self._mixing.abandon()
        self._mixing = None


def channels(stories: list[Story], seats: Sides) -> tuple[Channel, ...]:
    """Who is on which side, by identity, each once."""
    identity = {sid: p.identity for story in stories for sid, p in story.participants.items()}
    return tuple(
        Channel(side, tuple(dict.fromkeys(identity[sid] for sid in sids)))
        for side, sids in (("left", seats.left), ("right", seats.right))
    )


def _concerns_everybody(hole: Hole) -> bool:
    # Joining takes a moment with every call; it is told of the whole where it took longer.
    late = hole.cause != "joining" or hole.end_sec - hole.start_sec >= LATE
    return hole.cause in EVERYBODY and late


def _common(found: list[Hole]) -> tuple[Hole, ...]:
    """The holes that concern everybody, each once, those that overlap as one."""
    merged: list[Hole] = []
    for hole in sorted(filter(_concerns_everybody, found), key=lambda h: (h.cause, h.start_sec)):
        last = merged[-1] if merged else None
        if last and last.cause == hole.cause and hole.start_sec <= last.end_sec:
            merged[-1] = replace(last, end_sec=max(last.end_sec, hole.end_sec))
        else:
            merged.append(hole)
    return tuple(sorted(merged, key=lambda hole: hole.start_sec))

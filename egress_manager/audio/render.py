"""One call's files, made from its captures: mixed while the call goes on, finished at its end."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from egress_manager.audio.finished import Encrypted, NoAudio, Unfinished
from egress_manager.audio.mixing import Mixing, unusable, usable
from egress_manager.audio.source import CaptureFiles
from egress_manager.audio.tracks import TrackRender, tracks_of
from egress_manager.domain.captures import Story
from egress_manager.domain.recordings import Channel, Hole, Rendered, RenderPlan, TrackFile
from egress_manager.domain.timeline import Sides, sides

#: The mix is so far behind the newest thing that the journals tell: pages take half a second to
#: come, packets that were lost are waited for, and a sender report, every five seconds, may tell
#: where the last words belong. Seconds.
BEHIND: Final = 7.0

#: Causes of a hole that concern everybody in the room.
EVERYBODY: Final = frozenset({"recorder down", "connection", "disk", "joining"})
#: Joining takes a moment with every call; it is told of the whole where it took longer. Seconds.
LATE_JOIN: Final = 1.0


class Render:
    """All work on one call. Its verbs are generators: between slices others get their turn."""

    def __init__(self, recordings_dir: Path, plan: RenderPlan) -> None:
        self.plan = plan
        self._recordings_dir = recordings_dir
        self._captures: list[CaptureFiles] = []
        self._mixing: Mixing | None = None
        self._mix = Unfinished(recordings_dir / plan.mix_filepath)
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
        if old.mix_filepath != plan.mix_filepath:
            self._mix.drop()
            self._mix = Unfinished(self._recordings_dir / plan.mix_filepath)

    def follow(self) -> Iterator[None]:
        """Mix what can be mixed by now. Never raises: what went wrong is done again at the end."""
        try:
            yield from self._read()
            newest = max((story.last_at for story in self._stories), default=0.0)
            until = newest - BEHIND
            if until <= self.plan.begins_at:
                return
            if self._mixing is None:
                self._mixing = Mixing(self._captures, self.plan, self._mix.temporary)
            yield from self._mixing.advance(until)
        except Exception:
            self._start_over()

    def finish(self) -> Generator[None, None, Rendered]:
        """Make the finished files. Raises `RenderFailed`; `OSError` where they can't be written."""
        yield from self._read()
        seats = sides(self._stories, self.plan)
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
            filepath=self.plan.mix_filepath,
            duration_sec=round(self.plan.ends_at - self.plan.begins_at, 3),
            size_bytes=self._mix.keep(),
            channels=channels(self._stories, seats),
            tracks=tuple(files),
            holes=_common([hole for file in files for hole in file.holes]),
            speech_packets=sum(track.tally.speech for track in self._tracks),
        )

    def forget(self) -> None:
        """Stop, and remove what was begun."""
        self._start_over()
        self._mix.drop()
        for made in [track.made for track in self._tracks if track.made]:
            made.drop()

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

    def _expect_audio(self) -> None:
        """Raise `NoAudio` or `Encrypted` where there is nothing to make a file of."""
        stories = self._stories
        sids = set(usable(stories))
        if any(s.pages for story in stories for sid in sids for s in story.stretches_of(sid)):
            return
        if "encrypted" in unusable(stories).values():
            raise Encrypted("the room is end-to-end encrypted, so its audio can't be understood")
        raise NoAudio("no audio was kept: nobody in the room sent any during the call")

    def _finish_mix(self) -> Iterator[None]:
        """Go on with what was mixed while the call went on; on any doubt make it again."""
        if self._mixing is not None:
            try:
                yield from self._mixing.finish()
                return
            except Exception:
                self._start_over()
        self._mixing = Mixing(self._captures, self.plan, self._mix.temporary, is_final=True)
        yield from self._mixing.finish()

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
    late = hole.cause != "joining" or hole.end_sec - hole.start_sec >= LATE_JOIN
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

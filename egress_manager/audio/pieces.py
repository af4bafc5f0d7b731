"""Finished files in a mix: which of them is heard when, and how one gives way to another.

What was captured comes first, then the mix that began first, then the next. Where one takes over
from another they are cross-faded. Tracks are each a voice of their own, so they are summed.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from egress_manager.audio.decode import Sound
from egress_manager.audio.mix import SIDES, Sum
from egress_manager.audio.piece import UNKNOWN, PieceFile, Span
from egress_manager.domain.captures import TICKS
from egress_manager.domain.holes import UNREADABLE, Covered, Obstacle
from egress_manager.domain.recordings import RenderPlan

#: What begins or ends is faded over 15 ms. Samples.
EDGE: Final = 720

#: A slice of what lies before the call. Samples.
SLICE: Final = 5 * TICKS


class Pieces:
    """All pieces of a call. `captured`: the spans in which they are not wanted."""

    def __init__(
        self, recordings_dir: Path, plan: RenderPlan, captured: Sequence[Covered] = ()
    ) -> None:
        self._plan = plan
        self._captured = merged(
            Span(self._position(span.start), self._position(span.end)) for span in captured
        )
        self._files = [
            PieceFile(recordings_dir / piece.filepath, piece, plan.begins_at)
            for piece in sorted(plan.pieces, key=lambda piece: piece.begins_at)
        ]

    def begin(self) -> Iterator[None]:
        """Read all files up to the call's beginning, or to their own, in slices."""
        for file in self._files:
            goal = min(max(0, file.start), self._end)
            while not file.is_over and file.until <= goal:
                file.read(min(goal, file.until + SLICE))
                file.let_go(0)
                yield

    @property
    def have_sound(self) -> bool:
        """Whether any of them has something of the call; known when they were begun."""
        return any(file.has_sound(self._end) for file in self._files)

    @property
    def are_unreadable(self) -> bool:
        """Whether anything of them can't be read, as far as it is known."""
        return any(file.broken for file in self._files)

    def hear(self, into: Sum, until: int) -> None:
        """Add what is to be heard of them, from where the sum was taken to a position."""
        start = into.done
        taken = self._captured
        for file in self._files:
            file.read(until + 2 * EDGE)
            others = taken if file.is_mix else self._captured
            gains = faded(without(file.runs, narrowed(others)), start, until)
            if gains.any():
                for side, sound in zip(SIDES, file.take(start, until), strict=True):
                    into.add(side, start, sound * gains)
            file.let_go(until)
            if file.is_mix:
                taken = merged([*taken, *file.covered])

    def heard(self) -> list[Covered]:
        """The spans that they cover: all of them, but for those of a track that can't be read."""
        covered = merged(span for file in self._files for span in file.covered)
        lost = merged(span for file in self._files if not file.is_mix for span in file.broken)
        return [Covered(self._moment(s), self._moment(e)) for s, e in without(covered, lost)]

    def unreadable(self) -> list[Obstacle]:
        """The spans that they should cover and don't."""
        return [
            Obstacle(self._moment(start), self._moment(self._known(file, start, end)), UNREADABLE)
            for file in self._files
            for start, end in file.broken
        ]

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()

    def _known(self, file: PieceFile, start: int, end: int) -> int:
        """How far what is missing may have gone: the next mix was begun because one had ended."""
        later = [other.start for other in self._files if other.is_mix and other.start > start]
        return min([end, self._end, *(later if file.is_mix and end == UNKNOWN else [])])

    @property
    def _end(self) -> int:
        assert self._plan.ends_at is not None
        return self._position(self._plan.ends_at)

    def _position(self, at: float) -> int:
        return round((at - self._plan.begins_at) * TICKS)

    def _moment(self, position: int) -> float:
        return self._plan.begins_at + position / TICKS


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in order, those that touch as one."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def narrowed(spans: Iterable[Span]) -> list[Span]:
    """Spans without their edges, so that what gives way to them is still there for a fade."""
    return [Span(start + EDGE, end - EDGE) for start, end in spans if end - start > 2 * EDGE]


def without(spans: Iterable[Span], taken: Sequence[Span]) -> list[Span]:
    """What is left of spans; those that are taken are in order, and don't overlap."""
    free: list[Span] = []
    for start, end in spans:
        at = start
        for other in taken:
            if other.start < end and other.end > at:
                free += [Span(at, other.start)] if other.start > at else []
                at = other.end
        free += [Span(at, end)] if at < end else []
    return free


def faded(spans: Iterable[Span], start: int, stop: int) -> Sound:
    """How loud it is at each position: 1 within the spans, 0 outside, slopes at their edges."""
    gains = np.zeros(stop - start, np.float32)
    for span in spans:
        low, high = max(span.start, start), min(span.end, stop)
        if low < high:
            at = np.arange(low, high)
            slope = np.minimum(at - span.start, span.end - at) / EDGE
            gains[low - start : high - start] = np.minimum(slope, 1.0)
    return gains

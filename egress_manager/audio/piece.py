"""A finished file that holds some of a call, read from its first sound to its last.

LiveKit Egress made it, or we did: Ogg Opus, MP4 with AAC, whatever rate and number of channels.
What is read goes where the timestamps in the file put it, at 48 kHz.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from egress_manager.audio.decode import Sound
from egress_manager.audio.downmix import Downmix
from egress_manager.audio.mix import JUMP
from egress_manager.domain.captures import TICKS
from egress_manager.domain.recordings import Layout, Piece

#: A file that began before the call is read from so long before the call on: a decoder needs some
#: packets to settle. Seconds.
LEAD: Final = 1.0

#: A file that ends so much earlier than it says itself is damaged. Seconds.
SHORT: Final = 0.5

#: Nobody knows how far it would have gone. A position.
UNKNOWN: Final = 1 << 60

#: A mixer never pauses, so what is missing inside one of these is damage.
MIXES: Final = frozenset({Layout.STEREO, Layout.SWAPPED, Layout.BOTH})

#: How loud the one voice of a file is on either side.
_SHARES: Final = {Layout.BOTH: (1.0, 1.0), Layout.LEFT: (1.0, 0.0), Layout.RIGHT: (0.0, 1.0)}


class Span(NamedTuple):
    """From one position until another. Samples since the call's beginning."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """Some sound (channels, n), from a sample of the file on; whether damage lies before it."""

    at: int
    sound: Sound
    after_damage: bool


class PieceFile:
    """A piece on its way into the mix, as far as it was read.

    `runs` are the spans of sound without a break that were not let go of yet, `covered` those for
    which it is known what was to be heard (a track may pause), and `broken` those that can't be
    read. What is wrong with the file is never raised.
    """

    def __init__(self, path: Path, piece: Piece, begins_at: float) -> None:
        self.is_mix = piece.layout in MIXES
        self.start = round((piece.begins_at - begins_at) * TICKS)
        self.until = self.start
        self.is_over = False
        self.runs: deque[Span] = deque()
        self.covered: list[Span] = []
        self.broken: list[Span] = []
        self._layout = piece.layout
        self._downmix = Downmix()
        self._ready: deque[tuple[int, Sound]] = deque()
        self._ready_until = self.start
        self._blocks = blocks(path, max(0.0, -self.start / TICKS - LEAD))

    def read(self, until: int) -> None:
        """Decode on beyond a position, or to the end."""
        while not self.is_over and self.until <= until:
            try:
                block = next(self._blocks, None)
            except (av.FFmpegError, OSError, IndexError):  # the last: no audio stream in it
                self._end(is_damaged=True)
                return
            if block is None:
                self._end()
            else:
                self._take_in(block)

    def has_sound(self, before: int) -> bool:
        """Whether there is sound that was read, not let go of, and begins before a position."""
        return bool(self.runs) and self.runs[0].start < before

    def take(self, start: int, stop: int) -> Sound:
        """Both sides (2, n) of a span that was read, once."""
        taken = np.zeros((2, stop - start), np.float32)
        for at, sound in self._ready:
            low, high = max(at, start), min(at + sound.shape[1], stop)
            if low < high:
                taken[:, low - start : high - start] = sound[:, low - at : high - at]
        self.let_go(stop)
        return taken

    def let_go(self, before: int) -> None:
        """Forget what ends before a position."""
        while self._ready and self._ready[0][0] + self._ready[0][1].shape[1] <= before:
            self._ready.popleft()
        while self.runs and self.runs[0].end <= before:
            self.runs.popleft()

    def close(self) -> None:
        """Let go of the file."""
        self.is_over = True
        self._blocks.close()

    def _take_in(self, block: Block) -> None:
        start = self.start + block.at
        end = start + block.sound.shape[1]
        is_break = start > self.until
        if is_break:
            self._draw_rest()
            self._ready_until = start
        if not self.runs or is_break:
            self.runs.append(Span(start, end))
        else:
            self.runs[-1] = self.runs[-1]._replace(end=end)
        if self.covered and not (is_break and (self.is_mix or block.after_damage)):
            self.covered[-1] = self.covered[-1]._replace(end=end)
        else:
            self.broken += [Span(self.until, start)] if self.covered else []
            self.covered.append(Span(start, end))
        self._draw(self._downmix.add(block.sound)[None] if self._is_one else block.sound)
        self.until = end

    @property
    def _is_one(self) -> bool:
        """Whether the file is one voice, however many channels it has."""
        return self._layout in _SHARES

    def _draw(self, sound: Sound) -> None:
        """Put sound on the sides, behind what is there already."""
        if sound.shape[1]:
            self._ready.append((self._ready_until, laid_out(sound, self._layout)))
            self._ready_until += sound.shape[1]

    def _draw_rest(self) -> None:
        """Nothing follows at once."""
        self._draw(self._downmix.rest()[None])

    def _end(self, *, is_damaged: bool = False) -> None:
        self._draw_rest()
        self.is_over = True
        if is_damaged or not self.covered:
            self.broken.append(Span(self.until, UNKNOWN))


def laid_out(sound: Sound, layout: Layout) -> Sound:
    """The channels of a file, one where it is one voice, on the two sides of the mix (2, n)."""
    if layout in _SHARES:
        return np.outer(np.array(_SHARES[layout], np.float32), sound[0])
    left, right = sound[0], sound[min(1, len(sound) - 1)]
    return np.stack((right, left) if layout is Layout.SWAPPED else (left, right))


def blocks(path: Path, skip: float) -> Generator[Block, None, None]:
    """The sound of a file in the order of time, from about `skip` seconds on.

    Where it ends earlier than it says, a last block without sound stands at the end it says. Raises
    `av.FFmpegError`, `OSError`; `IndexError` where there is no audio in it.
    """
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        first = float((stream.start_time or 0) * (stream.time_base or 0))
        if skip > 0:
            _seek(container, stream, skip)
        run, is_damaged = None, False
        for frame in _frames(container, stream):
            if frame is None:
                is_damaged = True
                continue
            start = round(((frame.time or first) - first) * TICKS)
            if run is None or not run.goes_on_with(frame, start):
                yield from run.rest() if run else ()
                run = _Run(frame, max(start, run.until) if run else start)
            for block in run.convert(frame):
                yield Block(block.at, block.sound, is_damaged)
                is_damaged = False
        yield from run.rest() if run else ()
        said = _said(container, stream)
        if run and run.until < said - SHORT * TICKS:
            yield Block(said, np.zeros((1, 0), np.float32), after_damage=True)


def _seek(container: InputContainer, stream: AudioStream, skip: float) -> None:
    """Go on from a little before that; where that can't be done, from where it is."""
    assert stream.time_base is not None
    with suppress(av.FFmpegError):
        container.seek((stream.start_time or 0) + int(skip / stream.time_base), stream=stream)


def _said(container: InputContainer, stream: AudioStream) -> int:
    """How long a file says it is, in samples; 0 for one without an index, which can't know."""
    if "mp4" not in container.format.name:
        return 0
    return round(float((stream.duration or 0) * (stream.time_base or 0)) * TICKS)


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame | None]:
    """What the packets decode to; None for one that does not."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            yield None


class _Run:
    """Frames of one form without a break between them, on their way to 48 kHz."""

    def __init__(self, frame: av.AudioFrame, start: int) -> None:
        self.until = start
        self._form = _form(frame)
        self._expected = float(start)
        self._resampler = av.AudioResampler(format="fltp", rate=TICKS)

    def goes_on_with(self, frame: av.AudioFrame, start: int) -> bool:
        """Whether a frame follows. Timestamps that go back are those of files put together."""
        return self._form == _form(frame) and start <= self._expected + JUMP

    def convert(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """A frame's sound, as far as it can be known before what follows."""
        if frame is not None:
            self._expected += frame.samples * TICKS / frame.sample_rate
        for part in self._resampler.resample(frame):
            if part is not None:  # of the end, where there is nothing to convert
                sound = part.to_ndarray().astype(np.float32, copy=False)
                yield Block(self.until, sound, after_damage=False)
                self.until += sound.shape[1]

    def rest(self) -> Iterator[Block]:
        """What is left when nothing follows."""
        return self.convert(None)


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate

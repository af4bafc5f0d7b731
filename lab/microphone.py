"""Sound that enters a room in real time, with the wall-clock moment of every sample."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import numpy as np
from livekit import rtc

from lab.sounds import PCM, RATE

#: The SDK takes exactly 10 ms at a time when it is asked not to queue.
FRAME_SAMPLES = RATE // 100
_FRAME = FRAME_SAMPLES / RATE
_SILENCE = np.zeros(FRAME_SAMPLES, np.int16)
_PUSH_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """One thing that was said, and when each 10 ms of it was handed to the encoder.

    A moment is seconds of the wall clock (`time.time()`).
    """

    samples: int
    pushed_at: tuple[float, ...] = field(repr=False)

    @property
    def started_at(self) -> float:
        return self.pushed_at[0]

    @property
    def ended_at(self) -> float:
        return self.pushed_at[-1] + _FRAME

    @property
    def lateness(self) -> float:
        """By how many seconds the most delayed frame missed real time: the machine was busy."""
        due = (self.started_at + index * _FRAME for index in range(len(self.pushed_at)))
        return max(at - due for at, due in zip(self.pushed_at, due, strict=True))

    def moment(self, sample: int) -> float:
        """When sample number `sample` was pushed."""
        frame, rest = divmod(sample, FRAME_SAMPLES)
        return self.pushed_at[frame] + rest / RATE


@dataclass(slots=True)
class _Speech:
    """What is still to be said."""

    frames: Iterator[PCM]
    samples: int
    said: asyncio.Future[Utterance]
    pushed_at: list[float] = field(default_factory=list)


class Speeches:
    """What is to be said, frame by frame, one speech after another."""

    def __init__(self, frame_for: float = _FRAME) -> None:
        self._waiting: deque[_Speech] = deque()
        self._steps = [step * _FRAME for step in range(round(frame_for / _FRAME))]

    def add(self, frames: Iterator[PCM], samples: int) -> asyncio.Future[Utterance]:
        """Say it after all that was to be said before; done when its last frame is out."""
        said: asyncio.Future[Utterance] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Speech(frames, samples, said))
        return said

    def next(self) -> PCM | None:
        """The next frame, taken now; None when there is nothing to say."""
        while self._waiting:
            speech = self._waiting[0]
            frame = next(speech.frames, None)
            if frame is not None:
                now = time.time()
                speech.pushed_at += [now + step for step in self._steps]
                return frame
            self._waiting.popleft()
            if not speech.said.done():
                speech.said.set_result(Utterance(speech.samples, tuple(speech.pushed_at)))
        return None

    def fall_silent(self) -> None:
        """Whoever still waits to have said something gets a ConnectionError."""
        for speech in self._waiting:
            if not speech.said.done():
                speech.said.set_exception(ConnectionError("closed before all was said"))
        self._waiting.clear()


class Microphone:
    """Once opened it sends without a pause: what it is told to say, else digital silence.

    Nothing is queued: a frame is with the encoder when `capture_frame` returns, so
    RTP time goes on by 10 ms a frame and the moment of every sample is known.
    """

    def __init__(self) -> None:
        self.source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        self._speeches = Speeches()
        self._pump: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._pump is not None

    def open(self) -> None:
        """Begin to send; before that not a single packet leaves."""
        if self._pump is None:
            self._pump = asyncio.create_task(self._send(), name="microphone")

    async def say(self, pcm: PCM) -> Utterance:
        """Say it after all that was to be said before, and return when its last frame is out."""
        if len(pcm) == 0:
            raise ValueError("nothing to say")
        said = self._speeches.add(frames(pcm, FRAME_SAMPLES), len(pcm))
        self.open()
        return await said

    async def shut(self) -> None:
        """Send nothing more until it is opened again: the track's timestamps stand still."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
            self._pump = None

    async def close(self) -> None:
        """Stop sending; whoever still waits to have said something gets a ConnectionError."""
        await self.shut()
        await self.source.aclose()

    async def _send(self) -> None:
        try:
            async for _ in ticks(_FRAME):
                frame = self._speeches.next()
                await self._push(_SILENCE if frame is None else frame)
        finally:
            self._speeches.fall_silent()

    async def _push(self, pcm: PCM) -> None:
        frame = rtc.AudioFrame(pcm.tobytes(), RATE, 1, FRAME_SAMPLES)
        async with asyncio.timeout(_PUSH_TIMEOUT):
            await self.source.capture_frame(frame)


async def ticks(period: float) -> AsyncIterator[int]:
    """Count in real time, against the beginning and not the last tick: lateness never adds up."""
    begin = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begin + number * period - time.monotonic()))
        yield number


def frames(pcm: PCM, size: int) -> Iterator[PCM]:
    """Cut into pieces of `size` samples; the last one is filled up with silence."""
    for begin in range(0, len(pcm), size):
        piece = pcm[begin : begin + size]
        yield np.pad(piece, (0, size - len(piece)))

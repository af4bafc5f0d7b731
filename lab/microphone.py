"""Sound that enters a room in real time, with the wall-clock moment of every sample."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
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


class Microphone:
    """Once opened it sends without a pause: what it is told to say, else digital silence.

    Nothing is queued: a frame is with the encoder when `capture_frame` returns, so
    RTP time goes on by 10 ms a frame and the moment of every sample is known.
    """

    def __init__(self) -> None:
        self.source = rtc.AudioSource(RATE, 1, queue_size_ms=0)
        self._speeches: deque[_Speech] = deque()
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
        said: asyncio.Future[Utterance] = asyncio.get_running_loop().create_future()
        self._speeches.append(_Speech(_frames(pcm), len(pcm), said))
        self.open()
        return await said

    async def close(self) -> None:
        """Stop sending; whoever still waits to have said something gets a ConnectionError."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        await self.source.aclose()

    async def _send(self) -> None:
        begin = time.monotonic()
        frame = 0
        try:
            while True:
                # Against the beginning, not the last frame: lateness never adds up.
                await asyncio.sleep(max(0.0, begin + frame * _FRAME - time.monotonic()))
                await self._push(self._next())
                frame += 1
        finally:
            self._fall_silent()

    def _fall_silent(self) -> None:
        for speech in self._speeches:
            if not speech.said.done():
                speech.said.set_exception(ConnectionError("closed before all was said"))
        self._speeches.clear()

    def _next(self) -> PCM:
        """The next 10 ms."""
        while self._speeches:
            speech = self._speeches[0]
            frame = next(speech.frames, None)
            if frame is not None:
                speech.pushed_at.append(time.time())
                return frame
            self._speeches.popleft()
            if not speech.said.done():
                speech.said.set_result(Utterance(speech.samples, tuple(speech.pushed_at)))
        return _SILENCE

    async def _push(self, pcm: PCM) -> None:
        frame = rtc.AudioFrame(pcm.tobytes(), RATE, 1, FRAME_SAMPLES)
        async with asyncio.timeout(_PUSH_TIMEOUT):
            await self.source.capture_frame(frame)


def _frames(pcm: PCM) -> Iterator[PCM]:
    """Cut into 10 ms; the last piece is filled up with silence."""
    for begin in range(0, len(pcm), FRAME_SAMPLES):
        piece = pcm[begin : begin + FRAME_SAMPLES]
        yield np.pad(piece, (0, FRAME_SAMPLES - len(piece)))

"""Somebody who only listens, as the SDK hears it: after its jitter buffer and concealment."""

import asyncio
import time
from typing import Any

import numpy as np
from livekit import rtc

from lab.actors import WAIT_TIMEOUT
from lab.participants import Manner, Participant
from lab.sounds import PCM, RATE, levels, silence
from lab.tokens import Rooms

_POLL = 0.05
_FRAME_MS = 20


class Listener(Participant):
    """Subscribes to everybody and keeps what it hears of each, by identity."""

    def __init__(
        self, rooms: Rooms, room: str, *, identity: str = "listener", key: bytes | None = None
    ) -> None:
        manner = Manner(publishes=False, listens=True, key=key)
        super().__init__(rooms, room, identity=identity, manner=manner)
        self._frames: dict[str, list[PCM]] = {}

    async def join(self) -> None:
        self.room.on("track_subscribed", self._subscribed)
        await super().join()

    def heard(self, identity: str) -> PCM:
        """All that came of somebody so far; lost sound is there too, made up by the SDK."""
        frames = self._frames.get(identity, [])
        return np.concatenate(frames) if frames else silence(0)

    async def hears(
        self, identity: str, *, louder_than: float = -50.0, timeout: float = WAIT_TIMEOUT
    ) -> None:
        """Wait until somebody is heard from now on: 0.2 s above a level in dBFS."""
        await self._wait_for_level(identity, timeout, lambda level: level > louder_than)

    async def hears_nothing(
        self, identity: str, *, below: float = -50.0, timeout: float = WAIT_TIMEOUT
    ) -> None:
        """Wait until nothing is heard of somebody from now on: 0.2 s below a level in dBFS."""
        await self._wait_for_level(identity, timeout, lambda level: level < below)

    async def _wait_for_level(self, identity: str, timeout: float, is_wanted: Any) -> None:
        since, window = time.monotonic(), round(0.2 * RATE)
        begin = len(self.heard(identity))
        async with asyncio.timeout(timeout):
            while True:
                await asyncio.sleep(_POLL)
                latest = self.heard(identity)[begin:][-window:]
                if len(latest) == window and is_wanted(float(levels(latest, window=0.2)[0])):
                    self.note("heard", identity=identity, after=time.monotonic() - since)
                    return

    def _subscribed(self, track: Any, _: Any, speaker: Any) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._do(self._listen(track, str(speaker.identity)))

    async def _listen(self, track: Any, identity: str) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=_FRAME_MS)
        frames = self._frames.setdefault(identity, [])
        try:
            async for event in stream:
                frames.append(np.frombuffer(event.frame.data, np.int16).copy())
        finally:
            await stream.aclose()

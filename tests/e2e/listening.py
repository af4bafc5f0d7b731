"""Judging finished recordings by what is in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lab.sounds import RATE


@dataclass(frozen=True, slots=True)
class Heard:
    """A finished file: both sides at 48 kHz, how long its container says it is (seconds), codec."""

    left: NDArray[np.int16]
    right: NDArray[np.int16]
    container_sec: float
    codec: str

    @property
    def decoded_sec(self) -> float:
        """How long it plays."""
        return len(self.left) / RATE


def listen(path: str | Path) -> Heard:
    """Decode a file; a mono one is heard on both sides."""
    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=RATE)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [
            piece.to_ndarray()
            for frame in (*container.decode(stream), None)
            for piece in resampler.resample(frame)
        ]
        length = (container.duration or 0) / av.time_base
        codec = stream.codec_context.name
    sound = np.concatenate(frames, axis=1) if frames else np.zeros((2, 0), np.int16)
    return Heard(sound[0], sound[1], length, codec)


def sides(recording: dict[str, Any]) -> dict[str, list[str]]:
    """Who is on which side of the mix."""
    return {channel["side"]: channel["participants"] for channel in recording["channels"]}


def moment(text: str) -> float:
    """A time of the API in seconds since 1970."""
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()

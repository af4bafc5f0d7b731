"""A sound that is known again wherever it was recorded: a sine that rises evenly.

No two places of it are alike, and it lies where a telephone passes everything.
"""

import io
from typing import Final

import av
import numpy as np

from egress_manager.audio.decode import Sound
from egress_manager.domain.captures import TICKS

#: How long it is. Seconds.
SECONDS: Final = 2.0

_LOW, _HIGH = 400.0, 3400.0
#: Loud enough to be found after any codec. Full scale is 1.
_LEVEL: Final = 0.35
#: It fades in and out, so that it does not click. Seconds.
_EDGE: Final = 0.005
#: What is no sound at all. dBFS.
_FLOOR: Final = -120.0


def chirp() -> Sound:
    """The sound, mono."""
    time = np.arange(round(SECONDS * TICKS)) / TICKS
    phase = 2 * np.pi * (_LOW * time + (_HIGH - _LOW) / (2 * SECONDS) * time**2)
    fade = np.clip(np.minimum(time, SECONDS - time) / _EDGE, 0, 1)
    return (_LEVEL * fade * np.sin(phase)).astype(np.float32)


def likeness(side: Sound, wanted: Sound) -> float:
    """How much of the wanted sound is in it, where it fits best: 1 is all, 0 is nothing."""
    size = 1 << (len(side) + 2 * len(wanted)).bit_length()
    fit = np.fft.irfft(np.fft.rfft(side, size) * np.conj(np.fft.rfft(wanted, size)), size)
    fit = fit[: len(side)]
    if not len(fit):
        return 0.0
    best = int(np.argmax(fit))
    both = np.linalg.norm(side[best : best + len(wanted)]) * np.linalg.norm(wanted)
    return float(fit[best] / both) if both > 0 else 0.0


def loudest(side: Sound) -> float:
    """The level of its loudest sample. dBFS."""
    peak = float(np.max(np.abs(side), initial=0))
    return 20 * np.log10(peak) if peak > 0 else _FLOOR


def read(file: bytes) -> Sound:
    """Both sides of a finished file. Raises `av.FFmpegError` for what is none."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=TICKS)
    with av.open(io.BytesIO(file), "r") as container:
        frames = [
            piece.to_ndarray()
            for frame in (*container.decode(container.streams.audio[0]), None)
            for piece in resampler.resample(frame)
        ]
    return np.concatenate(frames, axis=1) if frames else np.zeros((2, 0), np.float32)

"""What a recording looks like: the loudness of both sides over time, for players and terminals."""

from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

#: Eight heights of a terminal's lane, from nothing to full.
_BARS: Final = " ▁▂▃▄▅▆▇█"

#: The quietest that a terminal shows. dBFS.
_FLOOR: Final = -54.0
_LANES: Final = ("left", "right")


def peaks(path: Path, per_second: float = 100.0) -> NDArray[np.float32]:
    """The largest sample of each span, for each channel: (channels, spans), full scale is 1.

    Raises `av.FFmpegError` for what is no audio file.
    """
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        span = max(1, round(stream.rate / per_second))
        resampler = av.AudioResampler("fltp", stream.layout.name, stream.rate)
        rest = np.zeros((stream.channels, 0), np.float32)
        found = []
        for decoded in container.decode(stream):
            for frame in resampler.resample(decoded):
                rest = np.concatenate((rest, frame.to_ndarray()), axis=1)
            if rest.shape[1] >= span * 64:
                found.append(_largest(rest, span))
                rest = rest[:, rest.shape[1] // span * span :]
        found.append(_largest(rest, span, with_rest=True))
    return np.concatenate(found, axis=1)


def _largest(
    sound: NDArray[np.float32], span: int, *, with_rest: bool = False
) -> NDArray[np.float32]:
    """The peaks of whole spans, and of what is left if that is wanted."""
    channels, length = sound.shape
    if with_rest:
        sound = np.pad(sound, ((0, 0), (0, -length % span)))
    whole = sound.shape[1] // span
    largest: NDArray[np.float32] = (
        np.abs(sound[:, : whole * span]).reshape(channels, whole, span).max(axis=2, initial=0.0)
    )
    return largest


def text_waveform(path: Path, width: int = 72) -> str:
    """Two lanes of bars for a terminal, and the time under them, `width` columns wide.

    left  ▁▃▅▂       ▂▅▃
    right      ▂▆▅▃▁
          0:00       0:12
    """
    lanes = peaks(path, 20.0)
    seconds = lanes.shape[1] / 20.0
    label = max(map(len, _LANES)) + 1
    columns = max(1, width - label)
    names = _LANES if len(lanes) == 2 else tuple("" for _ in lanes)
    lines = [
        f"{name:<{label}}{_bars(lane, columns)}".rstrip()
        for name, lane in zip(names, lanes, strict=True)
    ]
    start, end = _clock(0), _clock(seconds)
    lines.append(" " * label + start + end.rjust(columns - len(start)))
    return "\n".join(lines)


def _bars(lane: NDArray[np.float32], columns: int) -> str:
    """One bar for each column: how loud the loudest moment in it is, in decibels."""
    edges = np.linspace(0, len(lane), columns + 1).astype(int)
    loudest = [lane[a : max(b, a + 1)].max(initial=0.0) for a, b in pairwise(edges)]
    level = 20 * np.log10(np.maximum(loudest, 1e-9))
    height = np.ceil((level - _FLOOR) / -_FLOOR * (len(_BARS) - 1))
    return "".join(_BARS[int(h)] for h in np.clip(height, 0, len(_BARS) - 1))


def _clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"

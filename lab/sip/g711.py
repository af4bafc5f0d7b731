"""The sound of telephones: G.711 mu-law at 8 kHz, to and from 16 bit at 48 kHz."""

import numpy as np
from numpy.typing import NDArray

from lab.sounds import PCM, RATE

#: Samples a second on the line.
LINE_RATE = 8_000
_TIMES = RATE // LINE_RATE
#: The eight segments of the curve double from here on (ITU-T G.711, table 2a, in 16 bit).
_BIAS, _CLIP = 132, 32_635
#: Mixed in before and after, so that the ends of a sound don't ring into each other.
_MARGIN = LINE_RATE // 10
#: Digital silence on the line.
SILENCE = 0xFF


def encode(pcm: PCM) -> bytes:
    """8 bit for each 16 bit sample."""
    wide = pcm.astype(np.int32)
    size = np.minimum(np.abs(wide), _CLIP) + _BIAS
    segment = np.floor(np.log2(size)).astype(np.int32) - 7
    step = (size >> (segment + 3)) & 0x0F
    sign = np.where(wide < 0, 0x80, 0)
    coded: NDArray[np.uint8] = (~(sign | segment << 4 | step) & 0xFF).astype(np.uint8)
    return coded.tobytes()


def decode(coded: bytes) -> PCM:
    """16 bit for each 8 bit sample."""
    return _DECODED[np.frombuffer(coded, np.uint8)]


def narrow(pcm: PCM) -> PCM:
    """48 kHz as 8 kHz: nothing is left above 4 kHz, nothing else is moved."""
    return _resampled(pcm, _MARGIN * _TIMES, 1 / _TIMES)


def widen(pcm: PCM) -> PCM:
    """8 kHz as 48 kHz."""
    return _resampled(pcm, _MARGIN, _TIMES)


def _resampled(pcm: PCM, margin: int, factor: float) -> PCM:
    """As many times the samples, by cutting or filling up the spectrum: no filter, no delay."""
    even = -len(pcm) % _TIMES
    padded = np.pad(pcm.astype(np.float64), (margin, margin + even))
    size = round(len(padded) * factor)
    wave = np.fft.irfft(np.fft.rfft(padded)[: size // 2 + 1], size) * factor
    skipped = round(margin * factor)
    kept = wave[skipped : skipped + round(len(pcm) * factor)]
    limited: PCM = np.clip(np.round(kept), -32768, 32767).astype(np.int16)
    return limited


def _decoded() -> PCM:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = ((((code & 0x0F) << 3) + _BIAS) << ((code & 0x70) >> 4)) - _BIAS
    table: PCM = np.where(code & 0x80, -size, size).astype(np.int16)
    return table


_DECODED = _decoded()

"""Sound in, sound out at its place: follows a clock that is a little off, without being heard.

A stretch whose clock is right goes through untouched. One that is off is made longer or shorter by
single samples, a few in a second, each at the quietest point near it, by a fade from the sound to
the same sound one sample later or earlier. One that is off by more than that can mend is resampled:
its publisher sampled, or played, at another rate than it says.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from egress_manager.audio.decode import Sound
from egress_manager.domain.drift import MOST_DRIFT

#: Nothing is done as long as sound is within this of its place; no placement is better. Samples.
DEAD_BAND: Final = 96

#: Once it is being corrected, it is until it is so near. Samples.
NEAR: Final = 12

#: At most one sample in so many is put in or taken out: 500 ppm.
SPACING: Final = 2000

#: Sound that would still be off by this after single samples is resampled: 2.5 ms. Samples.
RESAMPLED_FROM: Final = 120

#: By at most one sample in this many: the largest drift that is followed, and 10 % to catch up.
RESAMPLED_SPACING: Final = round(1 / (1.1 * MOST_DRIFT))

#: Length of the fade by which one is put in or taken out. Samples.
BLEND: Final = 240


class Slew:
    """How far a stretch is shifted now: its output position minus its granule, in samples."""

    def __init__(self) -> None:
        self.shift = 0
        self._is_correcting = False

    def anchor(self, wanted: float) -> None:
        """Take the wanted shift at once: nothing is to be heard here."""
        self.shift = round(wanted)
        self._is_correcting = False

    def follow(self, sound: Sound, wanted: float) -> Sound:
        """The sound, longer or shorter by what brings the shift nearer to the wanted one."""
        off = round(wanted) - self.shift
        if not self._is_correcting and abs(off) <= DEAD_BAND:
            return sound
        self._is_correcting = abs(off) > NEAR
        most = len(sound) // SPACING
        if abs(off) - most >= RESAMPLED_FROM:
            return self._longer(sound, off, len(sound) // RESAMPLED_SPACING, resampled)
        return self._longer(sound, off, most if self._is_correcting else 0, stretched)

    def _longer(
        self, sound: Sound, off: int, most: int, by: Callable[[Sound, int], Sound]
    ) -> Sound:
        """The sound made longer by `off` samples, `most` at most."""
        count = max(-most, min(most, off))
        self.shift += count
        return by(sound, count) if count else sound


def stretched(sound: Sound, samples: int) -> Sound:
    """The sound made longer (or shorter) by so many samples, each at a quiet point of its share."""
    ramp = np.linspace(0, 1, BLEND, dtype=np.float64)
    share = len(sound) // abs(samples)
    length = len(sound) + samples
    steps = np.zeros(length)
    for n in range(abs(samples)):
        start = n * share + quietest(sound[n * share : (n + 1) * share - BLEND - 1])
        steps[start : start + BLEND] += ramp
        steps[start + BLEND :] += 1
    read_at = np.arange(length) - np.sign(samples) * steps
    moved: Sound = np.interp(read_at, np.arange(len(sound)), sound).astype(np.float32)
    return moved


def resampled(sound: Sound, samples: int) -> Sound:
    """The sound made longer (or shorter) by so many samples, evenly."""
    length = len(sound) + samples
    read_at = np.arange(length) * (len(sound) / length)
    moved: Sound = np.interp(read_at, np.arange(len(sound)), sound).astype(np.float32)
    return moved


def quietest(sound: Sound) -> int:
    """Where the quietest piece of the length of a fade begins."""
    pieces = len(sound) // BLEND
    if pieces < 2:
        return 0
    loudness = np.abs(sound[: pieces * BLEND]).reshape(pieces, BLEND).sum(axis=1)
    return int(loudness.argmin()) * BLEND

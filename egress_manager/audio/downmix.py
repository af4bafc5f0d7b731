"""Several channels -> one in which all of their sound is heard, whatever their phases are.

A plain average loses what is in opposite phase: a microphone whose wires are swapped, or every
second stripe of the spectrum where one channel is late. So each frequency is looked at by itself:
where the sum of two channels would cancel, their difference is taken, and both are made as loud as
the two together. What is the same in all channels comes out as it is.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from egress_manager.audio.decode import Sound

#: Sound is looked at in frames of 20 ms, one every 10 ms. Samples.
FRAME: Final = 960
STEP: Final = FRAME // 2

#: Phases and powers are averaged over some 70 ms: this part of them is new in each step.
NEW: Final = 0.15

#: A sum cancels where it has less than half the power of its parts; a difference does as soon as it
#: has less than them. So music, whose channels agree in nothing, is summed and stays so.
CANCELS: Final = np.float32(-0.5)
AGREES: Final = np.float32(0)

#: A frame that keeps less than this part of its power is not averaged with those before it: the
#: phases have changed at once.
LOST: Final = 0.2

#: Below this power there is nothing, and nothing to divide by.
_NOTHING: Final = 1e-20

_PLUS, _MINUS = np.float32(1), np.float32(-1)

#: Both before and after: the squares of two of them that overlap add up to one.
_WINDOW: Final = np.sin(np.pi * (np.arange(FRAME) + 0.5) / FRAME).astype(np.float32)

Spectra = NDArray[np.complexfloating[Any, Any]]
Numbers = NDArray[np.floating[Any]]


class Downmix:
    """Makes one channel of however many there are, as the sound comes.

    `pending` samples are not out yet: at most a frame. A single channel goes through untouched.
    """

    def __init__(self) -> None:
        self.pending = 0
        self._pairs: list[Pair] = []
        self._begin(1)

    def add(self, sound: Sound) -> Sound:
        """Take more of the sound, (channels, n) or (n,); what is known of the one channel now."""
        if sound.ndim == 1:
            sound = sound[None]
        if len(sound) != len(self._given):
            before = self.rest()
            self._pairs = [Pair() for _ in range(len(sound) - 1)]
            self._begin(len(sound))
            return np.concatenate((before, self.add(sound)))
        return self._joined(sound) if self._pairs else sound[0]

    def rest(self) -> Sound:
        """What is pending. What is added afterwards does not go on with it."""
        if not self.pending:
            return np.zeros(0, np.float32)
        pending, channels = self.pending, len(self._given)
        rest = self._joined(np.zeros((channels, FRAME), np.float32))[:pending]
        self._begin(channels)
        return rest

    def _begin(self, channels: int) -> None:
        """As if there had been silence: half a frame of it comes out first, and is left out."""
        self.pending = 0
        self._lead = STEP
        self._given: Sound = np.zeros((channels, STEP), np.float32)
        self._made: Sound = np.zeros(STEP, np.float32)

    def _joined(self, sound: Sound) -> Sound:
        """Several channels as one, as far as whole frames go."""
        self.pending += sound.shape[1]
        given = np.concatenate((self._given, sound), axis=1)
        count = max(0, given.shape[1] // STEP - 1)
        self._given = given[:, count * STEP :]
        made = np.concatenate((self._made, np.zeros(count * STEP, np.float32)))
        for half, part in enumerate(self._halves(given, count)):
            made[half * STEP : (half + count) * STEP] += part
        self._made = made[count * STEP :]
        ready = made[self._lead : count * STEP]
        self._lead -= min(self._lead, count * STEP)
        self.pending -= len(ready)
        return ready

    def _halves(self, given: Sound, count: int) -> tuple[Sound, Sound]:
        """The first and the second halves of so many frames of the one channel."""
        steps = given[:, : (count + 1) * STEP].reshape(len(given), count + 1, STEP)
        frames = np.concatenate((steps[:, :-1], steps[:, 1:]), axis=2)
        one, *others = np.fft.rfft(frames * _WINDOW)
        for pair, other in zip(self._pairs, others, strict=True):
            one = pair.joined(one, other)
        joined = np.fft.irfft(one, FRAME) * (_WINDOW * np.float32(1 / np.sqrt(len(given))))
        return joined[:, :STEP].reshape(-1), joined[:, STEP:].reshape(-1)


class Pair:
    """Two channels that become one: what is known of their phases, by frequency."""

    def __init__(self) -> None:
        self._power: Numbers = np.zeros(FRAME // 2 + 1, np.float32)
        self._common: Numbers = np.zeros(FRAME // 2 + 1, np.float32)
        self._sign: Numbers = np.ones(FRAME // 2 + 1, np.float32)

    def joined(self, one: Spectra, other: Spectra) -> Spectra:
        """Their sum or difference, frame by frame (frames, frequencies); as loud as both."""
        powers = _squared(one) + _squared(other) + np.float32(_NOTHING)
        commons = 2 * (one.real * other.real + one.imag * other.imag)
        signs, gains = np.empty_like(powers), np.empty_like(powers)
        least = np.float32(LOST) * powers.sum(axis=1)
        for n, (power, common) in enumerate(zip(powers, commons, strict=True)):
            is_lost = (power + self._sign * common).sum() < least[n]
            self._learn(power, common, np.float32(1 if is_lost else NEW))
            signs[n] = self._sign
            np.divide(self._power, self._power + self._sign * self._common, out=gains[n])
        return np.sqrt(gains) * (one + signs * other)

    def _learn(self, power: Numbers, common: Numbers, new: np.float32) -> None:
        """Take in what one frame tells."""
        self._power = self._power * (1 - new) + power * new
        self._common = self._common * (1 - new) + common * new
        limit = np.where(self._sign > 0, CANCELS, AGREES) * self._power
        self._sign = np.where(self._common < limit, _MINUS, _PLUS)


def _squared(spectra: Spectra) -> Numbers:
    """The powers of spectra."""
    return np.square(spectra.real) + np.square(spectra.imag)

"""Where the sound of a track is found in the mix: how late, and how alike, from window to window.

Compared are levels, not samples: they are the same whatever codec they went through, and a window
of some seconds of speech fits in one place only, to a millisecond.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from egress_manager.audio.levels import RATE, SILENCE, Levels, power_of
from egress_manager.domain.evidence import Lag
from egress_manager.domain.pace import FOUND

#: What is looked for at once. Seconds: long enough to hold several words.
WINDOW: Final = 8.0

#: Windows are at least so far apart, and there are at most so many, however long the call. Seconds.
EVERY: Final = 4.0
MOST: Final = 120

#: The beginning is looked at more closely: so many seconds from the first sound on, in windows of
#: this length and distance. Seconds.
BEGINNING: Final = 12.0
SHORT_WINDOW: Final = 1.0
SHORT_EVERY: Final = 0.25
#: One with sound for less is not looked for: a single packet fits at any speed. Seconds.
SHORT_SOUND: Final = 0.1

#: How far from its place a window is looked for, and how far where it is not found there. Seconds.
NEAR: Final = 0.5
FAR: Final = 6.0

#: Of what is heard at the same time on the same side there may be so much: -15 dB.
ALONE: Final = 0.03

#: A window without changes of at least this much is everywhere alike. Decibels.
CHANGES: Final = 4.0

#: A window of the beginning that is less alike is looked for at other speeds, too; they are
#: believed where that makes it so much more alike.
PACED_BELOW: Final = 0.97
PACES: Final = (1.03, 1.06, 1.1, 1.15, 1.2, 0.97, 0.94, 0.9, 0.85)
GAIN: Final = 0.02

#: So many levels are one where the whole of a track is looked for: 20 ms.
COARSE: Final = 4


@dataclass(frozen=True, slots=True)
class Sought:
    """A track that is looked for in a channel of the mix.

    `others` is the power of what else is on that side at the track's own rows: a window in which
    somebody else is to be heard as well is not looked for. `begins_sec`: where it ought to begin;
    `other_channel`: where it ought not to be.
    """

    levels: Levels
    others: Levels
    channel: Levels
    other_channel: Levels
    begins_sec: float

    def lags(self, about: float = 0.0) -> tuple[Lag, ...]:
        """How much later than its place each window of the track is found.

        It is looked for near a lag of `about` seconds, and farther off where it is not there.
        """
        if not len(self.levels):
            return ()
        width = min(round(WINDOW * RATE), len(self.levels))
        every = max(EVERY, len(self.levels) / RATE / MOST)
        last = len(self.levels) - width
        starts = np.unique(np.append(np.arange(0, last + 1, round(every * RATE)), last))
        return tuple(self._found(starts, width, Search(self.channel, about, far=FAR)))

    def first_lags(self, about: float = 0.0) -> tuple[Lag, ...]:
        """The same for the beginning, as closely as can be, and at other speeds."""
        width = round(SHORT_WINDOW * RATE)
        loud = np.flatnonzero(self.levels > SILENCE)
        if not len(loud):
            return ()
        first = max(0, int(loud[0]) - width // 4)
        end = min(first + round(BEGINNING * RATE), len(self.levels)) - width + 1
        starts = np.arange(first, end, round(SHORT_EVERY * RATE))
        heard = np.searchsorted(loud, starts + width) - np.searchsorted(loud, starts)
        starts = starts[heard >= SHORT_SOUND * RATE]
        return tuple(self._found(starts, width, Search(self.channel, about, paces=PACES)))

    def _found(self, starts: NDArray[np.int64], width: int, search: "Search") -> Iterator[Lag]:
        """Each window that has something to be found by, where it is found."""
        for start in starts:
            window = np.clip(self.levels[start : start + width], SILENCE, 0)
            pattern = window - window.mean()
            if len(pattern) < width or pattern.std() < CHANGES:
                continue
            power = float(power_of(window).sum())
            if float(self.others[start : start + width].sum()) > ALONE * power:
                continue
            yield search.run(pattern, float(start) / RATE + self.begins_sec)


def begins_at(track: Levels, channel: Levels) -> float | None:
    """Where the whole of a track fits best, if it fits anywhere."""
    pattern, place = _coarse(track), _coarse(channel)
    if not pattern.any() or not place.any():
        return None
    size = 1 << (len(pattern) + len(place)).bit_length()
    fit = np.fft.irfft(np.fft.rfft(place, size) * np.conj(np.fft.rfft(pattern, size)), size)
    best = int(fit.argmax())
    score = fit[best] / np.sqrt(float(pattern @ pattern) * float(place @ place))
    shift = best if best < len(place) else best - size
    return shift * COARSE / RATE if score > FOUND / 2 else None


def _coarse(levels: Levels) -> NDArray[np.float64]:
    """Levels of 20 ms, without their mean."""
    whole = np.clip(levels[: len(levels) // COARSE * COARSE], SILENCE, 0).reshape(-1, COARSE)
    coarse: NDArray[np.float64] = whole.max(axis=1).astype(np.float64)
    return coarse - np.float64(coarse.mean()) if len(coarse) else coarse


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look: in this channel, about so much later than the place that is said.

    `far`: how far to look where nothing is found near by; None: not at all. `paces`: the speeds at
    which it may be there.
    """

    channel: Levels
    about: float = 0.0
    far: float | None = None
    paces: Sequence[float] = ()

    def run(self, pattern: Levels, at: float) -> Lag:
        """Where a pattern that belongs at a time is found."""
        lag, likeness = _best(pattern, self.channel, at + self.about, NEAR)
        if likeness < FOUND and self.far is not None:
            wide = _best(pattern, self.channel, at + self.about, self.far)
            lag, likeness = wide if wide[1] >= FOUND else (lag, likeness)
        found = Lag(round(at, 3), round(lag + self.about, 4), round(likeness, 3))
        return self._at_its_pace(pattern, found)

    def _at_its_pace(self, pattern: Levels, found: Lag) -> Lag:
        """The same window at the speed at which it is most alike."""
        if found.likeness >= PACED_BELOW:
            return found
        for pace in self.paces:
            moments = np.arange(int(len(pattern) / pace)) * pace
            quick = np.interp(moments, np.arange(len(pattern)), pattern).astype(np.float32)
            quick -= quick.mean()
            lag, likeness = _best(quick, self.channel, found.at_sec + self.about, NEAR)
            if likeness > max(found.likeness, FOUND) + GAIN:
                found = Lag(found.at_sec, round(lag + self.about, 4), round(likeness, 3), pace)
        return found


def _best(pattern: Levels, channel: Levels, at: float, slack: float) -> tuple[float, float]:
    """How late a pattern that belongs at a time is found there, and how alike: -1 to 1."""
    width, most = len(pattern), round(slack * RATE)
    first = round(at * RATE) - most
    last = first + width + 2 * most
    part = np.clip(channel[max(0, first) : max(0, last)], SILENCE, 0)
    before = min(max(0, -first), last - first)
    part = np.pad(part, (before, last - first - before - len(part)), constant_values=SILENCE)
    fit: NDArray[np.float64] = np.correlate(part, pattern, "valid") / _spread(part, width)
    fit /= float(np.sqrt(pattern @ pattern)) + 1e-6
    best = int(fit.argmax())
    lag = (first + best + _vertex(fit, best)) / RATE - at
    return lag, float(fit[best])


def _spread(part: Levels, width: int) -> NDArray[np.float64]:
    """The norm of every window of a part, each without its mean."""
    sums = np.cumsum(np.concatenate(([0.0], part.astype(np.float64))))
    squares = np.cumsum(np.concatenate(([0.0], part.astype(np.float64) ** 2)))
    total, square = sums[width:] - sums[:-width], squares[width:] - squares[:-width]
    spread: NDArray[np.float64] = np.sqrt(np.maximum(square - total**2 / width, 1.0))
    return spread


def _vertex(fit: NDArray[np.float64], best: int) -> float:
    """The top of a parabola through three values, in steps from the middle one."""
    if not 0 < best < len(fit) - 1:
        return 0.0
    left, top, right = (float(value) for value in fit[best - 1 : best + 2])
    bend = left - 2 * top + right
    return 0.5 * (left - right) / bend if bend else 0.0

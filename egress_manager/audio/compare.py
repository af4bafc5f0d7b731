"""A channel of the mix beside what its tracks have at the same time, in levels.

Made by the product itself, the two differ by less than 3 dB in every 20 ms, whatever the codecs and
the packets that were lost (measured on all the kinds of calls that the tests make up).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from egress_manager.audio.hear import Listened
from egress_manager.audio.levels import FLOOR, RATE, SILENCE, TOPPED, Levels, Tops, dbfs, power_of
from egress_manager.audio.lineup import WINDOW
from egress_manager.domain.evidence import BOTH, SIDES, Lag, SideEvidence, Span
from egress_manager.domain.pace import FOUND, steady

#: Levels are compared in frames of so many: 20 ms.
COARSE: Final = 4
FRAMES: Final = RATE / COARSE

#: A frame may be so many frames off: 40 ms, for a track is put right where it is quiet.
REACH: Final = 2

#: By so much one has sound where the other has not, and within so much they agree. Decibels.
APART: Final = 12.0
AGREES: Final = 6.0

#: Fewer frames in a row are no finding of their own: with the reach on both sides, 0.12 s of sound.
FEWEST: Final = 2

#: Foreign sound is told as one over pauses of up to this. Seconds.
PAUSE: Final = 2.0

#: Levels are only compared where there is sound of so many frames: half a second.
ENOUGH: Final = 25

#: A decoder that was in silence has the right level after so many frames: 0.3 s. A packet that was
#: made for what came before the silence is up to 38 dB too quiet (measured).
SETTLED: Final = 15
#: Below this level a track is still: what rings on in its decoder is at -90 to -120. It is awake
#: again well above that, or it would never be where a line hisses at that level. dBFS.
STILL: Final = -90.0
AWAKE: Final = -80.0

#: The loudest moments of a track are this part of all, and at least so many frames; of fewer that
#: are loud in the mix too a median is chance. What is shorter has none: frames, 0.8 s.
LOUDEST: Final = 0.05
FEWEST_LOUD: Final = 8
FEWEST_LOUD_IN_BOTH: Final = 4
SHORTEST_BENT: Final = 40

#: What is quieter by this is no level, but a hole. Decibels.
HOLE: Final = 40.0

#: Correlation needs sound that changes by this, or everything is alike. Decibels.
CHANGES: Final = 3.0

#: A voice is there from this level on. dBFS.
VOICE: Final = -30.0

#: A leak is measured over spans of this length. Seconds.
LEAK_SPAN: Final = 10.0
#: Where one channel is so loud (dBFS), and the other ought to be so much quieter (dB).
LEAK_FROM: Final = -40.0
LEAK_APART: Final = 30.0
#: Weaker ones are not told: decibels.
FAINTEST_LEAK: Final = -60.0

#: Both channels are the same where so much of them is common, and their levels differ by so little.
SAME: Final = 0.98
SAME_DB: Final = 1.0
SAME_FROM: Final = -55.0

#: More spans than these are not told one by one.
MOST_SPANS: Final = 100

Flags = NDArray[np.bool_]
Number = TypeVar("Number", np.float32, np.uint8, np.bool_)


@dataclass(frozen=True, slots=True)
class Placed:
    """A track's levels (one channel) and tops, and where it is found in the mix."""

    side: str
    levels: Levels
    tops: Tops
    begins_sec: float
    lags: tuple[Lag, ...]

    def rows(self, count: int) -> NDArray[np.int64]:
        """For each row of the mix, which of the track's rows is heard there."""
        found = steady(self.lags)
        rows = np.arange(count)
        if not found:
            return rows - round(self.begins_sec * RATE)
        middle = [(lag.at_sec + lag.lag_sec + WINDOW / 2) * RATE for lag in found]
        late = np.interp(rows, middle, [lag.lag_sec * RATE for lag in found])
        return np.round(rows - self.begins_sec * RATE - late).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the tracks of one side have, by the rows of the mix.

    `tops` as in `Listened`; `voices` is how many tracks have a voice; `wakes` is near where one of
    them comes out of silence, and may be too quiet.
    """

    power: Levels
    tops: Tops
    voices: NDArray[np.int8]
    wakes: Flags


def expected(placed: Sequence[Placed], side: str, count: int) -> Expected:
    """Sum up the tracks that are heard on a side."""
    power = np.zeros(count, np.float32)
    tops = np.zeros(count, np.uint8)
    voices = np.zeros(count, np.int8)
    wakes = np.zeros(count, np.bool_)
    for track in placed:
        if track.side not in (side, BOTH) or not len(track.levels):
            continue
        rows = track.rows(count)
        is_there = (rows >= 0) & (rows < len(track.levels))
        levels = track.levels[rows[is_there]]
        power[is_there] += power_of(levels)
        tops[is_there] = np.maximum(tops[is_there], track.tops[rows[is_there]])
        voices[is_there] += levels > VOICE
        wakes[is_there] |= (levels > AWAKE) & ~_has_sounded(levels, STILL, SETTLED * COARSE)
    return Expected(power, tops, voices, _spread(wakes))


def sides(mix: Listened, placed: Sequence[Placed], count: int) -> tuple[SideEvidence, ...]:
    """Both sides of a mix, over so many rows; what the mix lacks of them counts as silent."""
    channels = [_to(channel, count, FLOOR) for channel in mix.levels]
    tops = [_to(channel, count, 0) for channel in mix.tops]
    wanted = [expected(placed, side, count) for side in SIDES]
    return tuple(
        _side(
            SIDES[n],
            wanted[n],
            channels[n],
            channels[1 - n],
            tops[n],
            leaks(n, mix, wanted[n] if placed else None),
        )
        for n in range(2)
    )


def _side(
    side: str,
    wanted: Expected,
    channel: Levels,
    other: Levels,
    tops: Tops,
    leaked: tuple[Span, ...],
) -> SideEvidence:
    """One side."""
    e, m, o = coarse(dbfs(wanted.power)), coarse(channel), coarse(other)
    e_low, e_high, m_low, m_high = lowest(e), highest(e), lowest(m), highest(m)
    alike = likeness(m, e)
    level, bent = _levels(e, m, wanted.voices) if (alike or 0.0) >= FOUND else (None, None)
    usual = level or 0.0
    agrees = (e > SILENCE) & (m > SILENCE + usual) & (np.abs(m - e - usual) < AGREES)
    missing = (e_low > SILENCE) & (m_high < e_low + usual - APART)
    foreign = (m_low > SILENCE) & (e_high < m_low - usual - APART)
    return SideEvidence(
        side=side,
        expected_sec=round(float((e > SILENCE).sum()) / FRAMES, 2),
        last_sec=round(float(np.flatnonzero(e > SILENCE)[-1] + 1) / FRAMES, 2)
        if (e > SILENCE).any()
        else 0.0,
        missing_share=round(float(missing.sum()) / max(1.0, float((e_low > SILENCE).sum())), 3),
        likeness=alike,
        crossed=likeness(o, e),
        level_db=level,
        bent_db=bent,
        missing=spans(missing, agrees, e, pause=np.inf),
        foreign=spans(foreign, agrees, m, pause=PAUSE),
        clipped=_clipped(tops, channel, wanted),
        leaks=leaked,
    )


def coarse(levels: Levels) -> Levels:
    """Levels of 20 ms from levels of 5 ms."""
    whole = levels[: len(levels) // COARSE * COARSE].reshape(-1, COARSE)
    return dbfs(power_of(whole).mean(axis=1))


def lowest(levels: Levels) -> Levels:
    """The lowest level within reach of each frame."""
    found = levels.copy()
    for n in range(1, REACH + 1):
        np.minimum(found[n:], levels[:-n], out=found[n:])
        np.minimum(found[:-n], levels[n:], out=found[:-n])
    return found


def highest(levels: Levels) -> Levels:
    """The highest level within reach of each frame."""
    return -lowest(-levels)


def likeness(one: Levels, other: Levels) -> float | None:
    """How alike two are, -1 to 1; None where the second is the same all along."""
    if not len(other):
        return None
    a, b = (x - x.mean() for x in (np.clip(one, SILENCE, 0), np.clip(other, SILENCE, 0)))
    if b.std() < CHANGES:
        return None
    both = float(np.linalg.norm(a) * np.linalg.norm(b))
    return round(float(a @ b) / both, 3) if a.std() >= CHANGES / 3 else 0.0


def spans(found: Flags, against: Flags, levels: Levels, *, pause: float) -> tuple[Span, ...]:
    """The spans of frames that were found, over pauses in which nothing speaks against them.

    The amount is the level there. The frames at the edges were not found for the reach.
    """
    at = np.flatnonzero(found | against)
    if not found.any():
        return ()
    is_found = found[at]
    breaks = (np.diff(at) > pause * FRAMES) | (np.diff(is_found.astype(np.int8)) != 0)
    told = [
        Span(
            round(max(0, int(run[0]) - REACH) / FRAMES, 2),
            round(min(len(found), int(run[-1]) + REACH + 1) / FRAMES, 2),
            round(float(levels[run].mean()), 1),
        )
        for run in np.split(at, np.flatnonzero(breaks) + 1)
        if len(run) >= FEWEST and found[run[0]]
    ]
    return tuple(sorted(told, key=lambda span: -span.seconds)[:MOST_SPANS])


def leaks(side: int, mix: Listened, wanted: Expected | None) -> tuple[Span, ...]:
    """Where the other channel is heard on this one: spans of 10 s, and how loud, in dB of it."""
    mine, other = (power_of(mix.levels[n]) for n in (side, 1 - side))
    quiet = mine if wanted is None else _to(wanted.power, len(mine), 0.0)
    part = 10 ** (-LEAK_APART / 10) if wanted is not None else 0.5
    looked_at = (other > 10 ** (LEAK_FROM / 10)) & (_spread(quiet) < other * part)
    if wanted is not None:
        looked_at &= ~_to(wanted.wakes, len(mine), False)
    size = round(LEAK_SPAN * RATE)
    found = []
    for start in range(0, len(mine), size):
        rows = np.flatnonzero(looked_at[start : start + size]) + start
        if len(rows) < ENOUGH * COARSE:
            continue
        share = abs(float(mix.common[rows].sum())) / float(other[rows].sum())
        decibels = 20 * float(np.log10(max(share, 1e-9)))
        if decibels > FAINTEST_LEAK:
            end = min(start + size, len(mine))
            found.append(Span(start / RATE, end / RATE, round(decibels, 1)))
    return tuple(sorted(found, key=lambda span: -span.amount)[:MOST_SPANS])


def same_share(mix: Listened) -> float:
    """In which part of its sound both channels are the same."""
    left, right = mix.levels[:2]
    heard = np.maximum(left, right) > SAME_FROM
    if not heard.any():
        return 0.0
    common = mix.common[heard] / np.sqrt(np.power(10, (left + right)[heard] / 10))
    same = (common > SAME) & (np.abs(left - right)[heard] < SAME_DB)
    return round(float(same.mean()), 3)


def _levels(e: Levels, m: Levels, voices: NDArray[np.int8]) -> tuple[float | None, float | None]:
    """How much louder the mix is, and how much less so in its loudest moments, in decibels.

    Where several voices are summed, the limiter may be at work: not in these.
    """
    alone = voices[: len(e) * COARSE].reshape(-1, COARSE).max(axis=1) <= 1
    frames = alone & (e > max(SILENCE + AGREES, float(e.max(initial=FLOOR)) - 25)) & (m > e - HOLE)
    frames &= _has_sounded(e, SILENCE, SETTLED)
    if frames.sum() < ENOUGH:
        return None, None
    return round(float(np.median((m - e)[frames])), 2), _bent(e[frames], m[frames])


def _has_sounded(levels: Levels, above: float, count: int) -> Flags:
    """Where something has been louder than that for more than so many levels."""
    rows = np.arange(len(levels))
    quiet = np.maximum.accumulate(np.where(levels <= above, rows, -count - 1))
    sounded: Flags = rows - quiet > count
    return sounded


def _bent(e: Levels, m: Levels) -> float | None:
    """How much louder the mix is in its loudest moments than usually, in decibels.

    What is loud in the track alone does not count: a decoder that comes out of a hole may be too
    loud as well, and whatever bends the mix leaves its loudest moments the loudest.
    """
    if len(e) < SHORTEST_BENT:
        return None
    part = max(LOUDEST, FEWEST_LOUD / len(e))
    loud = (e >= np.quantile(e, 1 - part)) & (m >= np.quantile(m, 0.75))
    if loud.sum() < FEWEST_LOUD_IN_BOTH:
        return None
    usual = e <= np.quantile(e, 0.7)
    return round(float(np.median((m - e)[loud]) - np.median((m - e)[usual])), 2)


def _clipped(tops: Tops, channel: Levels, wanted: Expected) -> tuple[Span, ...]:
    """Where the mix has reached full scale, and no track of that side has; amounts in seconds."""
    too_quiet = wanted.wakes & (dbfs(wanted.power) < channel - AGREES)
    beyond = (_spread(wanted.tops) >= TOPPED / 2) | too_quiet
    rows = np.flatnonzero((tops >= TOPPED) & ~beyond & (wanted.voices <= 1))
    if not len(rows):
        return ()
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > RATE / 2) + 1)
    told = [Span(int(run[0]) / RATE, (int(run[-1]) + 1) / RATE, len(run) / RATE) for run in runs]
    return tuple(sorted(told, key=lambda span: -span.amount)[:MOST_SPANS])


def _spread(values: NDArray[Number]) -> NDArray[Number]:
    """The largest value within 40 ms of each row."""
    found = values.copy()
    for n in range(1, 2 * COARSE + 1):
        np.maximum(found[n:], values[:-n], out=found[n:])
        np.maximum(found[:-n], values[n:], out=found[:-n])
    return found


def _to(values: NDArray[Number], count: int, rest: float) -> NDArray[Number]:
    """So many values: cut, or filled up."""
    kept = values[:count]
    return np.pad(kept, (0, count - len(kept)), constant_values=rest)

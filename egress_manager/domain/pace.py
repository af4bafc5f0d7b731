"""How a track runs beside the mix: where it lies, whether it drifts, jumps, or begins too fast.

Pure. Lags are how much later than its place a track is found in the mix: see `evidence.Lag`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from egress_manager.domain.evidence import Lag, Span, TrackEvidence

#: A window that is less like what it was looked for in was not found. Speech that went through two
#: codecs and lost packets is still at 0.95; that of another call reaches 0.6.
FOUND: Final = 0.8

#: Neighbours that are found within this of each other are where they are for certain. Seconds.
STEADY: Final = 0.05

#: Where another voice is heard as well, windows are only this alike; so many have to agree.
SOMEWHAT: Final = 0.5
AGREEING: Final = 3

#: Windows of one second fit by chance in more than one place. 3 % faster, they are still at 0.95.
ALIKE_SHORT: Final = 0.92

#: A line needs so many windows, over so many seconds.
FEWEST: Final = 4
SHORTEST: Final = 30.0

#: Neighbouring windows that agree to this say the same. Seconds.
SAME: Final = 0.02

#: A ramp is told from a step by so many windows that lie between its two ends, or by so many that
#: are more alike at another speed. At its end a ramp is over but for this part.
BETWEEN: Final = 3
FEWEST_PACED: Final = 2
PACED: Final = 0.02
#: A ramp of 3 % changes the lag by 15 ms from the first window to the third, half a second later.
FLAT: Final = 3
LEVEL: Final = 0.008
OVER: Final = 0.15


@dataclass(frozen=True, slots=True)
class Pace:
    """A track's place in the mix.

    `offset_sec` is its median lag, `drift_ppm` how much it falls behind, `span_sec` over how long
    that was seen; `steps` are where it changes at once, the amount in seconds. `ramp` is a
    beginning in which it catches up (or falls behind) bit by bit, the amount in seconds.
    """

    offset_sec: float
    drift_ppm: float
    span_sec: float
    steps: tuple[Span, ...] = ()
    ramp: Span | None = None


def pace(track: TrackEvidence) -> Pace | None:
    """What a track's lags tell; None where it was found nowhere."""
    found = steady(track.lags)
    if not found:
        return None
    slope = _slope(found)
    return Pace(
        offset_sec=round(median(lag.lag_sec for lag in found), 4),
        drift_ppm=round(slope * 1e6, 1),
        span_sec=round(found[-1].at_sec - found[0].at_sec, 1),
        steps=tuple(_steps(found)),
        ramp=_ramp(track.first_lags, found),
    )


def steady(lags: Sequence[Lag]) -> tuple[Lag, ...]:
    """The windows that were found, without those in a place where no neighbour is.

    Where few were found, those count that are somewhat alike and agree with most others.
    """
    found = [lag for lag in lags if lag.likeness >= FOUND]
    if 2 * len(found) < len(lags):
        middle = median(lag.lag_sec for lag in lags)
        near = [x for x in lags if abs(x.lag_sec - middle) < STEADY and x.likeness >= SOMEWHAT]
        if 2 * len(near) > len(lags) >= AGREEING:
            return tuple(near)
    if len(found) < AGREEING:
        return tuple(found)
    agree = [abs(b.lag_sec - a.lag_sec) < STEADY for a, b in pairwise(found)]
    return tuple(
        lag
        for lag, before, after in zip(found, [False, *agree], [*agree, False], strict=True)
        if before or after
    )


def _slope(found: Sequence[Lag]) -> float:
    """The median slope of all pairs: a few windows in a wrong place do not move it."""
    if len(found) < FEWEST or found[-1].at_sec - found[0].at_sec < SHORTEST:
        return 0.0
    return median(
        (b.lag_sec - a.lag_sec) / (b.at_sec - a.at_sec)
        for n, a in enumerate(found)
        for b in found[n + 1 :]
    )


def _steps(found: Sequence[Lag]) -> list[Span]:
    """Where the lag changes from one value that lasts to another."""
    steps = []
    level = found[0]
    for before, after in pairwise(found):
        if abs(after.lag_sec - before.lag_sec) > SAME:
            continue
        change = before.lag_sec - level.lag_sec
        if abs(change) > SAME:
            steps.append(Span(level.at_sec, after.at_sec, round(change, 3)))
        level = after
    return steps


def _ramp(first: Sequence[Lag], found: Sequence[Lag]) -> Span | None:
    """The part of the beginning in which the lag goes from one value to another, bit by bit."""
    close = [lag for lag in first if lag.likeness >= ALIKE_SHORT]
    if len(close) < FEWEST:
        return None
    later = [lag.lag_sec for lag in found if lag.at_sec > close[-1].at_sec]
    final = median(later) if later else median(lag.lag_sec for lag in close[-FEWEST:])
    away = [lag.lag_sec - final for lag in close]
    whole = max(away, key=abs)
    if abs(whole) <= SAME or _is_level(close[:FLAT]):
        return None
    parts = [value / whole for value in away]
    until = next((n for n, part in enumerate(parts) if abs(part) < OVER), len(parts))
    between = sum(OVER <= part <= 1 - OVER for part in parts[:until])
    paced = sum(abs(lag.pace - 1) > PACED for lag in close[: until + 1])
    if until == len(parts) or (between < BETWEEN and paced < FEWEST_PACED):
        return None
    return Span(close[0].at_sec, close[until].at_sec, round(whole, 3))


def _is_level(first: Sequence[Lag]) -> bool:
    """Whether the first windows have all the same lag: what changes later is no ramp."""
    places = [lag.lag_sec for lag in first]
    return max(places) - min(places) < LEVEL and all(lag.pace == 1 for lag in first)

"""How much a publisher's clock differs from ours: the slope of its delays over its timestamps.

A packet can't come before it was sent, only later. So the least-delayed packets lie along a line,
and all others lie above it. The slope of that line is the drift. A sender report's clock may be an
hour wrong, but its pace is good: if it fits the arrivals, it gives the slope.

Pure. Times are seconds, granules are ticks of 1/48000 s.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final, NamedTuple

#: The most by which a publisher's clock may be off and still be followed: 2 %, and a little more,
#: because what is measured of a clock that is off by just that scatters around it.
MOST_DRIFT: Final = 0.021

#: Sound cards are off by at most some hundred parts in a million. More needs more evidence.
USUAL_DRIFT: Final = 500e-6

#: A shorter stretch is taken as if its clock were right: 100 ppm are 4 ms in it. Seconds.
SHORTEST_FOR_DRIFT: Final = 40.0

#: A larger drift is measured only if it moves the end by this, and within a stretch of this length.
#: Seconds.
LEAST_SHIFT: Final = 0.02
SHORTEST_FOR_LARGE_DRIFT: Final = 4.0

#: The share of all windows that has to lie along one line for a larger drift to be believed.
LARGE_AGREEMENT: Final = 0.8

#: What comes later, or earlier, than any clock explains, and by this, is a step: a route that has
#: changed, a counter that stood still. Seconds.
STEP: Final = 0.04

#: So near to the line a window's least-delayed arrival has to be to speak for it. Seconds.
NEAR: Final = 0.006

#: Sender reports are made up from the last frame's time, so they scatter more. Seconds.
NEAR_REPORTS: Final = 0.02

#: The pace of the reports is believed if this share of the windows near the best line is near its.
AGREEMENT: Final = 0.8

_SHORTEST_WINDOW: Final = 0.5
_MOST_WINDOWS: Final = 120
_FEWEST_REPORTS: Final = 5
_FEWEST_WINDOWS: Final = 8
_MOST_PAIRS: Final = 100
_MOST_PARTS_TRIED: Final = 3


class Point(NamedTuple):
    """`x`: seconds into the stretch by its timestamps; `y`: by how many a clock is ahead of it."""

    x: float
    y: float


def large(points: Sequence[Point]) -> float:
    """The slope of a clock that is off by more than `USUAL_DRIFT`; 0 if there is no such drift.

    It is believed only if nearly all of the stretch lies along one line of that slope, or along
    several, with steps between them. `points` are in order of `x`.
    """
    if not points:
        return 0.0
    of_one = _common_slope([lowest(points)])
    if of_one is not None:
        return of_one
    return _common_slope([lowest(part) for part in _unbroken(points)]) or 0.0


def _unbroken(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """The points between steps."""
    steps = [
        n
        for n, (one, other) in enumerate(pairwise(points), 1)
        if abs(other.y - one.y) > MOST_DRIFT * (other.x - one.x) + STEP
    ]
    for start, end in pairwise([0, *steps, len(points)]):
        yield points[start:end]


def _common_slope(parts: Sequence[Sequence[Point]]) -> float | None:
    """The slope that parts of a stretch share; 0 if it is usual, None if there is none."""
    long = sorted((part for part in parts if _is_long(part)), key=_span, reverse=True)
    least = LARGE_AGREEMENT * sum(map(len, parts))
    if sum(map(len, long)) < least:
        return None
    for part in long[:_MOST_PARTS_TRIED]:
        tried = slope_of(part, NEAR, MOST_DRIFT)
        slope = _fitted([_cluster(one, tried, NEAR) for one in long], tried, MOST_DRIFT)
        if abs(slope) <= USUAL_DRIFT or abs(slope) * _span(long[0]) < LEAST_SHIFT:
            slope = 0.0
        if sum(len(_cluster(one, slope, NEAR)) for one in long) >= least:
            return slope
    return None


def _span(part: Sequence[Point]) -> float:
    return part[-1].x - part[0].x


def _is_long(part: Sequence[Point]) -> bool:
    return len(part) >= _FEWEST_WINDOWS and _span(part) >= SHORTEST_FOR_LARGE_DRIFT


def pace(floor: Sequence[Point], reports: Sequence[Point]) -> tuple[float, str]:
    """The slope, and what gave it: `reports`, `arrivals`, or `nominal` for a short stretch.

    `reports`: the publisher's clock at its timestamps, in any order.
    """
    if floor[-1].x - floor[0].x < SHORTEST_FOR_DRIFT:
        return 0.0, "nominal"
    by_arrivals = slope_of(floor, NEAR)
    by_reports = _pace_of(sorted(reports), floor)
    if by_reports is not None:
        enough = AGREEMENT * len(_cluster(floor, by_arrivals, NEAR))
        if len(_cluster(floor, by_reports, NEAR)) >= enough:
            return by_reports, "reports"
    return by_arrivals, "arrivals"


def lowest(points: Sequence[Point]) -> list[Point]:
    """The lowest point of every window: the packets that were delayed least."""
    width = max(_SHORTEST_WINDOW, (points[-1].x - points[0].x) / _MOST_WINDOWS)
    best: dict[int, Point] = {}
    for point in points:
        window = int(point.x // width)
        if window not in best or point.y < best[window].y:
            best[window] = point
    return [best[window] for window in sorted(best)]


def height(points: Sequence[Point], slope: float) -> float:
    """How high the line lies: by its lowest points, for nothing comes before it is sent."""
    heights = _heights(points, slope)
    return median(heights[: bisect_right(heights, heights[0] + NEAR / 2)])


def slope_of(points: Sequence[Point], near: float, most: float = USUAL_DRIFT) -> float:
    """The slope, at most `most`, of the line that has most points within `near` of it.

    Most points, not all: a delay that changes for a while, or a clock that is set, puts points on
    another line of the same slope. Tried are the lines through pairs of points that are far apart.
    """
    best = max(_slopes(points, most), key=lambda slope: _densest(_heights(points, slope), near))
    for _ in range(3):
        best = _fitted([_cluster(points, best, near)], best, most)
    return best


def _pace_of(reports: Sequence[Point], floor: Sequence[Point]) -> float | None:
    """The pace of the publisher's clock; None if the reports cover less than half of it."""
    if len(reports) < _FEWEST_REPORTS:
        return None
    if reports[-1].x - reports[0].x < max(SHORTEST_FOR_DRIFT, (floor[-1].x - floor[0].x) / 2):
        return None
    return slope_of(_thinned(reports), NEAR_REPORTS)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `_MOST_WINDOWS` points, evenly chosen."""
    step = -(-len(points) // _MOST_WINDOWS)
    return list(points[::step])


def _slopes(points: Sequence[Point], most: float) -> Iterable[float]:
    """The believable slopes between points at least a quarter of the whole apart, and none."""
    yield 0.0
    count = len(points)
    lags = [max(1, count * part // 12) for part in (3, 5, 7, 9, 11)]
    step = max(1, sum(count - lag for lag in lags) // _MOST_PAIRS)
    for lag in lags:
        for i in range(0, count - lag, step):
            here, there = points[i], points[i + lag]
            span, rise = there.x - here.x, there.y - here.y
            if abs(rise) < most * span:
                yield rise / span


def _cluster(points: Sequence[Point], slope: float, near: float) -> list[Point]:
    """The most points that one line of that slope has within `near` above it."""
    heights = _heights(points, slope)
    low = heights[-_densest(heights, near)[1]]
    return [point for point in points if low <= point.y - slope * point.x <= low + near]


def _heights(points: Sequence[Point], slope: float) -> list[float]:
    """How high a line of that slope through each point begins, the lowest first."""
    return sorted([y - slope * x for x, y in points])


def _densest(heights: Sequence[float], near: float) -> tuple[int, int]:
    """The most heights within `near`, and minus the index of their lowest: to be compared."""
    return max([(bisect_right(heights, h + near) - i, -i) for i, h in enumerate(heights)])


def _fitted(parts: Iterable[Sequence[Point]], otherwise: float, most: float) -> float:
    """The slope of the least-squares lines, which parts have in common, if it is believable."""
    product = spread = 0.0
    for points in parts:
        middle, level = fmean(x for x, _ in points), fmean(y for _, y in points)
        product += sum((x - middle) * (y - level) for x, y in points)
        spread += sum((x - middle) ** 2 for x, _ in points)
    if not spread:
        return otherwise
    slope = product / spread
    return slope if abs(slope) <= most else otherwise

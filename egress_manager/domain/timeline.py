"""Where a stretch belongs on the one clock.

A packet can't come before it was sent, only later. So the least-delayed arrivals lie along a line,
and everything else lies above it: that line's height says where the stretch belongs, and its slope
how much the publisher's clock differs from ours. A sender report's clock may be an hour wrong, but
its pace is good: where it fits the arrivals it gives the slope.

A publisher that has nothing to send may stop counting: LiveKit's SDK sends no frames then, and its
timestamps go on where they stopped. From there on everything comes later, for good: a *step* of the
line.

Pure. Moments are seconds since 1970, granules are ticks of 1/48000 s.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from math import inf
from statistics import fmean, median
from typing import Final, NamedTuple

from egress_manager.domain.captures import TICKS, PageKept, SenderReport, Stretch

#: Sound cards are off by at most some hundred parts in a million; more is a change of the route.
MOST_DRIFT: Final = 500e-6

#: A shorter stretch is taken as if its clock were right: 100 ppm are 4 ms in it. Seconds.
SHORTEST_FOR_DRIFT: Final = 40.0

#: So near to the line a window's least-delayed arrival has to be to speak for it. Seconds.
NEAR: Final = 0.006

#: Sender reports are made up from the last frame's time, so they scatter more. Seconds.
NEAR_REPORTS: Final = 0.02

#: The pace of the reports is believed if so many windows lie near its line, of those near the best.
AGREEMENT: Final = 0.8

#: LiveKit's server ends a track with frames of silence of its own, and these come some 20 ms sooner
#: than their timestamps say. Their size in octets: three that matter, and zeros.
LIVEKIT_SILENCE: Final = 80

#: They are kept in pages of so few packets, because their timestamps leave small gaps.
LIVEKIT_SILENCE_PACKETS: Final = 2

#: A delay that grows by this and never shrinks again is a step; by less, only if sender reports
#: show the same. Seconds.
STEP: Final = 0.1
SMALL_STEP: Final = 0.03

#: So many packets have to come after it, so that it is not just a few that were late.
STEP_PACKETS: Final = 40

#: A longer one is a step however few packets come after it: a word before the hang-up. While a call
#: goes on, what comes within so long may still show that these were only late. Seconds.
LONG_STEP: Final = 0.25
SETTLED: Final = 1.0

#: A report that fits the one before it so well was made up from the same one of the publisher
#: (measured: 20 us; others are 100 us to 5 ms off). Seconds.
REPEATED: Final = 50e-6

#: How long a packet is, as all of LiveKit's SDKs send them. Ticks.
PACKET: Final = TICKS // 50
#: So much may come at once although it was not held up for long: jitter. And nothing is held up for
#: longer than this, or the connection is given up. Seconds.
SHORTEST_HOLD: Final = 0.4
LONGEST_HOLD: Final = 10.0

#: What is looked at on both sides of a step to know how high it is. Seconds.
STEP_VIEW: Final = 15.0

_MOST_WINDOWS: Final = 120
_FEWEST_REPORTS: Final = 5
_MOST_PAIRS: Final = 100


@dataclass(frozen=True, slots=True)
class Placement:
    """The line that carries a stretch's granules to moments.

    `drift_ppm` is how much longer the stretch lasts than its samples say: positive where the
    publisher's clock is slow. `basis` says what gave it: `reports`, `arrivals`, or `nominal`.
    `steps`: from each of these granules on, everything is so many seconds later in all. From the
    granule `open_from` on nobody knows yet whether packets are late or the publisher had stopped.
    """

    origin_at: float
    drift_ppm: float = 0.0
    basis: str = "nominal"
    steps: "tuple[Step, ...]" = ()
    open_from: float = inf

    def at(self, granule: float) -> float:
        """The moment at which the sample of that granule was to be heard."""
        moment = self.origin_at + granule / TICKS * (1 + self.drift_ppm * 1e-6)
        return moment + _later(self.steps, granule) if self.steps else moment

    def granule(self, at: float) -> float:
        """The granule that was to be heard at that moment; in a pause, the one that ends it."""
        found, before = inf, inf
        for first, later in (*reversed(self.steps), Step(-inf, 0.0)):
            ticks = (at - later - self.origin_at) * TICKS
            found = min(before, ticks / (1 + self.drift_ppm * 1e-6))
            if found >= first:
                break
            before = first
        return found


class Step(NamedTuple):
    """From this granule on, a stretch is so many seconds later than its samples say."""

    granule: float
    later: float


def _later(steps: Sequence[Step], granule: float) -> float:
    """By how much a granule is later than the samples say."""
    n = bisect_right(steps, granule, key=lambda step: step.granule)
    return steps[n - 1].later if n else 0.0


class Point(NamedTuple):
    """`x`: seconds into the stretch by its samples; `y`: by how many a clock is ahead of that."""

    x: float
    y: float


def place(stretch: Stretch, now: float = inf) -> Placement:
    """Where a stretch belongs, by what is known of it by now; else, nothing more comes.

    Every moment of it is right to some milliseconds, as long as there was ever a time at which
    packets were not delayed, and the publisher's clock runs evenly.
    """
    began = stretch.began.at
    every = sorted(stretch.pages, key=lambda page: page.granule)
    after = list(zip(every, [0, *(page.until for page in every)], strict=False))
    published = [(page, end) for page, end in after if not _is_of_livekit(page)] or after
    pages = [page for page, _ in published]
    ends = [end for _, end in published]
    edges = _edges(pages)
    if stretch.ended:
        now, edges = inf, _without_holds(edges, pages, ends)
    steps, open_from = _steps(edges, pages, ends, stretch.reports, now)
    late = [Point(0.0, 0.0)]
    late += [_point(page.granule, page.arrived - began, steps) for page in pages]
    floor = _lowest(sorted(late))
    slope, basis = _pace(floor, stretch.reports, steps)
    return Placement(began + _height(floor, slope), slope * 1e6, basis, steps, open_from)


def _is_of_livekit(page: PageKept) -> bool:
    """Whether a page's packets seem to come from LiveKit itself, and not from the publisher."""
    few = page.packets <= LIVEKIT_SILENCE_PACKETS
    return few and page.octets == page.packets * LIVEKIT_SILENCE


def _steps(
    edges: Sequence[int],
    pages: Sequence[PageKept],
    ends: Sequence[int],
    reports: Sequence[SenderReport],
    now: float,
) -> tuple[tuple[Step, ...], float]:
    """Where the delay of a stretch grew for good, and from which granule on that is not known yet.

    `ends`: where the page before each ends.
    """
    clock = list(_news(reports))
    steps: list[Step] = []
    start, later = 0, 0.0
    for edge in edges:
        before = _in_view(pages[n] for n in range(edge - 1, start - 1, -1))
        after = _in_view(pages[n] for n in range(edge, len(pages)))
        rise = min(map(_delay, after)) - min(map(_delay, before))
        if rise >= LONG_STEP and pages[edge].arrived > now - SETTLED:
            return tuple(steps), ends[edge]
        if rise >= _least_step(rise, pages[edge].arrived, clock):
            start, later = edge, later + rise
            steps.append(Step(ends[edge], later))
    return tuple(steps), inf


def _edges(pages: Sequence[PageKept]) -> list[int]:
    """From which pages on nothing ever came as promptly as before.

    `rest` is the least delay of all that comes later; it only grows.
    """
    rest, packets = inf, 0
    edges: list[int] = []
    for n in range(len(pages) - 1, 0, -1):
        rest = min(rest, _delay(pages[n]))
        packets += pages[n].packets
        if rest - _delay(pages[n - 1]) >= (SMALL_STEP if packets >= STEP_PACKETS else LONG_STEP):
            edges.append(n)
    return edges[::-1]


def _without_holds(
    edges: Sequence[int], pages: Sequence[PageKept], ends: Sequence[int]
) -> list[int]:
    """Those edges at which the publisher may have stopped, and it was not a network that did.

    A publisher that goes on is in time again soon; one that hung up never is.
    """
    return [
        n
        for n, end in pairwise([*edges, len(pages)])
        if not _were_held_up(pages[n - 1], pages[n:end], ends[n])
    ]


def _were_held_up(before: PageKept, pages: Sequence[PageKept], begins: int) -> bool:
    """Whether pages came all at once: what comes as it is spoken takes as long as it lasts."""
    first, last = pages[0], pages[-1]
    begins = max(begins, first.until - first.packets * PACKET)
    came = min(page.came for page in pages)
    held = came - begins / TICKS - _delay(before)
    lasts, took = (last.granule - begins) / TICKS, last.arrived - came
    return came > 0 and held < LONGEST_HOLD and took < min(lasts / 2, lasts - SHORTEST_HOLD)


def _delay(page: PageKept) -> float:
    """How long after its samples' time a page's least-delayed packet came. Seconds."""
    return page.arrived - page.granule / TICKS


def _in_view(pages: Iterator[PageKept]) -> list[PageKept]:
    """The first of some pages, as far as `STEP_VIEW` reaches."""
    first = next(pages)
    near = takewhile(lambda page: abs(page.granule - first.granule) < STEP_VIEW * TICKS, pages)
    return [first, *near]


def _news(reports: Sequence[SenderReport]) -> Iterator[tuple[float, float]]:
    """When a report came that tells something new, and how far its clock was ahead of the samples.

    LiveKit makes its reports up from the publisher's, which come less often.
    """
    before = inf
    for report in reports:
        ahead = report.ntp - report.granule / TICKS
        if abs(ahead - before) > REPEATED:
            yield report.at, ahead
        before = ahead


def _least_step(rise: float, at: float, clock: Sequence[tuple[float, float]]) -> float:
    """How high a step has to be at a moment, by what the publisher's clock did beside its samples.

    A clock that went on while the samples stopped proves a small one; one that did not, that the
    packets took another way. What the publisher reported while they stopped tells nothing yet, and
    may come later, so two reports are looked at.
    """
    n = bisect_right(clock, at, key=lambda report: report[0])
    before, after = clock[max(0, n - 2) : n], clock[n : n + 2]
    if not before or not after:
        return STEP
    shown = max(ahead for _, ahead in after) - min(ahead for _, ahead in before)
    if shown >= rise * 2 / 3:
        return SMALL_STEP
    return STEP if shown >= rise / 3 or len(after) < 2 else inf


def _point(granule: int, clock: float, steps: Sequence[Step]) -> Point:
    """How far a clock was ahead of the samples at a granule, steps taken off."""
    x = granule / TICKS
    return Point(x, clock - x - _later(steps, granule))


def _lowest(points: Sequence[Point]) -> list[Point]:
    """The lowest point of every window: the packets that were delayed least."""
    width = max(0.5, (points[-1].x - points[0].x) / _MOST_WINDOWS)
    best: dict[int, Point] = {}
    for point in points:
        window = int(point.x // width)
        if window not in best or point.y < best[window].y:
            best[window] = point
    return [best[window] for window in sorted(best)]


def _pace(
    floor: Sequence[Point], reports: Sequence[SenderReport], steps: Sequence[Step]
) -> tuple[float, str]:
    """The slope, and what gave it."""
    if floor[-1].x - floor[0].x < SHORTEST_FOR_DRIFT:
        return 0.0, "nominal"
    by_arrivals = _slope_of(floor, NEAR)
    by_reports = _pace_of(reports, floor, steps)
    if by_reports is not None:
        enough = AGREEMENT * len(_cluster(floor, by_arrivals, NEAR))
        if len(_cluster(floor, by_reports, NEAR)) >= enough:
            return by_reports, "reports"
    return by_arrivals, "arrivals"


def _pace_of(
    reports: Sequence[SenderReport], floor: Sequence[Point], steps: Sequence[Step]
) -> float | None:
    """The pace of the publisher's clock; None where the reports cover less than half of it."""
    if len(reports) < _FEWEST_REPORTS:
        return None
    first = reports[0].ntp
    points = sorted(_point(report.granule, report.ntp - first, steps) for report in reports)
    if points[-1].x - points[0].x < max(SHORTEST_FOR_DRIFT, (floor[-1].x - floor[0].x) / 2):
        return None
    return _slope_of(_thinned(points), NEAR_REPORTS)


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `_MOST_WINDOWS` points, evenly chosen."""
    step = -(-len(points) // _MOST_WINDOWS)
    return list(points[::step])


def _slope_of(points: Sequence[Point], near: float) -> float:
    """The slope of the line that has most points within `near` of it.

    Most points, not all: a delay that changes for a while, or a clock that is set, puts points on
    another line of the same slope. Tried are the lines through pairs of points that are far apart.
    """
    best = max(_slopes(points), key=lambda slope: _densest(_heights(points, slope), near))
    for _ in range(3):
        best = _fitted(_cluster(points, best, near), best)
    return best


def _slopes(points: Sequence[Point]) -> Iterable[float]:
    """The believable slopes between points at least a quarter of the whole apart, and none."""
    yield 0.0
    count = len(points)
    lags = [max(1, count * part // 12) for part in (3, 5, 7, 9, 11)]
    step = max(1, sum(count - lag for lag in lags) // _MOST_PAIRS)
    for lag in lags:
        for i in range(0, count - lag, step):
            here, there = points[i], points[i + lag]
            span, rise = there.x - here.x, there.y - here.y
            if abs(rise) < MOST_DRIFT * span:
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


def _fitted(points: Sequence[Point], otherwise: float) -> float:
    """The slope of the least-squares line, if it is believable."""
    middle, level = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    if not spread:
        return otherwise
    slope = sum((x - middle) * (y - level) for x, y in points) / spread
    return slope if abs(slope) <= MOST_DRIFT else otherwise


def _height(floor: Sequence[Point], slope: float) -> float:
    """How high the line lies: by its lowest points, for nothing comes before it is sent."""
    heights = _heights(floor, slope)
    return median(heights[: bisect_right(heights, heights[0] + NEAR / 2)])

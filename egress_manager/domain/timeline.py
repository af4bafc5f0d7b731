"""Where a stretch belongs on the one clock: a word lies where a patient receiver would play it.

Within a talkspurt samples are counted, so its packets keep their distances, whatever the network
did to them. Between talkspurts the publisher's counter may have stood still or leapt: from there on
everything is later or earlier by a *step*. The pace of all of it is that of the publisher's clock.

Pure. Moments are seconds since 1970, granules are ticks of 1/48000 s.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple

from egress_manager.domain import delays, drift, talkspurts
from egress_manager.domain.captures import TICKS, SenderReport, Stretch
from egress_manager.domain.drift import Point
from egress_manager.domain.talkspurts import LONG_STOP, SETTLED, Talkspurt

#: Steps that are smaller are none: no placement is that exact. Seconds.
LEAST_STEP: Final = 0.001


@dataclass(frozen=True, slots=True)
class Placement:
    """The line that carries a stretch's granules to moments.

    `drift_ppm` is how much longer the stretch lasts than its samples say: positive if the
    publisher's clock is slow. `basis` says what gave it: `reports`, `arrivals`, or `nominal`.
    `steps`: from each of these granules on, everything is so much later in all. From the granule
    `open_from` on nobody knows yet whether packets are late or the publisher had stopped.
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


class Step(NamedTuple):
    """From this granule on, a stretch is so many seconds later than its samples say."""

    granule: float
    later: float


def place(stretch: Stretch, now: float = inf, not_before: float = -inf) -> Placement:
    """Where a stretch belongs, by what is known of it by now; else, nothing more comes.

    Until the moment `not_before` sound is heard that its publisher had sent before.

    Every moment of it is right to some milliseconds, as long as there was ever a time at which
    packets were not delayed, and the publisher's clock runs evenly.
    """
    began = stretch.began.at
    if not stretch.pages:
        return Placement(max(began, not_before))
    raw = talkspurts.arrivals(stretch)
    large = drift.large([Point(page.x, page.least) for page in raw])
    pages = talkspurts.arrivals(stretch, large) if large else raw
    spurts = talkspurts.talkspurts(stretch, pages, large)
    groups = list(delays.grouped(spurts))
    rises = _rises(groups)
    slope, basis = _pace(groups, rises, stretch.reports, large)
    heights = [drift.height(_points(group), slope) for group in groups]
    open_from = inf if stretch.ended else _open_from(groups, rises, now - began)
    origin_at = began + heights[0]
    steps = _steps(groups, heights, large + slope, not_before - origin_at)
    return Placement(
        origin_at,
        (large + slope) * 1e6,
        "arrivals" if large and basis == "nominal" else basis,
        tuple(step for step in steps if step.granule < open_from),
        open_from,
    )


def _points(group: Sequence[Talkspurt]) -> list[Point]:
    """The delays of a group, as if its publisher did not send ahead of time."""
    return [point for spurt in group for point in talkspurts.points(spurt)]


def _rises(groups: Sequence[Sequence[Talkspurt]]) -> list[float]:
    """By how much each group is played later than the one before."""
    ends = [group[-1].delay + group[-1].drifts for group in groups]
    return [0.0, *(group[0].delay - end for group, end in zip(groups[1:], ends, strict=False))]


def _pace(
    groups: Sequence[Sequence[Talkspurt]],
    rises: Sequence[float],
    reports: Sequence[SenderReport],
    large: float,
) -> tuple[float, str]:
    """The slope that is left beside the large one, and what gave it."""
    later, steps = 0.0, []
    level: list[Point] = []
    for group, rise in zip(groups, rises, strict=True):
        later += rise
        steps.append(Step(group[0].pages[0].after, later))
        level += [Point(x, y - later) for x, y in _points(group)]
    first = reports[0].ntp if reports else 0.0
    clock = [
        Point(x, report.ntp - first - x * (1 + large) - _later(steps, report.granule))
        for report in reports
        for x in [report.granule / TICKS]
    ]
    return drift.pace(drift.lowest(sorted(level)), clock)


def _steps(
    groups: Sequence[Sequence[Talkspurt]],
    heights: Sequence[float],
    slope: float,
    sounds_until: float,
) -> list[Step]:
    """From which talkspurts on everything is later or earlier than the first group.

    However early its packets came, none is heard before the sound that was sent before it ends;
    before the first one that is at `sounds_until`, in seconds since the origin.
    """
    steps: list[Step] = []
    later = 0.0
    for group, height in zip(groups, heights, strict=True):
        for spurt in group:
            begins, ends = (g / TICKS * (1 + slope) for g in (spurt.begins, spurt.ends))
            wanted = max(height - heights[0], sounds_until - begins)
            if abs(wanted - later) >= LEAST_STEP:
                later = wanted
                steps.append(Step(spurt.pages[0].after, later))
            sounds_until = ends + later
    return steps


def _open_from(groups: Sequence[Sequence[Talkspurt]], rises: Sequence[float], now: float) -> float:
    """The granule from which on it is too early to say whether packets are only late."""
    for group, rise in zip(groups, rises, strict=True):
        first = group[0].pages[0]
        if rise >= LONG_STOP and first.arrived > now - SETTLED:
            return first.after
    return inf


def _later(steps: Sequence[Step], granule: float) -> float:
    """By how much a granule is later than the samples say."""
    n = bisect_right(steps, granule, key=lambda step: step.granule)
    return steps[n - 1].later if n else 0.0

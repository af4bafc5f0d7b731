"""The talkspurts of a stretch, and at which delays a patient receiver may play each.

A talkspurt is a run of pages whose timestamps have no gap. Within it, samples are counted, so its
pages keep their distances. Between two of them anything may happen to the timestamps: the publisher
was silent, its counter stood still, was set, or leapt.

A receiver with a patient jitter buffer plays a talkspurt at one delay, and begins when its first
packet has come, not before. So each talkspurt allows an interval of delays: from that of its
least-delayed packet (the network held the first ones up) to that of its first one (the publisher
sent the rest ahead of time). Which of them it is, `delays` decides.

Pure. Granules are ticks of 1/48000 s, moments and delays are seconds since the stretch began.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from math import inf, pow
from statistics import median
from typing import Final, NamedTuple

from egress_manager.domain.captures import TICKS, PageKept, Stretch
from egress_manager.domain.drift import Point

#: LiveKit's server ends a track with frames of silence of its own, and these come some 20 ms sooner
#: than their timestamps say. Their size in octets: three that matter, and zeros. They are kept in
#: pages of at most this many packets: their timestamps leave small gaps.
LIVEKIT_SILENCE: Final = 80
LIVEKIT_SILENCE_PACKETS: Final = 2

#: Delays that differ by less are the same. Seconds.
MARGIN: Final = 0.02

#: A talkspurt that is longer is no utterance but a line that is open all the time. Seconds.
LONG_LINE: Final = 5.0

#: A delay that grows by this within a talkspurt, and never shrinks again, is a stop of the counter;
#: by less (`MARGIN`), only if sender reports show the same. Seconds.
STOP: Final = 0.1

#: A stop needs this many packets after it: fewer may just have been late.
STOP_PACKETS: Final = 40

#: A longer one is a stop however few packets come after it: a word before the hang-up. While a call
#: goes on, what comes within `SETTLED` may still show that these were only late. Seconds.
LONG_STOP: Final = 0.25
SETTLED: Final = 1.0

#: What comes sooner after the packet before it was sent without a pause. Seconds.
PAUSE: Final = 0.08

#: Fewer packets than these can't show by themselves whether the network is quick or slow now.
FEW_PACKETS: Final = 5

#: The part of all talkspurts that may be judged wrongly by the jitter of their packets.
UNLIKELY: Final = 1e-3

#: The jitter of a network of which nothing is known. Seconds.
UNKNOWN_JITTER: Final = 0.04

#: A publisher that sends ahead of time by less than this, or than `JITTERS` times the jitter, can't
#: be told from a network that held its first packets up. Seconds.
LEAST_LEAD: Final = 0.015
JITTERS: Final = 2

#: A report that fits the one before it so well was made up from the same one of the publisher
#: (measured: 20 us; others are 100 us to 5 ms off). Seconds.
REPEATED: Final = 50e-6

#: What comes at once for longer than this was held up by more than jitter; nothing is held up for
#: longer than that, or the connection is given up. Seconds.
SHORTEST_HOLD: Final = 0.4
LONGEST_HOLD: Final = 10.0

#: How far from a point of change its height is looked for. Seconds.
VIEW: Final = 15.0


class Arrival(NamedTuple):
    """A page of a stretch: where it begins and ends (granules), and how late its packets came.

    `least` is the delay of its least-delayed packet, which has the timestamp `x` (seconds) and came
    at `arrived`; `first` the delay of the packet that came first, at `came` (`tells_first`: the
    journal has it). `jitter` is how much more its latest packet was delayed (-1: not known).
    `after` is where the page before it ends; `is_loss`: only lost packets lie between.
    """

    after: int
    begins: int
    ends: int
    packets: int
    x: float
    least: float
    arrived: float
    first: float
    came: float
    tells_first: bool
    jitter: float
    is_loss: bool


@dataclass(slots=True)
class Talkspurt:
    """Pages that keep their distances, and the delays at which a receiver may play them.

    `low` and `high` bound the delay at its beginning. All its packets may be late: by `jitter`
    usually, by `slack` at most. `drifts` is how much its least delay has changed at its end.
    `is_cut`: the publisher's counter had stood still or leapt before it. `leads`: its publisher
    sent ahead of time. `delay` is the one at which it is played.
    """

    pages: Sequence[Arrival]
    low: float
    high: float
    jitter: float
    slack: float
    drifts: float
    leads: bool
    is_cut: bool = False
    delay: float = 0.0

    @property
    def begins(self) -> int:
        """The granule of its first sample."""
        return self.pages[0].begins

    @property
    def ends(self) -> int:
        """The granule after its last sample."""
        return self.pages[-1].ends

    @property
    def lead(self) -> float:
        """By how much its least-delayed packet comes before it is played."""
        return max(0.0, self.delay - self.low) if self.leads else 0.0


def arrivals(stretch: Stretch, slope: float = 0.0) -> list[Arrival]:
    """The pages that the publisher sent, in order, without those that LiveKit made itself.

    Their delays are relative to a clock of that slope.
    """
    every = sorted(stretch.pages, key=lambda page: page.granule)
    both = list(zip(every, [0, *(page.until for page in every)], strict=False))
    published = [(page, after) for page, after in both if not is_of_livekit(page)]
    return [_arrival(page, after, stretch.began.at, slope) for page, after in published or both]


def _arrival(page: PageKept, after: int, began: float, slope: float) -> Arrival:
    begins = page.begins
    arrived, came = page.arrived - began, (page.came or page.arrived) - began
    x = page.granule / TICKS
    least = arrived - x * (1 + slope)
    first = came - page.first / TICKS * (1 + slope) if page.first >= 0 else least
    mean = (page.until - begins) / max(1, page.packets)
    return Arrival(
        after=after,
        begins=begins,
        ends=page.until,
        packets=page.packets,
        x=x,
        least=least,
        arrived=arrived,
        first=max(first, least),
        came=came,
        tells_first=page.came > 0,
        jitter=page.jitter,
        is_loss=0 < begins - after <= mean * (page.lost + 0.5) and page.lost > 0,
    )


def is_of_livekit(page: PageKept) -> bool:
    """Whether a page's packets seem to come from LiveKit itself, and not from the publisher."""
    few = page.packets <= LIVEKIT_SILENCE_PACKETS and page.is_silent is not False
    return few and page.octets == page.packets * LIVEKIT_SILENCE


def talkspurts(stretch: Stretch, pages: Sequence[Arrival], slope: float = 0.0) -> list[Talkspurt]:
    """All talkspurts of a stretch in order, each with the delays that it allows."""
    chains = list(_chains(pages))
    jitter = _jitter(chains)
    clock = list(_news(stretch, slope))
    sends_ahead = _talkspurt(pages, jitter).leads
    found: list[Talkspurt] = []
    for n, chain in enumerate(chains):
        is_over = stretch.ended is not None or n < len(chains) - 1
        stops = _stops(chain, clock, may_be_held=is_over and not sends_ahead)
        for start, end in pairwise([0, *stops, len(chain)]):
            spurt = _talkspurt(chain[start:end], jitter)
            spurt.is_cut = start > 0 or (n > 0 and _leaps(chains[n - 1][-1], chain[0], jitter))
            if not sends_ahead and _came_at_once(spurt.pages, spurt.pages[0].begins):
                spurt.slack = LONGEST_HOLD
            found.append(spurt)
    return found


def points(spurt: Talkspurt) -> list[Point]:
    """The delays of a talkspurt's pages, as if its publisher did not send ahead of time."""
    return [Point(page.x, page.least + spurt.lead) for page in spurt.pages]


def _chains(pages: Sequence[Arrival]) -> Iterator[Sequence[Arrival]]:
    """Pages without a gap between them, but for packets that were lost."""
    starts = [n for n, page in enumerate(pages) if page.begins > page.after and not page.is_loss]
    for start, end in pairwise(sorted({0, *starts, len(pages)})):
        yield pages[start:end]


def _jitter(chains: Iterable[Sequence[Arrival]]) -> float:
    """How much the delays of packets usually differ, once a talkspurt is in time. Seconds."""
    known = [
        page.jitter
        for chain in chains
        for page in chain[in_time_from(chain) + 1 :]
        if page.jitter >= 0 and page.packets >= FEW_PACKETS
    ]
    return median(known) if known else UNKNOWN_JITTER


def in_time_from(pages: Sequence[Arrival]) -> int:
    """The first page that comes as promptly as any: before it much may come at once."""
    prompt = min(page.least for page in pages) + LEAST_LEAD
    return next(n for n, page in enumerate(pages) if page.least <= prompt)


def _talkspurt(pages: Sequence[Arrival], jitter: float) -> Talkspurt:
    first, last = pages[0], pages[-1]
    low = min(page.least for page in pages if page.x - first.x < VIEW)
    end = min(page.least for page in pages if last.x - page.x < VIEW)
    leads = first.first - low > max(LEAST_LEAD, JITTERS * jitter)
    packets = max(1, sum(page.packets for page in pages))
    in_time = pages[in_time_from(pages) + 1 :]
    usual = _lateness(packets, max([jitter, *(page.jitter for page in in_time)]))
    return Talkspurt(
        pages=pages,
        low=low,
        high=first.first if leads else low,
        jitter=usual,
        slack=usual if packets >= FEW_PACKETS else LONG_STOP,
        drifts=end - low,
        leads=leads,
    )


def _lateness(packets: int, jitter: float) -> float:
    """By how much all of some packets may be late if each may be by the jitter. Seconds."""
    return jitter * (1 - pow(UNLIKELY, 1 / packets))


def _leaps(before: Arrival, page: Arrival, jitter: float) -> bool:
    """Whether the counter leapt while packets went on as usual: no network can make time shorter.

    Packets that a network held up come faster than they were sent.
    """
    packet = (before.ends - before.begins) / max(1, before.packets) / TICKS
    last_came = before.ends / TICKS - packet + before.least
    falls = before.least - page.first
    return falls > MARGIN + JITTERS * jitter and packet / 2 < page.came - last_came < PAUSE


def _stops(
    pages: Sequence[Arrival], clock: Sequence[tuple[float, float]], *, may_be_held: bool
) -> list[int]:
    """From which pages of a chain on the publisher's counter had stood still.

    `may_be_held`: nothing more comes that could show that the network only held the last ones up.
    """
    edges = _edges(pages)
    if may_be_held:
        edges = [
            n
            for n, end in pairwise([*edges, len(pages)])
            if not _were_held_up(pages[n - 1], pages[n:end])
        ]
    stops: list[int] = []
    for edge in edges:
        start = stops[-1] if stops else 0
        before, after = _in_view(pages[start:edge][::-1]), _in_view(pages[edge:])
        rise = min(page.least for page in after) - min(page.least for page in before)
        if rise >= _least_stop(rise, pages[edge].arrived, clock):
            stops.append(edge)
    return stops


def _edges(pages: Sequence[Arrival]) -> list[int]:
    """From which pages on nothing ever came as promptly as before.

    `rest` is the least delay of all that comes later; it only grows.
    """
    rest, packets = inf, 0
    edges: list[int] = []
    for n in range(len(pages) - 1, 0, -1):
        rest = min(rest, pages[n].least)
        packets += pages[n].packets
        if rest - pages[n - 1].least >= (MARGIN if packets >= STOP_PACKETS else LONG_STOP):
            edges.append(n)
    return edges[::-1]


def _were_held_up(before: Arrival, pages: Sequence[Arrival]) -> bool:
    """Whether the network held pages up that follow another one."""
    begins = max(pages[0].after, pages[0].begins)
    held = min(page.came for page in pages) - begins / TICKS - before.least
    return held < LONGEST_HOLD and _came_at_once(pages, begins)


def _came_at_once(pages: Sequence[Arrival], begins: int) -> bool:
    """Whether pages came all at once: what comes as it is spoken takes as long as it lasts."""
    lasts = pages[-1].x - begins / TICKS
    took = pages[-1].arrived - min(page.came for page in pages)
    return pages[0].tells_first and took < min(lasts / 2, lasts - SHORTEST_HOLD)


def _in_view(pages: Sequence[Arrival]) -> list[Arrival]:
    """The first of some pages, as far as `VIEW` reaches."""
    return list(takewhile(lambda page: abs(page.x - pages[0].x) < VIEW, pages))


def _news(stretch: Stretch, slope: float) -> Iterator[tuple[float, float]]:
    """When a report came that tells something new, and how far its clock was ahead of the samples.

    LiveKit makes its reports up from the publisher's, which come less often.
    """
    before = inf
    for report in stretch.reports:
        ahead = report.ntp - report.granule / TICKS
        if abs(ahead - before) > REPEATED:
            yield report.at - stretch.began.at, ahead - slope * report.granule / TICKS
        before = ahead


def _least_stop(rise: float, at: float, clock: Sequence[tuple[float, float]]) -> float:
    """How high a rise has to be at a moment, by what the publisher's clock did beside its samples.

    A clock that went on while the samples stopped proves a small one. What the publisher reported
    while they stopped tells nothing yet, and may come later, so two reports are looked at.
    """
    n = bisect_right(clock, at, key=lambda report: report[0])
    before, after = clock[max(0, n - 2) : n], clock[n : n + 2]
    if not before or not after:
        return STOP
    shown = max(ahead for _, ahead in after) - min(ahead for _, ahead in before)
    return MARGIN if shown >= rise * 2 / 3 else STOP

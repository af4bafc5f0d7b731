"""What the server says it sent of each track, held against what the journal says was kept.

The reports come from the server (LiveKit counts what it forwarded to us, from a subscription's
first packet on), so a recorder that lost packets between the wire and the disk can't hide it.

Pure. Moments are seconds since 1970.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import inf
from typing import Final, NamedTuple

from egress_manager.domain.captures import PACKET, TICKS, PageKept, SenderReport, Story, Stretch
from egress_manager.domain.evidence import Excess, Sent

#: More packets than these, missing at once, are told of by themselves: half a second.
BURST: Final = 25

#: A report that came so long before a recording began is its beginning: a `BURST` can't be lost
#: in so short a time. Seconds.
NEAR: Final = 0.5

#: Octets that LiveKit counts with every packet, beside what is in it: the header of RTP.
HEADER: Final = 12


class Count(NamedTuple):
    """So many packets and octets, sent or kept, up to a moment.

    `lost` packets never came, as their numbers tell. `again` packets may have been sent once more
    and lost on the way, although they were kept.
    """

    at: float
    sent: int
    kept: int
    octets_sent: int
    octets_kept: int
    lost: int = 0
    again: int = 0


def sent(stories: Sequence[Story], begins_at: float, ends_at: float) -> tuple[Sent, ...]:
    """What was sent and kept of each track, between the first and the last report of a call.

    Each time between two reports in which more than `BURST` packets are missing is told by itself;
    the whole, too, unless these explain what is missing of it. Where two captures kept a track at
    the same time, what one lacks the other may have: of these nothing is told.
    """
    told: dict[str, list[list[Count]]] = defaultdict(list)
    for story in stories:
        for track_sid in dict.fromkeys(s.began.track_sid for s in story.stretches.values()):
            for _, counts in counted(story, track_sid):
                within = [c for c in counts if begins_at - NEAR <= c.at <= ends_at]
                if len(within) > 1:
                    told[track_sid].append(within)
    return tuple(
        one
        for track_sid, runs in told.items()
        for run in runs
        if _is_alone(run, runs)
        for one in _told(track_sid, run, begins_at)
    )


def excesses(stories: Sequence[Story], begins_at: float, ends_at: float) -> tuple[Excess, ...]:
    """What was over a quota during a call; the counts are those of whole lines."""
    return tuple(
        Excess(
            entry.what,
            entry.identity,
            entry.track_sid,
            round(max(0.0, entry.since - begins_at), 3),
            round(min(entry.at, ends_at) - begins_at, 3),
            entry.count,
        )
        for story in stories
        for entry in story.left_out.values()
        if entry.since < ends_at and entry.at >= begins_at
    )


def counted(story: Story, track_sid: str) -> Iterator[tuple[int, list[Count]]]:
    """For each SSRC that brought a track, what was sent and kept of it by each report.

    The first count is where counting began, if that is known.
    """
    by_ssrc: dict[int, list[Stretch]] = defaultdict(list)
    for stretch in story.stretches_of(track_sid):
        by_ssrc[stretch.began.ssrc].append(stretch)
    for ssrc, stretches in by_ssrc.items():
        began = stretches[0].began
        zero = Count(began.at, began.packets_before or 0, 0, began.octets_before or 0, 0)
        reports = list(_counts(stretches))
        yield ssrc, [zero, *reports] if _is_zero(zero, reports) else reports


def _is_zero(zero: Count, reports: Sequence[Count]) -> bool:
    """Whether the server can have sent what is missing at the first report since a beginning.

    If it can't, it counts from an earlier one. Older journals do not say what was sent before.
    """
    if not reports or missing(zero, reports[0]) <= BURST:
        return True
    seconds = reports[0].at - zero.at
    return reports[0].sent - zero.sent <= seconds * TICKS / PACKET + BURST


def missing(first: Count, last: Count) -> int:
    """How many of the packets that were sent between two counts were not kept.

    One that was asked for more than once may have been sent as often, and some of these lost: so
    far this explains more than what never came.
    """
    lacks = (last.sent - first.sent) - (last.kept - first.kept)
    unexplained = max(0, lacks - (last.lost - first.lost))
    return lacks - min(unexplained, last.again - first.again)


def _told(track_sid: str, counts: Sequence[Count], begins_at: float) -> Iterator[Sent]:
    """The whole of it, and where much is missing."""
    bursts: list[tuple[Count, Count]] = []
    for first, last in pairwise(counts):
        if missing(first, last) <= BURST:
            continue
        if bursts and bursts[-1][1] is first:
            first = bursts.pop()[0]
        bursts.append((first, last))
    yield from (_between(track_sid, *burst, begins_at) for burst in bursts)
    explained = sum(missing(*burst) for burst in bursts)
    if not bursts or missing(counts[0], counts[-1]) - explained > BURST:
        yield _between(track_sid, counts[0], counts[-1], begins_at)


def _counts(stretches: Sequence[Stretch]) -> Iterator[Count]:
    """What was sent and kept at each report that counts."""
    kept = octets = lost = again = 0
    for stretch in stretches:
        come = _Come(stretch.pages)
        more_lost = [0, *accumulate(page.lost for page in stretch.pages)]
        more_again = [0, *accumulate(page.again for page in stretch.pages)]
        for report, pages in zip(stretch.reports, stretch.pages_before, strict=True):
            if report.packets:
                more, more_octets = come.by_report(report, pages)
                yield Count(
                    report.at,
                    report.packets,
                    kept + more,
                    max(0, report.octets - HEADER * report.packets),
                    octets + more_octets,
                    lost + more_lost[pages],
                    again + more_again[pages],
                )
        kept += come.packets[-1]
        octets += round(come.octets[-1])
        lost += more_lost[-1]
        again += more_again[-1]


class _Come:
    """What of some pages had come by a moment.

    A report's own timestamp does not help here: of a publisher who stops counting while it has
    nothing to send, the server goes on counting. And one that comes too late with its sound may
    send much at once: a page begins when it would, but not before the one before it had come.
    """

    def __init__(self, pages: Sequence[PageKept]) -> None:
        self._pages = pages
        self._starts = list(_starts(pages))
        self._begun = list(accumulate(_beginnings(pages, self._starts), max))
        self.packets = [0, *accumulate(map(_packets, pages))]
        self.octets = [0.0, *accumulate(map(_octets, pages))]

    def by_report(self, report: SenderReport, pages: int) -> tuple[int, int]:
        """Packets and octets that had come by a report, which stands behind so many pages.

        Not more than what was kept in the end. Older journals do not say what was in no page yet:
        then it is found by the time.
        """
        if report.waiting is None or report.waiting_octets is None:
            return self.by(report.at)
        octets = self.octets[pages] + report.waiting_octets
        packets = min(self.packets[pages] + report.waiting, self.packets[-1])
        return packets, round(min(octets, self.octets[-1]))

    def by(self, at: float) -> tuple[int, int]:
        """Packets and octets. What was sent twice is counted twice, as the server does."""
        n = bisect_left(self._begun, at) - 1
        if n < 0:
            return 0, 0
        page, part = self._pages[n], self._part(n, at)
        packets = self.packets[n] + part * _packets(page)
        return round(packets), round(self.octets[n] + part * _octets(page))

    def _part(self, n: int, at: float) -> float:
        """How much of a page that has begun had come, 0 to 1."""
        page, start, begun = self._pages[n], self._starts[n], self._begun[n]
        if at >= page.arrived:
            reached = page.granule + (at - page.arrived) * TICKS
        else:
            reached = start + (page.granule - start) * (at - begun) / (page.arrived - begun)
        return min(1.0, (reached - start) / max(1, page.until - start))


def _beginnings(pages: Sequence[PageKept], starts: Sequence[int]) -> Iterator[float]:
    """When the first packet of each page came."""
    before = -inf
    for page, start in zip(pages, starts, strict=True):
        yield max(before, page.arrived - (page.granule - start) / TICKS)
        before = page.arrived


def _starts(pages: Iterable[PageKept]) -> Iterator[int]:
    """The granule at which each page begins."""
    end = 0
    for page in pages:
        yield max(end, page.begins)
        end = page.until


def _packets(page: PageKept) -> int:
    """How often the server sent what came with a page: what it was asked for again, twice."""
    return page.packets + page.recovered + page.duplicate + page.skipped


def _octets(page: PageKept) -> float:
    """The octets of all these: one that came twice is as long as the page's others."""
    twice = (page.recovered + page.duplicate) / max(1, page.packets)
    return page.octets * (1 + twice) + page.skipped_octets


def _between(track_sid: str, first: Count, last: Count, begins_at: float) -> Sent:
    """What came between two counts; times in seconds since the call's beginning."""
    packets, kept = last.sent - first.sent, last.kept - first.kept
    was_there = packets - missing(first, last)
    octets = (last.octets_kept - first.octets_kept) * was_there / max(1, kept)
    return Sent(
        track_sid,
        round(first.at - begins_at, 3),
        round(last.at - begins_at, 3),
        packets,
        was_there,
        last.octets_sent - first.octets_sent,
        round(octets),
    )


def _is_alone(mine: Sequence[Count], runs: Sequence[Sequence[Count]]) -> bool:
    """Whether no other capture, and no other connection, kept the track at the same time."""
    return all(run is mine or run[-1].at <= mine[0].at or run[0].at >= mine[-1].at for run in runs)

"""What the journals know of a track's silences: whether its publisher sent nothing, or it was lost.

Packets are numbered, and the server reports how many it sent. So a silence is a pause where the
numbers go on behind it, or where the server counts nothing that was not kept; and it is a loss
where the server counts more, where its reports stop, and where another connection goes on with
the track and nothing tells what came between.

Pure. Moments are seconds since 1970.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

from egress_manager.domain.captures import Story
from egress_manager.domain.holes import LOSS, NUMBERED, PAUSE, SENDS_WITHIN, Obstacle, merged
from egress_manager.domain.witness import BURST, Count, counted, missing

#: Counts of the server and ours agree if they differ by no more: what is on its way. Packets.
AGREE: Final = 3

#: Where the server has reported, it goes on so often at least, whatever the publisher does: it
#: does so every three seconds (measured). Seconds.
REPORTS: Final = 7.0


class Subscription(NamedTuple):
    """One SSRC that brought the track: its first and last packet, the last sign of it, counts.

    Its packets are known by their numbers from `numbered` on. Where it brought some before the
    capture began, that is when that began; else a moment after its first one, which is heard a
    little later than it came.
    """

    first: float
    numbered: float
    ssrc: int
    last: float
    sign: float
    counts: Sequence[Count]


def silences(
    stories: Sequence[Story], track_sid: str, known: Sequence[Obstacle], ends_at: float
) -> list[Obstacle]:
    """The pauses and losses that are known of; of what else is `known`, nothing is said again."""
    subscriptions = sorted(one for story in stories for one in _subscriptions(story, track_sid))
    return [
        *(Obstacle(one.numbered, one.last, NUMBERED) for one in subscriptions),
        *(each for one in subscriptions for each in merged(_counted(one.counts))),
        *_between(subscriptions, known),
        *_unreported(subscriptions, known, ends_at),
    ]


def _subscriptions(story: Story, track_sid: str) -> Iterator[Subscription]:
    for ssrc, counts in counted(story, track_sid):
        stretches = [s for s in story.stretches_of(track_sid) if s.began.ssrc == ssrc and s.pages]
        if stretches:
            last = max(page.arrived for stretch in stretches for page in stretch.pages)
            reported = max((r.at for s in stretches for r in s.reports), default=-inf)
            began = stretches[0].began
            was_there = (began.packets_before or 0) > BURST
            numbered = story.began.at if story.began and was_there else began.at + SENDS_WITHIN
            sign = max(last, reported)
            yield Subscription(began.at, numbered, ssrc, last, sign, counts)


def _counted(counts: Sequence[Count]) -> Iterator[Obstacle]:
    """Between two reports: whether more was sent than was kept."""
    for before, after in pairwise(counts):
        lacks = missing(before, after)
        if lacks <= AGREE:
            yield Obstacle(before.at, after.at, PAUSE)
        elif lacks > BURST:
            yield Obstacle(before.at, after.at, LOSS)


def _between(
    subscriptions: Sequence[Subscription], known: Sequence[Obstacle]
) -> Iterator[Obstacle]:
    """From the last sign of one to the first packet of the next, where nothing explains that.

    Two captures may have the same one, one after the other: its numbers go on.
    """
    for one, other in pairwise(subscriptions):
        if one.ssrc == other.ssrc:
            yield Obstacle(one.last, other.first, PAUSE)
        elif one.sign < other.first and not _is_known(one.sign, other.first, known):
            yield Obstacle(one.sign, other.first, LOSS)


def _unreported(
    subscriptions: Sequence[Subscription], known: Sequence[Obstacle], ends_at: float
) -> Iterator[Obstacle]:
    """Behind the last sign of a server that used to report."""
    for one in subscriptions:
        nexts = [o.start for o in known if o.end > one.sign]
        nexts += [other.first for other in subscriptions if other.first > one.sign]
        until = min(nexts, default=ends_at)
        if len(one.counts) > 1 and until - one.sign > REPORTS:
            yield Obstacle(one.sign, until, LOSS)


def _is_known(start: float, end: float, known: Sequence[Obstacle]) -> bool:
    return any(each.start < end and each.end > start for each in known)

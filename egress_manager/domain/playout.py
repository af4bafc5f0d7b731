"""When a track's file plays its packets, held against when they came.

A witness against the timeline: it does not ask where packets were placed, or by which rule. It
knows when packets came (the journal) and at which position the same bytes lie in the finished file.
Nobody could have heard a word before its first packet came, or waited long for one that is there.

Pure. Times are seconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import median, median_high
from typing import Final, NamedTuple

from egress_manager.domain.evidence import Playout

#: What comes so long after the page before it begins an utterance. Seconds.
PAUSE_SEC: Final = 0.3

#: A word may be played this much before its first packet came, and what the network's jitter adds:
#: the jitter of pages, this many times; where no page tells it, that of a usual network. Seconds.
EARLY_SEC: Final = 0.1
JITTERS: Final = 3
USUAL_JITTER: Final = 0.04

#: A word may be played this much after its first packet came. Seconds.
LATE_SEC: Final = 0.25

#: A third of an utterance that is judged by itself has at least this many pages.
FEWEST: Final = 4

#: The witness needs so many utterances to judge how a publisher sends: the network may have delayed
#: the first packets of one or two.
SEVERAL: Final = 3

#: Pages that came in less than this part of the time that they last were held up by the network, or
#: sent ahead of time: how late they are tells nothing.
AT_ONCE: Final = 0.5

#: No clock is off by more than this part: what gains on it more is no clock that runs away, but a
#: publisher that makes up for what it was held up by.
FASTEST_CLOCK: Final = 0.1


class PlayedPage(NamedTuple):
    """A page of a capture whose packets are looked for in the track's file.

    `starts_at` and `ends_at` are moments: when its first packet came, and when its last one would
    have ended had none been late. `first_sec` is how long after it came the packet that came first
    is played, `least_sec` the same of the least-delayed one (None: nothing of the page was found).
    `lasts` is how much sound it has, `jitter` how much its delays differ. Of its packets that carry
    sound `packets` were looked for in the file, and `missing` are not there. `over_sec` is by how
    much it would be played after the call's end: its publisher had sent it ahead of time.
    `goes_on`: its timestamps go on from the page before. `waits`: it is played directly behind what
    was sent before it.
    """

    starts_at: float
    ends_at: float
    lasts: float
    jitter: float
    first_sec: float | None
    least_sec: float | None
    packets: int
    missing: int
    over_sec: float = 0.0
    goes_on: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Utterance:
    """Pages that came without a pause between them, `pause_sec` after those before.

    `jitter` is that of the network, of pages that tell it. `catches_up`: what follows without a gap
    in its timestamps, and is played without one, comes in time. `ahead_sec`: its first packets may
    have come so long before the first one that is known of.
    """

    pages: Sequence[PlayedPage]
    pause_sec: float = inf
    jitter: float = USUAL_JITTER
    catches_up: bool = False
    ahead_sec: float = 0.0

    @property
    def starts_at(self) -> float:
        """When its first packet came."""
        return self.pages[0].starts_at

    @property
    def first_sec(self) -> float | None:
        """How long after it came its first packet is played."""
        return self.pages[0].first_sec

    @property
    def wrong_sec(self) -> float:
        """By how much it is certainly played too early (negative) or too late; else 0.

        The network may have held its first packets up, so its least-delayed one tells whether it is
        too early. Its publisher may have sent most of it ahead of time, so its first one tells
        whether it is too late.

        A publisher that is starved of CPU time, or a network that is jammed, may hold up whole
        utterances. Then the counter went on, and what it counts next comes in time: no counter
        makes up for time that it stood still. They are heard where they were said.
        """
        least = [page.least_sec for page in self.pages if page.least_sec is not None]
        is_excused = self.came_at_once or self.catches_up
        if least and max(least) < -self.patience_sec and not is_excused:
            return max(least)
        return self._late_sec or self._drifts_sec

    @property
    def _late_sec(self) -> float:
        """How long after it came a page is played that has nothing to wait for; else 0.

        What follows a gap in the timestamps is left out: their clock may have leapt. Packets may
        have flowed already when the first one came that is known of; then that waits its turn.
        """
        late = (
            page.first_sec
            for n, page in enumerate(self.pages)
            if page.first_sec is not None and not page.waits and (n == 0 or page.goes_on)
        )
        return next((seconds for seconds in late if seconds > LATE_SEC + self.ahead_sec), 0.0)

    @property
    def _drifts_sec(self) -> float:
        """By how much its end is farther from its place than its beginning, if that grows evenly.

        A network that takes another way for a while is no drift: it changes at once. Nor does a
        clock run away from who catches up.
        """
        known = [page for page in self.pages if page.least_sec is not None]
        third = len(known) // 3
        if third < FEWEST:
            return 0.0
        least = [page.least_sec or 0.0 for page in known]
        first, middle, last = (median(least[n * third : (n + 1) * third]) for n in range(3))
        grows = last - first
        lasts = sum(page.lasts for page in known) * 2 / 3
        if abs(middle - (first + last) / 2) >= abs(grows) / 4 or abs(grows) <= self.patience_sec:
            return 0.0
        is_excused = grows > FASTEST_CLOCK * lasts or (grows < 0 and self.catches_up)
        return 0.0 if is_excused else grows

    @property
    def patience_sec(self) -> float:
        """How early it may be played, by the jitter of its network."""
        return EARLY_SEC + JITTERS * self.jitter

    @property
    def is_new(self) -> bool:
        """Whether its publisher began it after a pause.

        Who was held up goes on where it stopped: its first packet is as late as the pause is long.
        """
        return not self.pages[0].goes_on or -(self.first_sec or 0) <= self.pause_sec - EARLY_SEC

    @property
    def came_at_once(self) -> bool:
        """Whether it came faster than it was spoken, to its end."""
        took = max(page.ends_at for page in self.pages) - self.starts_at
        return took < AT_ONCE * sum(page.lasts for page in self.pages)


def utterances(every: Iterable[PlayedPage]) -> Iterator[Utterance]:
    """The pages of one stretch, cut at every pause."""
    pages = list(every)
    pauses = [inf, *(page.starts_at - before.ends_at for before, page in pairwise(pages))]
    starts = [n for n, pause in enumerate(pauses) if pause > PAUSE_SEC][: len(pages)]
    cut = [pages[start:end] for start, end in pairwise([*starts, len(pages)])]
    told = [jitter for each in cut for jitter in _jitters(each)]
    usual = median(told) if told else USUAL_JITTER
    in_time = _in_time_again(pages)
    for start, each in zip(starts, cut, strict=True):
        jitter = max(usual, median(list(_jitters(each)) or [usual]))
        ahead_sec = 0.0 if start else _ahead_sec(cut[1:])
        yield Utterance(each, pauses[start], jitter, in_time[start + len(each)], ahead_sec)


def _ahead_sec(others: Iterable[Sequence[PlayedPage]]) -> float:
    """How much earlier than their first packets others of several utterances come; 0 of a few.

    So much of an utterance of which only the end is known may be there before its turn.
    """
    leads: list[float] = []
    for pages in others:
        first = pages[0].first_sec
        least = [page.least_sec for page in pages if page.least_sec is not None]
        if first is not None and least:
            leads.append(max(least) - first)
    return sorted(leads)[-SEVERAL] if len(leads) >= SEVERAL else 0.0


def _jitters(pages: Sequence[PlayedPage]) -> Iterator[float]:
    """The jitter of an utterance's pages that tell that of the network.

    With the first one, and with what came at once with it, may be sound that was sent ahead of
    time: then their delays differ by that.
    """
    for before, page in pairwise(pages):
        if page.starts_at - before.starts_at >= AT_ONCE * before.lasts:
            yield page.jitter


def _in_time_again(pages: Sequence[PlayedPage]) -> list[bool]:
    """Of each page whether it, or what follows it without a gap, comes in time; and one more."""
    found = [False]
    for page in reversed(pages):
        is_in_time = page.least_sec is not None and page.least_sec >= -EARLY_SEC
        is_played_on = page.goes_on and (page.waits or page.least_sec is None)
        found.append(is_played_on and (is_in_time or found[-1]))
    return found[::-1]


def playout(track_sid: str, found: Sequence[Utterance], begins_at: float) -> Playout:
    """What is to be said of a track: the utterance that is farthest from its place."""
    wrong = max(found, key=lambda one: abs(one.wrong_sec), default=None)
    misplaced = wrong.wrong_sec if wrong else 0.0
    if not misplaced:
        misplaced, wrong = _usually_early(found)
    pages = [page for one in found for page in one.pages]
    return Playout(
        track_sid=track_sid,
        at_sec=round(max(0.0, wrong.starts_at - begins_at), 3) if wrong and misplaced else 0.0,
        misplaced_sec=round(misplaced, 3),
        packets=sum(page.packets for page in pages),
        missing=sum(page.missing for page in pages),
        unheard_sec=round(max((page.over_sec for page in pages), default=0.0), 3),
    )


def _usually_early(found: Sequence[Utterance]) -> tuple[float, Utterance | None]:
    """How early most of several utterances are played (negative), and the first of them; else 0.

    That most are played before their first packets came is no network's doing. Short ones may have
    come at once: by as much each time if their publisher sent ahead of time, and not if it was
    starved.
    """
    every = [one for one in found if one.is_new and one.first_sec is not None]
    spoken = [one for one in every if not one.came_at_once]
    for usual in (spoken, every):
        if len(usual) < SEVERAL:
            continue
        first = [one.first_sec or 0.0 for one in usual]
        middle = median_high(first)
        alike = sum(abs(each - middle) < EARLY_SEC for each in first)
        is_certain = usual is spoken or alike > len(usual) / 2
        if is_certain and middle < -median(one.patience_sec for one in usual):
            return middle, usual[0]
    return 0.0, None

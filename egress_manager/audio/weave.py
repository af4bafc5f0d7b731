"""One track's packets in the order of time, each moment once, however many stretches hold it.

Packets of a single stretch are all taken: a publisher whose timestamps are odd sent each once. So
are those of stretches of one stream that follow one another: the next is not heard before the end
of the one before.

Two captures may have kept the same track, and so may two connections of one capture that overlap
while one takes over from the other. The stretch that began earlier wins; a later one fills in
where the earlier has nothing. The cut is between packets.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from egress_manager.audio import opus
from egress_manager.audio.source import CaptureFiles, SoundPage
from egress_manager.domain.captures import TICKS, Stretch
from egress_manager.domain.holes import Covered
from egress_manager.domain.talkspurts import LONG_LINE, LONG_STOP, STOP, is_of_livekit
from egress_manager.domain.timeline import Placement, place

#: Stretches may overlap by so much without a packet being cut: no placement is exact. Seconds.
TOLERANCE: Final = 0.005

#: A stretch that began later is read so far behind the one before it, so that the page which that
#: one has of the same moment was seen. A page is at most half a second long. Seconds.
BEHIND: Final = 0.75

#: A stretch of which nothing came for so long is not waited for. Seconds.
DEAD_AFTER: Final = 10.0

#: A placement is made anew when a stretch has grown by this part of itself, and so many seconds.
GROWTH: Final = 0.1
SHORTEST_GROWTH: Final = 4.0

#: RTP timestamps count modulo this. Ticks.
TIMESTAMPS: Final = 2**32

#: If the last packet of a stretch is played so long after it arrived, the publisher sent it ahead
#: of time. Seconds.
AHEAD: Final = 0.1

#: It is also made anew when the last pages all come this much later, or earlier. Seconds.
OFF: Final = 0.025
LAST_PAGES: Final = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """Packets without a hole between them: from granule `start`, which belongs to `start_at`."""

    strand: "Strand"
    start: int
    end: int
    start_at: float
    end_at: float
    packets: tuple[bytes, ...]
    lost: int

    @property
    def after_loss(self) -> bool:
        """Whether packets are known to be lost just before it."""
        return self.lost > 0


class Strand:
    """One stretch of the track that is being read, and where it belongs by now.

    `stream` are the stretches of the same stream, in the order of time.
    """

    def __init__(
        self, capture: CaptureFiles, stretch: Stretch, now: float, stream: "Sequence[Strand]"
    ) -> None:
        self.stretch = stretch
        self._stream = stream
        self.placement = self._place(now)
        self._placed_at, self._placed_until = now, stretch.until
        self._file = capture.file_of(stretch)
        self._pages: deque[SoundPage] = deque()
        self._lost_before: dict[int, int] = {}
        self._silence: set[int] = set()
        self._lost_in_silence = 0
        self._journaled = 0
        self._story = capture.story

    def refresh(self, now: float) -> bool:
        """Place it again if enough has come since; whether it was. `now` as in `place`."""
        is_last = now == inf > self._placed_at
        grown = (self.stretch.until - self._placed_until) / TICKS
        enough = max(SHORTEST_GROWTH, GROWTH * self._placed_until / TICKS)
        has_grown = grown > 0 and (grown >= enough or self._is_off())
        if not (is_last or has_grown or self.placement.open_from < inf):
            return False
        self.placement = self._place(now)
        self._placed_at, self._placed_until = now, self.stretch.until
        return True

    def _place(self, now: float) -> Placement:
        began_at = self.stretch.began.at
        ended = (
            strand
            for strand in reversed(self._stream)
            if strand is not self
            and strand.stretch.pages
            and strand.stretch.pages[-1].arrived <= began_at
        )
        before = next(ended, None)
        if before is None:
            return place(self.stretch, now)
        placement = place(self.stretch, now, before.owes_until)
        return placement if self._stands_alone else before._carried_on(self.stretch, placement)

    @property
    def _stands_alone(self) -> bool:
        """Whether it is long enough for its least-delayed packets to show its place."""
        return self.stretch.until / TICKS >= LONG_LINE

    def _carried_on(self, after: Stretch, placement: Placement) -> Placement:
        """The placement of a short stretch of the same stream, by what is known from this one.

        All packets of a few seconds may be late. Where the counter went on, this one has shown
        where they belong.
        """
        ahead = (after.began.rtp - self.stretch.began.rtp) % TIMESTAMPS
        expected_at = self.placement.at(ahead)
        if 0 < placement.origin_at - expected_at < STOP:
            return replace(placement, origin_at=expected_at)
        return placement

    @property
    def owes_until(self) -> float:
        """When the last of what its publisher sent ahead of time has been heard; else -inf."""
        last = next((p for p in reversed(self.stretch.pages) if not is_of_livekit(p)), None)
        if last is None:
            return -inf
        ends_at = self.placement.at(last.until)
        lead = ends_at - last.arrived - (last.until - last.granule) / TICKS
        return ends_at if lead > AHEAD else -inf

    def _is_off(self) -> bool:
        """Whether what came last is elsewhere: the counter may have stood still, or leapt."""
        last = self.stretch.pages[-LAST_PAGES:]
        at = self.placement.at
        delays = [page.arrived - at(page.granule) for page in last]
        first = [page.came - at(page.first) for page in last if page.first >= 0]
        is_later = min(delays) > OFF or delays[-1] > LONG_STOP / 2
        return is_later or (len(last) == len(first) and max(first) < -OFF)

    def read(self) -> None:
        """Take in what the journal says of pages that are new."""
        for page in self.stretch.pages[self._journaled :]:
            self._lost_before[page.until] = page.lost
            if page.is_silent and is_of_livekit(page):
                self._silence.add(page.until)
        self._journaled = len(self.stretch.pages)

    def take(self, until: float) -> Iterator[SoundPage]:
        """The pages that end before a moment, once each, as far as their place is known.

        LiveKit's own silence is nobody's sound. Its timestamps go on where those of the publisher
        ended, and what a publisher that had sent ahead of time says next is not to wait for it.
        """
        known = self._known_until()
        while True:
            if not self._pages:
                self._pages.extend(self._file.read())
            if not self._pages or self._pages[0].end > known:
                return
            page = self._pages[0]
            is_silence = page.end in self._silence
            if not is_silence and self.ends_at(page.end) > until:
                return
            self._pages.popleft()
            if is_silence:
                self._lost_in_silence += self._lost_before.pop(page.end, 0)
            else:
                yield page

    def _known_until(self) -> float:
        """The granule up to which the places of its pages are known.

        A page waits for its line in the journal, which tells when it came: perhaps long after this
        call. The last one of a process that died may have none; its journal was ended for it.
        """
        if self.stretch.ended or self._story.ended:
            return inf
        return min(self.stretch.until, self.placement.open_from)

    def ends_at(self, granule: int) -> float:
        """When the last sample before a granule is heard, which may be well before the next one."""
        return self.placement.at(granule - 1)

    def lost_before(self, page: SoundPage) -> int:
        """How many packets are known to be lost just before that page, which was just taken."""
        lost, self._lost_in_silence = self._lost_in_silence, 0
        return lost + self._lost_before.pop(page.end, 0)

    def may_cover(self, moment: float) -> bool:
        """Whether pages that end about that moment may still come of it."""
        if self.stretch.ended is not None:
            return bool(self._pages)
        return self.placement.at(self.stretch.until) > moment - DEAD_AFTER


class Weave:
    """All stretches of one track, read together."""

    def __init__(self, track_sid: str) -> None:
        self.track_sid = track_sid
        self.strands: list[Strand] = []
        self.covered: list[Covered] = []
        self._known: set[tuple[int, int]] = set()
        self._streams: dict[int, list[Strand]] = {}

    def look(self, captures: Sequence[CaptureFiles], now: float = inf) -> None:
        """Take in the stretches and pages that are new. `now` as in `place`."""
        for n, capture in enumerate(captures):
            for stretch in capture.story.stretches_of(self.track_sid):
                key = (n, stretch.began.stretch)
                if key not in self._known:
                    self._known.add(key)
                    stream = self._streams.setdefault(stretch.began.ssrc, [])
                    stream.append(Strand(capture, stretch, now, stream))
                    self.strands.append(stream[-1])
        self.strands.sort(key=lambda strand: strand.stretch.began.at)
        for strand in self.strands:
            strand.read()

    def take(self, until: float) -> Iterator[Piece]:
        """The pieces that end before a moment, as far as they can be known now, once each.

        Pieces of one stretch come in order; those of different stretches may come mixed.
        """
        limit = until
        for strand in self.strands:
            for page in strand.take(limit):
                yield from self._uncovered(strand, page)
            limit -= BEHIND if strand.may_cover(limit) else 0

    def _uncovered(self, strand: Strand, page: SoundPage) -> Iterator[Piece]:
        """What of a page has not been covered yet, and cover it."""
        at = strand.placement.at
        lost = strand.lost_before(page)
        start_at, end_at = at(page.start), strand.ends_at(page.end)
        if len(self.strands) == 1 or not self._overlaps(start_at, end_at):
            whole = Piece(strand, page.start, page.end, start_at, end_at, page.packets, lost)
            yield self._cover(whole)
            return
        for start, end, packets in self._runs(strand, page):
            yield self._cover(
                Piece(strand, start, end, at(start), strand.ends_at(end), tuple(packets), lost)
            )

    def _runs(self, strand: Strand, page: SoundPage) -> list[tuple[int, int, list[bytes]]]:
        """The runs of a page's packets that overlap nothing, with their granules."""
        runs: list[tuple[int, int, list[bytes]]] = []
        granule = page.start
        for packet in page.packets:
            end = granule + opus.duration(packet)
            if not self._overlaps(strand.placement.at(granule), strand.ends_at(end)):
                if runs and runs[-1][1] == granule:
                    start, _, packets = runs.pop()
                    runs.append((start, end, [*packets, packet]))
                else:
                    runs.append((granule, end, [packet]))
            granule = end
        return runs

    def _overlaps(self, start: float, end: float) -> bool:
        """Whether more than the tolerance of a span is covered already."""
        n = bisect_right(self.covered, end - TOLERANCE, key=lambda span: span.start)
        return n > 0 and self.covered[n - 1].end > start + TOLERANCE

    def _cover(self, piece: Piece) -> Piece:
        """Note that a piece's time is taken."""
        span = Covered(piece.start_at, piece.end_at, piece.after_loss)
        n = bisect_right(self.covered, span.start, key=lambda other: other.start)
        before = self.covered[n - 1] if n else None
        if before and abs(span.start - before.end) <= TOLERANCE:
            self.covered[n - 1] = before._replace(end=max(before.end, span.end))
        else:
            self.covered.insert(n, span)
        return piece

"""Which packets of a capture a track's file plays, and when: read from the bytes of both."""

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from egress_manager.audio import ogg, opus
from egress_manager.audio.decode import LOOKAHEAD
from egress_manager.audio.source import CaptureFiles, SoundPage
from egress_manager.domain.captures import TICKS, PageKept, Stretch
from egress_manager.domain.evidence import Claim, Playout
from egress_manager.domain.playout import PlayedPage, Utterance, playout, utterances
from egress_manager.domain.talkspurts import is_of_livekit

#: Shorter packets carry silence: they are alike. Bytes.
SHORTEST: Final = 6

#: Packets nearer to the call's beginning or end than this may rightly be cut off. Seconds.
EDGE_SEC: Final = 0.3

#: Stretches that overlap by more than this hold the same packets: of each some are not played. So
#: are those that came so shortly before and after that, for no placement is exact. Seconds.
OVERLAP_SEC: Final = 0.02
AROUND_SEC: Final = 0.5

#: What begins so near to the end of what was played before it follows that. Seconds.
SEAM_SEC: Final = 0.05

#: Clocks of publishers are not further off than this part.
FASTEST: Final = 0.02

#: When the packets of a file are played, by their bytes (moments); None for bytes that come again.
Moments = Mapping[bytes, float | None]


class Repeats:
    """Packets of a track that were sent more than once, by the hash of their bytes.

    Somebody who says the same again after a pause may make the same bytes. Where one of two is
    played can't be told. An hour of packets takes some 10 MB.
    """

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._again: set[int] = set()
        self._shared: set[int] = set()

    def note(self, packets: Iterable[bytes]) -> None:
        """These were sent, each once more."""
        for each in map(hash, packets):
            (self._again if each in self._once else self._once).add(each)

    def note_shared(self, packets: Iterable[bytes]) -> None:
        """These of one stretch were sent while another one was kept, which may have them, too."""
        new = [packet for packet in packets if hash(packet) not in self._shared]
        self.note(new)
        self._shared.update(map(hash, new))

    def __contains__(self, packet: bytes) -> bool:
        return hash(packet) in self._again


class Sample(NamedTuple):
    """A page of a stretch, and some of its packets that carry sound, with their granules.

    `is_shared`: another stretch has the same packets, perhaps, and the file plays one of each.
    """

    page: PageKept
    packets: Sequence[tuple[int, bytes]]
    is_shared: bool = False


def playouts(
    claim: Claim, captures: Sequence[CaptureFiles], directory: Path
) -> Generator[None, None, tuple[Playout, ...]]:
    """One for each track whose file can be held against what was captured of it, in slices."""
    if claim.begins_at is None or claim.ends_at is None or not claim.is_ours:
        return ()
    made: list[Playout] = []
    for track in claim.tracks:
        stretches = [
            (capture, stretch)
            for capture in captures
            for stretch in capture.story.stretches_of(track.track_sid)
            if stretch.pages
        ]
        if not track.path or not stretches:
            continue
        stretches.sort(key=lambda each: each[1].began.at)
        overlaps = _overlaps([stretch for _, stretch in stretches])
        repeats = Repeats()
        samples = [_samples(capture, stretch, overlaps, repeats) for capture, stretch in stretches]
        yield
        try:
            data = (directory / track.path).read_bytes()
        except OSError:  # that it is not there is found by who listens to it
            continue
        played = _moments(data, claim.begins_at, samples, repeats)
        yield
        found: list[Utterance] = []
        for pages in _pages(samples, played, claim.begins_at, claim.ends_at):
            found += utterances(pages)
        made.append(playout(track.track_sid, found, claim.begins_at))
    return tuple(made)


def _overlaps(stretches: Sequence[Stretch]) -> list[tuple[float, float]]:
    """When several stretches were kept at once, in order; they come in the order of time."""
    spans: list[tuple[float, float]] = []
    kept_until = -inf
    for stretch in stretches:
        since, until = stretch.began.at, stretch.pages[-1].at
        if kept_until > since + OVERLAP_SEC:
            start, end = since - AROUND_SEC, min(kept_until, until) + AROUND_SEC
            if spans and start <= spans[-1][1]:
                start, last = spans.pop()
                end = max(end, last)
            spans.append((start, end))
        kept_until = max(kept_until, until)
    return spans


def _is_shared(page: PageKept, overlaps: Sequence[tuple[float, float]]) -> bool:
    """Whether some of a page came while several stretches were kept."""
    n = bisect_right(overlaps, page.at, key=lambda span: span[0])
    return n > 0 and overlaps[n - 1][1] > (page.came or page.arrived)


def _samples(
    capture: CaptureFiles,
    stretch: Stretch,
    overlaps: Sequence[tuple[float, float]],
    repeats: Repeats,
) -> list[Sample]:
    """The pages of a stretch, in order; all their packets are noted."""
    kept = {page.until: page for page in stretch.pages}
    file = capture.file_of(stretch)
    found: list[Sample] = []
    shared: list[bytes] = []
    while pages := file.read():
        for page in pages:
            sample = _sample(kept.get(page.end), page, overlaps)
            if sample:
                found.append(sample)
            if sample and sample.is_shared:
                shared += page.packets
            else:
                repeats.note(page.packets)
    repeats.note_shared(shared)
    return found


def _sample(
    kept: PageKept | None, page: SoundPage, overlaps: Sequence[tuple[float, float]]
) -> Sample | None:
    """LiveKit's own silence is nothing to look for; None if the journal does not know the page."""
    if kept is None:
        return None
    return Sample(kept, [] if is_of_livekit(kept) else _chosen(page), _is_shared(kept, overlaps))


def _chosen(page: SoundPage) -> list[tuple[int, bytes]]:
    """The first packet of a page that carries sound, the last, and one between."""
    granule, carrying = page.start, []
    for packet in page.packets:
        if len(packet) >= SHORTEST:
            carrying.append((granule, packet))
        granule += opus.duration(packet)
    places = sorted({0, len(carrying) // 2, len(carrying) - 1}) if carrying else []
    return [carrying[place] for place in places]


def _moments(
    data: bytes, begins_at: float, samples: Sequence[Sequence[Sample]], repeats: Repeats
) -> Moments:
    """When the chosen packets are played that are in a track's file."""
    wanted = {packet for each in samples for one in each for _, packet in one.packets}
    played: dict[bytes, float | None] = {}
    position, skipped = 0, 0
    for page in ogg.read_pages(data):
        if page.is_head:
            skipped = _pre_skip(page.packets[0]) or skipped
            continue
        if not page.is_last:  # the last one's granule says where a player stops
            position = page.granule - sum(map(opus.duration, page.packets))
        for packet in page.packets:
            if packet in wanted:
                at = begins_at + (position - skipped + LOOKAHEAD) / TICKS
                played[packet] = None if packet in played or packet in repeats else at
            position += opus.duration(packet)
    return played


def _pre_skip(head: bytes) -> int:
    """How much of the beginning a player skips (RFC 7845, section 5.1); 0 for the second header."""
    return int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0


def _pages(
    stretches: Sequence[Sequence[Sample]], played: Moments, begins_at: float, ends_at: float
) -> Iterator[list[PlayedPage]]:
    """Yield the pages of each stretch with the moments at which the file plays them.

    A page after the call's end gets the moment at which the file would have played it.
    """
    heard_until = -inf
    for samples in stretches:
        pages: list[PlayedPage] = []
        chain = Chain()
        for sample in samples:
            page = sample.page
            known = _zero_at(sample, played)
            goes_on = chain.take(page, known)
            waits = known is not None and known + page.begins / TICKS < heard_until + SEAM_SEC
            would_end_at = page.arrived + (page.until - page.granule) / TICKS
            over_sec = chain.ends_at - ends_at
            starts_at = page.came or page.arrived
            is_inside = begins_at + EDGE_SEC < starts_at and would_end_at < ends_at - EDGE_SEC
            is_inside = is_inside and not sample.is_shared
            packets = sample.packets if is_inside and over_sec < -EDGE_SEC else ()
            judged = None if sample.is_shared else known
            pages.append(
                PlayedPage(
                    starts_at=starts_at,
                    ends_at=would_end_at,
                    lasts=(page.until - page.begins) / TICKS,
                    jitter=max(0.0, page.jitter),
                    first_sec=_after(judged, page.first, page.came) if page.first >= 0 else None,
                    least_sec=_after(judged, page.granule, page.arrived),
                    packets=len(packets),
                    missing=sum(packet not in played for _, packet in packets),
                    over_sec=max(0.0, over_sec) if is_inside and sample.packets else 0.0,
                    goes_on=goes_on,
                    waits=waits,
                )
            )
            if known is not None:
                heard_until = max(heard_until, known + page.until / TICKS)
            elif goes_on:
                heard_until = max(heard_until, chain.ends_at)
        yield pages


class Chain:
    """Pages without a gap between their timestamps: when the newest would be played to its end.

    A page of which nothing is found goes on from those before it. No clock is off by more than
    `FASTEST`: what moves more within a chain is a mistake of the file, and not followed.
    """

    def __init__(self) -> None:
        self.ends_at = -inf
        self._until = -1
        self._begins = 0
        self._first: float | None = None
        self._zero: float | None = None

    def take(self, page: PageKept, zero_at: float | None) -> bool:
        """The next page, and when granule 0 would be played by it; whether it goes on."""
        goes_on, self._until = page.begins == self._until, page.until
        if not goes_on or self._first is None:
            self._begins, self._first, self._zero = page.begins, zero_at, zero_at
        elif zero_at is not None:
            lasts = (page.until - self._begins) / TICKS
            if abs(zero_at - self._first) <= FASTEST * lasts + SEAM_SEC:
                self._zero = zero_at
        self.ends_at = -inf if self._zero is None else self._zero + page.until / TICKS
        return goes_on


def _zero_at(sample: Sample, played: Moments) -> float | None:
    """When granule 0 would be played, by the first packet of a page that is found."""
    moments = ((granule, played.get(packet)) for granule, packet in sample.packets)
    return next((at - granule / TICKS for granule, at in moments if at is not None), None)


def _after(zero_at: float | None, granule: int, came: float) -> float | None:
    """How long after it came the packet at a granule is played; granule 0 would be at `zero_at`."""
    return None if zero_at is None else zero_at + granule / TICKS - came

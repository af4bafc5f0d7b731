"""Which packets of a capture a track's file plays, and when: read from the bytes of both."""

from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from egress_manager.audio import ogg, opus
from egress_manager.audio.decode import LOOKAHEAD
from egress_manager.audio.source import CaptureFiles, SoundPage
from egress_manager.domain.captures import TICKS, PageKept, Stretch
from egress_manager.domain.evidence import Claim, Playout
from egress_manager.domain.playout import PlayedPage, Utterance, playout, utterances

#: Shorter packets carry silence: they are alike. Bytes.
SHORTEST: Final = 6

#: Packets nearer to the call's beginning or end than this may rightly be cut off. Seconds.
EDGE_SEC: Final = 0.3

#: Stretches that overlap by more than this hold the same packets. Seconds.
OVERLAP_SEC: Final = 0.02

#: When the packets of a file are played, by their bytes (moments); None for bytes that come twice.
Moments = Mapping[bytes, float | None]


class Sample(NamedTuple):
    """A page of a stretch, and some of its packets that carry sound, with their granules."""

    page: PageKept
    packets: Sequence[tuple[int, bytes]]


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
        if not track.path or not stretches or _overlap([stretch for _, stretch in stretches]):
            continue
        samples = [_samples(capture, stretch) for capture, stretch in stretches]
        yield
        try:
            data = (directory / track.path).read_bytes()
        except OSError:  # that it is not there is found by who listens to it
            continue
        played = _moments(data, claim.begins_at, samples)
        yield
        found: list[Utterance] = []
        for sampled in samples:
            pages = [_page(one, played, claim.begins_at, claim.ends_at) for one in sampled]
            found += utterances(pages)
        made.append(playout(track.track_sid, found, claim.begins_at))
    return tuple(made)


def _overlap(stretches: Sequence[Stretch]) -> bool:
    """Whether the same packets are in two stretches, so that some of each are not played."""
    spans = sorted((stretch.began.at, stretch.pages[-1].arrived) for stretch in stretches)
    return any(until > since + OVERLAP_SEC for (_, until), (since, _) in pairwise(spans))


def _samples(capture: CaptureFiles, stretch: Stretch) -> list[Sample]:
    """The pages of a stretch, in order."""
    kept = {page.until: page for page in stretch.pages}
    file = capture.file_of(stretch)
    found: list[Sample] = []
    while pages := file.read():
        found += [Sample(kept[p.end], _chosen(p)) for p in pages if p.end in kept]
    return found


def _chosen(page: SoundPage) -> list[tuple[int, bytes]]:
    """The first packet of a page that carries sound, the last, and one between."""
    granule, carrying = page.start, []
    for packet in page.packets:
        if len(packet) >= SHORTEST:
            carrying.append((granule, packet))
        granule += opus.duration(packet)
    places = sorted({0, len(carrying) // 2, len(carrying) - 1}) if carrying else []
    return [carrying[place] for place in places]


def _moments(data: bytes, begins_at: float, samples: Sequence[Sequence[Sample]]) -> Moments:
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
                played[packet] = None if packet in played else at
            position += opus.duration(packet)
    return played


def _pre_skip(head: bytes) -> int:
    """How much of the beginning a player skips (RFC 7845, section 5.1); 0 for the second header."""
    return int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0


def _page(sample: Sample, played: Moments, begins_at: float, ends_at: float) -> PlayedPage:
    page = sample.page
    starts_at = page.came or page.arrived
    would_end_at = page.arrived + (page.until - page.granule) / TICKS
    is_inside = begins_at + EDGE_SEC < starts_at and would_end_at < ends_at - EDGE_SEC
    packets = [packet for _, packet in sample.packets] if is_inside else []
    zero_at = next(
        (at - granule / TICKS for granule, one in sample.packets if (at := played.get(one))), None
    )
    return PlayedPage(
        starts_at=starts_at,
        ends_at=would_end_at,
        lasts=(page.until - page.begins) / TICKS,
        jitter=max(0.0, page.jitter),
        first_sec=_after(zero_at, page.first, page.came) if page.first >= 0 else None,
        least_sec=_after(zero_at, page.granule, page.arrived),
        packets=len(packets),
        missing=sum(packet not in played for packet in packets),
    )


def _after(zero_at: float | None, granule: int, came: float) -> float | None:
    """How long after it came the packet at a granule is played; granule 0 would be at `zero_at`."""
    return None if zero_at is None else zero_at + granule / TICKS - came

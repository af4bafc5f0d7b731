"""Which packets of a capture a track's file plays, and when: read from the bytes of both."""

from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from egress_manager.audio import ogg, opus
from egress_manager.audio.decode import LOOKAHEAD
from egress_manager.audio.source import CaptureFiles
from egress_manager.domain.captures import TICKS, PageKept, Stretch
from egress_manager.domain.evidence import Claim, Playout
from egress_manager.domain.playout import PlayedPage, Utterance, playout, utterances

#: Shorter packets carry silence or comfort noise: many are alike. Bytes.
SHORTEST: Final = 20

#: Packets nearer to the call's beginning or end than this may rightly be cut off. Seconds.
EDGE_SEC: Final = 0.3

#: Stretches that overlap by more than this hold the same packets. Seconds.
OVERLAP_SEC: Final = 0.02

#: When the packets of a file are played, by their bytes (moments); None for bytes that come twice.
Moments = Mapping[bytes, float | None]


class Sample(NamedTuple):
    """A page of a stretch, and of its packets those that came first, least delayed, and in order
    last (empty: without sound)."""

    page: PageKept
    first: bytes
    least: bytes
    last: bytes


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
        samples = [_samples(capture, stretch, claim) for capture, stretch in stretches]
        yield
        played = _moments(directory / track.path, claim.begins_at, samples)
        yield
        found: list[Utterance] = []
        for sampled in samples:
            found += utterances([_page(sample, played) for sample in sampled])
        made.append(playout(track.track_sid, found, claim.begins_at))
    return tuple(made)


def _overlap(stretches: Sequence[Stretch]) -> bool:
    """Whether the same packets are in two stretches, so that some of each are not played."""
    spans = sorted((stretch.began.at, stretch.pages[-1].arrived) for stretch in stretches)
    return any(until > since + OVERLAP_SEC for (_, until), (since, _) in pairwise(spans))


def _samples(capture: CaptureFiles, stretch: Stretch, claim: Claim) -> list[Sample]:
    """The pages of a stretch that came during the call, in order."""
    assert claim.begins_at is not None
    assert claim.ends_at is not None
    wanted = {
        page.until: page
        for page in stretch.pages
        if claim.begins_at + EDGE_SEC < (page.came or page.arrived)
        and page.arrived + (page.until - page.granule) / TICKS < claim.ends_at - EDGE_SEC
    }
    file = capture.file_of(stretch)
    found: list[Sample] = []
    while pages := file.read():
        found += [_sample(wanted[p.end], p.start, p.packets) for p in pages if p.end in wanted]
    return found


def _sample(page: PageKept, start: int, packets: Sequence[bytes]) -> Sample:
    by_granule: dict[int, bytes] = {}
    for packet in packets:
        by_granule[start] = packet if len(packet) >= SHORTEST else b""
        start += opus.duration(packet)
    first, least = by_granule.get(page.first, b""), by_granule.get(page.granule, b"")
    return Sample(page, first, least, by_granule[max(by_granule)])


def _moments(path: Path, begins_at: float, samples: Sequence[Sequence[Sample]]) -> Moments:
    """When the sampled packets are played that are in a track's file."""
    wanted = {packet for each in samples for one in each for packet in one[1:] if packet}
    played: dict[bytes, float | None] = {}
    position, skipped = 0, 0
    for page in ogg.read_pages(path.read_bytes()):
        if page.is_head:
            skipped = _pre_skip(page.packets[0]) or skipped
            continue
        for packet in page.packets:
            if packet in wanted:
                at = begins_at + (position - skipped + LOOKAHEAD) / TICKS
                played[packet] = None if packet in played else at
            position += opus.duration(packet)
    return played


def _pre_skip(head: bytes) -> int:
    """How much of the beginning a player skips (RFC 7845, section 5.1); 0 for the second header."""
    return int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0


def _page(sample: Sample, played: Moments) -> PlayedPage:
    page = sample.page
    sound = [packet for packet in sample[1:] if packet]
    return PlayedPage(
        starts_at=page.came or page.arrived,
        ends_at=page.arrived + (page.until - page.granule) / TICKS,
        lasts=(page.until - page.begins) / TICKS,
        jitter=max(0.0, page.jitter),
        first_sec=_after(played.get(sample.first), page.came or None),
        least_sec=_after(played.get(sample.least), page.arrived),
        packets=len(sound),
        missing=sum(packet not in played for packet in sound),
    )


def _after(played: float | None, came: float | None) -> float | None:
    return None if played is None or came is None else played - came

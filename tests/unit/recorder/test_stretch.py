"""One run of packets in one Ogg Opus file."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.audio import ogg, opus
from egress_manager.domain.captures import (
    TICKS,
    PageKept,
    SenderReport,
    StretchBegan,
    StretchEnded,
)
from egress_manager.domain.quotas import LEAPS, SHORT_PAGES, Quotas
from egress_manager.recorder.reception import Amount, Counts, Kept, Reception
from egress_manager.recorder.rtp import Report, RtpPacket
from egress_manager.recorder.stretch import LEAP, PAGE, StretchWriter

FRAME = 960
VOICE = b"\x78" + bytes(range(1, 60))
FIRST = 5_000_000


def began(rtp: int = FIRST) -> StretchBegan:
    return StretchBegan(100.0, 1, "stretch-0001.ogg", "TR_1", "PA_1", 42, rtp)


def kept(granule: int, payload: bytes | None = None, late: float = 0.0) -> Kept:
    """A packet of 20 ms that begins at a granule and comes when it should, or later."""
    body = opus.silent_packet(FRAME) if payload is None else payload
    return Kept(FIRST + granule, body, 100.0 + granule / TICKS + late)


class Writing:
    """A writer, its file, and what it told."""

    def __init__(self, directory) -> None:
        self.told: list = []
        self.left_out: list = []
        self.quotas = Quotas()
        self.writer = StretchWriter(
            directory / "stretch-0001.ogg",
            began(),
            self.told.append,
            self.quotas,
            lambda *what: self.left_out.append(what),
        )

    def add(self, *packets: Kept) -> None:
        for packet in packets:
            self.writer.add(packet)

    def close(self) -> list[ogg.Page]:
        """The pages with sound of the closed file."""
        self.writer.close(200.0, "test")
        self.writer.file.close()
        return self.pages()

    def pages(self) -> list[ogg.Page]:
        path = self.writer.file.path
        data = path.read_bytes() if path.exists() else b""
        return [page for page in ogg.read_pages(data) if not page.is_head]

    def entries(self, kind: type) -> list:
        return [entry for entry in self.told if isinstance(entry, kind)]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=80), st.binary(max_size=200))
def test_every_packet_stands_at_its_granule(tmp_path_factory, gaps, rest):
    """Nothing is invented where packets are missing, and nothing that came is missing."""
    writing = Writing(tmp_path_factory.mktemp("stretch"))
    granules = [n * FRAME + gap * FRAME for n, gap in enumerate(accumulate(gaps))]
    granules = [granule - granules[0] for granule in granules]
    writing.add(*(kept(granule, b"\xf8" + rest) for granule in granules))

    read = []
    for page in writing.close():
        start = page.granule - FRAME * len(page.packets)
        read += [start + FRAME * n for n in range(len(page.packets))]

    assert read == granules


@given(
    st.lists(st.tuples(st.integers(0, 1 << 33), st.floats(0, 3)), min_size=1, max_size=60),
    st.booleans(),
)
def test_timestamps_that_are_not_believed_only_ever_go_on(tmp_path_factory, packets, has_pages):
    """All quotas are spent: whatever comes is kept, in order, in pages without a hole."""
    writing = Writing(tmp_path_factory.mktemp("stretch"))
    writing.quotas.leaps.spend(LEAPS)
    writing.quotas.short_pages.spend(0 if has_pages else 2 * SHORT_PAGES)
    arrived = 100.0
    writing.add(kept(0))
    for timestamp, wait in packets:
        arrived += wait
        packet = Kept(timestamp, VOICE, arrived)
        if not writing.writer.leaps(packet):
            writing.add(packet)
    pages = writing.close()

    spans = [(page.granule - FRAME * len(page.packets), page.granule) for page in pages]
    assert [span for pair in spans for span in pair] == sorted(s for pair in spans for s in pair)
    told = [(page.start, page.until, page.packets) for page in writing.entries(PageKept)]
    assert told == [(a, b, len(p.packets)) for (a, b), p in zip(spans, pages, strict=True)]


def test_a_hole_ends_a_page(tmp_path):
    """So a page's packets always follow each other."""
    writing = Writing(tmp_path)
    writing.add(kept(0), kept(FRAME), kept(5 * FRAME))

    assert [page.granule for page in writing.close()] == [2 * FRAME, 6 * FRAME]


def test_a_page_is_written_when_it_holds_half_a_second(tmp_path):
    """What a kill may cost."""
    writing = Writing(tmp_path)
    writing.add(*(kept(n * FRAME) for n in range(60)))

    assert [page.granule for page in writing.pages()] == [PAGE, 2 * PAGE]


def test_a_page_is_written_when_no_more_comes(tmp_path):
    """The last words before a mute do not wait for the next ones."""
    writing = Writing(tmp_path)
    writing.add(kept(0))
    writing.writer.flush_older_than(100.0)
    young = writing.pages()
    writing.writer.flush_older_than(100.1)

    assert (len(young), len(writing.pages())) == (0, 1)


def test_large_packets_end_a_page_before_it_is_full(tmp_path):
    """A page has room for 255 segments."""
    writing = Writing(tmp_path)
    writing.add(*(kept(n * FRAME, b"\xf8" + bytes(4000)) for n in range(40)))

    pages = writing.close()
    assert sum(len(page.packets) for page in pages) == 40
    assert pages[-1].granule == 40 * FRAME


def test_what_is_no_opus_and_what_has_no_time_left_is_passed_over(tmp_path):
    """LiveKit ends a track with silence that reaches back; padding has no payload."""
    writing = Writing(tmp_path)
    writing.add(kept(0), kept(FRAME, b""), kept(FRAME), kept(FRAME // 2), kept(2 * FRAME, b"\xff"))

    assert [len(page.packets) for page in writing.close()] == [2]


@given(st.data())
def test_a_file_that_is_cut_anywhere_plays_up_to_the_cut(tmp_path_factory, data):
    """Whole pages are read, a torn one is not."""
    writing = Writing(tmp_path_factory.mktemp("stretch"))
    writing.add(*(kept(n * FRAME) for n in range(100)))
    pages = writing.close()
    whole = writing.writer.file.path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))

    read = [page for page in ogg.read_pages(whole[:cut]) if not page.is_head]
    assert read == [page for page in pages if page.end <= cut]


def test_each_page_is_journaled_with_its_least_delayed_packet_and_its_counts(tmp_path):
    """What places it on the one clock, and what happened to its packets."""
    writing = Writing(tmp_path)
    writing.add(kept(0, late=0.13), kept(FRAME, late=0.1), kept(2 * FRAME, late=0.12))
    writing.writer.note(Counts(lost=1, recovered=2, late=3, duplicate=4))
    writing.close()

    [page] = writing.entries(PageKept)
    assert (page.granule, round(page.arrived, 6)) == (FRAME, 100.12)
    assert round(page.came, 6) == 100.12
    assert (page.until, page.packets, page.octets) == (3 * FRAME, 3, 9)
    assert (page.lost, page.recovered, page.late, page.duplicate) == (1, 2, 3, 4)


def test_a_page_ends_before_a_stall(tmp_path):
    """A publisher that stops counting while it is silent is found out where it stopped."""
    writing = Writing(tmp_path)
    writing.add(kept(0), kept(FRAME), kept(2 * FRAME, late=0.3), kept(3 * FRAME, late=0.3))
    writing.close()

    assert [page.until for page in writing.entries(PageKept)] == [2 * FRAME, 4 * FRAME]


def test_a_sender_report_is_journaled_at_its_granule(tmp_path):
    """The publisher's clock at a place in the file."""
    writing = Writing(tmp_path)
    writing.writer.report(Report(42, 7.5, 0, 3, 300), FIRST + 480, 101.0, Amount(2, 60))

    assert writing.entries(SenderReport) == [SenderReport(101.0, 1, 480, 7.5, 3, 300, 2, 60)]


def test_the_end_says_where_the_last_packet_ends(tmp_path):
    """And why it was the last."""
    writing = Writing(tmp_path)
    writing.add(kept(0), kept(3 * FRAME))
    writing.close()

    assert writing.entries(StretchEnded) == [StretchEnded(200.0, 1, 4 * FRAME, "test")]


def test_a_packet_fits_where_timestamp_and_clock_agree(tmp_path):
    """A pause is a hole; a timestamp from nowhere is another stretch."""
    writing = Writing(tmp_path)
    writing.add(kept(0))
    fits = writing.writer.fits

    assert fits(kept(FRAME))
    assert fits(kept(60 * TICKS))
    assert fits(kept(FRAME - opus.LONGEST))
    assert not fits(kept(FRAME - opus.LONGEST - 1))
    assert not fits(kept(60 * TICKS, late=-60.0))
    assert fits(kept(FRAME, late=LEAP / TICKS + 1.0))
    assert not fits(kept(2 * FRAME, late=LEAP / TICKS + 1.0))


def test_a_voice_whose_timestamps_leap_back_begins_a_stretch(tmp_path):
    """Its packets have no place here; silence that LiveKit adds has none anywhere.

    Nor does a publisher whose timestamps stand still get a file for each packet.
    """
    writing = Writing(tmp_path)
    voice = b"\x78" + bytes(range(1, 60))
    fits = writing.writer.fits

    writing.add(kept(0, voice))
    assert fits(kept(FRAME // 2, voice))
    writing.add(*(kept(n * FRAME, voice) for n in range(1, 60)))
    assert not fits(kept(59 * FRAME, voice, late=0.04))
    assert fits(kept(59 * FRAME, late=0.04))


@pytest.mark.parametrize("advance", [0, FRAME // 2])
def test_every_word_is_kept_of_a_voice_whose_timestamps_hardly_advance(tmp_path, advance):
    """In the first second of a stretch they begin no other one: each lies behind the one before."""
    writing = Writing(tmp_path)
    voices = [b"\x78" + bytes([n]) * 60 for n in range(1, 50)]
    packets = [Kept(FIRST + n * advance, v, 100.0 + n / 50) for n, v in enumerate(voices)]

    for packet in packets:
        assert not writing.writer.leaps(packet)
        writing.add(packet)

    assert [packet for page in writing.close() for packet in page.packets] == voices
    assert {page.until for page in writing.entries(PageKept)} == {PAGE, 49 * FRAME}
    assert writing.left_out == [("timestamps", p.arrived, 1) for p in packets[1:]]


def test_a_packet_that_comes_twice_is_kept_once(tmp_path):
    """Its number says so: that its time is taken is no reason, and none is needed."""
    writing, reception = Writing(tmp_path), Reception()
    numbers = [7, 8, 8, 10, 9, 10, 9, 11]
    for n, number in enumerate(numbers):
        payload = b"\x78" + bytes([number]) * 60
        packet = RtpPacket(number, FIRST + number * FRAME, 42, payload)
        for one in reception.take(packet, 100.0 + n / 50):
            writing.add(one)
    writing.add(*reception.drain())

    [page] = writing.close()
    assert [packet[1] for packet in page.packets] == [7, 8, 9, 10, 11]
    assert writing.left_out == []


def test_a_pause_of_a_voice_whose_timestamps_stand_still_is_as_long_as_it_was(tmp_path):
    """What has no place by its timestamp lies where it came."""
    writing = Writing(tmp_path)
    writing.add(Kept(FIRST, VOICE, 100.0), Kept(FIRST, VOICE, 100.02), Kept(FIRST, VOICE, 100.6))
    writing.close()

    assert [(p.start, p.until) for p in writing.entries(PageKept)] == [
        (0, 2 * FRAME),
        (30 * FRAME, 31 * FRAME),
    ]


def test_a_voice_that_reached_back_once_is_believed_again_behind_a_gap(tmp_path):
    """There another stretch begins, whose timestamps are its own."""
    writing = Writing(tmp_path)
    fits = writing.writer.fits
    writing.add(kept(0, VOICE), kept(0, VOICE, late=0.02))
    writing.add(*(kept(n * FRAME, VOICE, late=0.02) for n in range(1, 60)))

    assert fits(kept(60 * FRAME, VOICE))
    assert not fits(kept(70 * FRAME, VOICE))


@pytest.mark.parametrize("begins_in_stereo", [False, True])
def test_a_head_says_two_channels_whatever_the_first_packet_has(tmp_path, begins_in_stereo):
    """The encoder may go over to stereo later, and the file has to play up to any cut."""
    writing = Writing(tmp_path)
    writing.add(kept(0, opus.silent_packet(FRAME, stereo=begins_in_stereo)))
    writing.add(kept(FRAME, opus.silent_packet(FRAME, stereo=True)))
    writing.close()

    head = ogg.read_pages(writing.writer.file.path.read_bytes())[0]
    assert head.packets[0][9] == 2

"""A publisher that sends what it likes costs no more than its quota, and nobody else a packet.

Costs are counted in files, lines, bytes and objects: what is bounded there is bounded in time.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.audio import ogg
from egress_manager.domain import quotas
from egress_manager.domain.captures import (
    JOURNAL,
    TICKS,
    DigitPressed,
    Entry,
    LeftOut,
    PageKept,
    ParticipantChanged,
    ParticipantGone,
    SenderReport,
    StretchBegan,
    TrackChanged,
    TrackGone,
)
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.journal import read_story
from egress_manager.recorder.reception import ASK_FOR, Reception
from egress_manager.recorder.rtp import Report, RtpPacket
from egress_manager.recorder.streams import Streams

FRAME = 960
VOICE = b"\x78" + bytes(range(60))
#: The most files that one track of one connection may leave.
FILES = quotas.LEAPS + 1
#: A page, the line of it in the journal, and the lines of a stretch take less. Bytes.
LINE = 700


class Room:
    """A capture of a hostile publisher and of an honest one, and what its journal says."""

    def __init__(self, directory: Path) -> None:
        self.told: list[Entry] = []
        self.began = self.at = now()
        self.capture = Capture(directory / "cap_1", "room", "RM_1", self.told.append)
        self.streams = Streams(lambda track_sid: None)
        self.owners = {1: ("PA_bad", "TR_bad"), 2: ("PA_good", "TR_good")}
        for sid, identity in (("PA_bad", "bad"), ("PA_good", "good")):
            self.capture.tell(ParticipantChanged(self.at, sid, identity))
        self.capture.tell(TrackChanged(self.at, "TR_bad", "PA_bad"))
        self.capture.tell(TrackChanged(self.at, "TR_good", "PA_good"))
        self.streams.offered(self.owners, self.capture)
        self.most_open = self._taken = 0

    def send(
        self,
        packets: Iterable[tuple[int, int]],
        rate: float,
        ssrc: int = 1,
        payload: bytes = VOICE,
    ) -> int:
        """Take packets, so many a second, given by sequence and timestamp; how many there were."""
        count = 0
        for sequence, timestamp in packets:
            packet = RtpPacket(sequence % (1 << 16), timestamp % (1 << 32), ssrc, payload)
            if self.streams.take(packet, self.at, self.capture):
                list(self.streams.missing(self.at))
            self.at += 1 / rate
            count, self._taken = count + 1, self._taken + 1
            self.most_open = max(self.most_open, len(self.capture._files()))
            if self._taken % 50 == 0:
                self.streams.tick(self.at, self.capture)
        return count

    def end(self) -> None:
        self.streams.close()
        self.capture.close("test")

    def entries(self, kind: type) -> list:
        return [entry for entry in self.told if isinstance(entry, kind)]

    def kept(self, track_sid: str = "TR_bad") -> int:
        """How many packets of a track are in pages."""
        mine = {s.stretch for s in self.entries(StretchBegan) if s.track_sid == track_sid}
        return sum(page.packets for page in self.entries(PageKept) if page.stretch in mine)

    def left_out(self, what: str) -> int:
        """How much of that is told to have been left out of the hostile one."""
        lines = [entry for entry in self.entries(LeftOut) if entry.what == what]
        told = {(e.identity, e.track_sid, e.since): e.count for e in lines}
        assert all(identity == "bad" for identity, *_ in told), told
        return sum(told.values())

    @property
    def files(self) -> int:
        return len(list(self.capture.directory.glob("stretch-*")))

    @property
    def journal(self) -> int:
        """The bytes of the journal."""
        return (self.capture.directory / JOURNAL).stat().st_size


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def leaping(count: int, by: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Packets whose timestamps leap by so many ticks each, in one numbering."""
    return ((n, n * (FRAME + by)) for n in range(first, first + count))


def encrypted(ssrc: int) -> bytes:
    """A packet of which only the header can be read."""
    return b"\x80\x6f" + bytes(6) + ssrc.to_bytes(4, "big") + VOICE


@pytest.mark.parametrize("by", [1000 * TICKS, -3 * TICKS, 1 << 31])
def test_timestamps_that_leap_make_no_file_a_packet_and_all_of_it_is_kept(room, by):
    """Of 4000 leaps, a few make a file; then packets are placed by when they came."""
    sent = room.send(leaping(4000, by), rate=500)
    room.end()

    assert (room.files, room.kept()) == (FILES, sent)
    assert room.most_open <= FILES + 2
    assert room.left_out("timestamps") == sent - FILES
    assert room.journal < LINE * (4 * FILES + sent * FRAME / TICKS * 2 + 50)


def test_packets_whose_timestamps_are_not_believed_lie_where_they_came(room):
    """Each a fiftieth of a second after the one before, with a second's pause now and then."""
    for n in range(20):
        room.send(leaping(100, 7 * TICKS, 100 * n), rate=50)
        room.at += 1.0
    room.end()

    off: list[float] = []
    for began in room.entries(StretchBegan):
        pages = [page for page in room.entries(PageKept) if page.stretch == began.stretch]
        off += [page.came - began.at - page.first / TICKS for page in pages]
        data = (room.capture.directory / began.file).read_bytes()
        read = [page.granule for page in ogg.read_pages(data) if not page.is_head]
        assert read == [page.until for page in pages]
    assert room.kept() == 2000
    assert len(off) > 80
    assert max(map(abs, off)) < 0.1


def test_timestamps_that_creep_make_no_page_a_packet(room):
    """Each leap is too small for a stretch; each would end a page, and write a line."""
    sent = room.send(leaping(8000, round(1.88 * TICKS)), rate=1000)
    room.end()

    pages = len(room.entries(PageKept))
    assert room.kept() + room.left_out("packets") == sent
    assert pages < quotas.SHORT_PAGES + 8 * quotas.SHORT_PAGES_A_SECOND + sent / 20
    assert room.left_out("timestamps") > 0


def test_loss_beyond_the_quota_moves_nothing_by_more_than_a_moment(room):
    """The shortest packets, a third of them lost, for minutes: more gaps than pages may end at."""
    shortest = b"\xe0" + VOICE[1:]
    lossy = ((n, n * 120) for n in range(60_000) if n % 3)
    room.send(lossy, rate=400 / 1.5, payload=shortest)
    room.end()

    [began] = room.entries(StretchBegan)
    off = [page.came - began.at - page.first / TICKS for page in room.entries(PageKept)]
    assert room.left_out("timestamps") > 1000
    assert max(map(abs, off)) < 0.1


def test_a_number_that_leaps_costs_one_gap_and_is_no_loss(room):
    """It used to cost as many objects as it leapt over."""
    reception, most, lost = Reception(), 0, 0
    for n in range(2000):
        packet = RtpPacket(n * 2900 % (1 << 16), n * 2900 * 120 % (1 << 32), 1, VOICE)
        reception.take(packet, n / 3000)
        most = max(most, len(reception._gaps))
        assert len(reception.missing(n / 3000)) <= ASK_FOR
    reception.drain()
    lost = counts.lost if (counts := reception.take_counts()) else 0

    assert most <= 2
    assert lost == 0


@pytest.mark.parametrize("step", [120, FRAME])
def test_no_trick_with_numbers_counts_more_as_lost_than_could_have_been_sent(room, step):
    """However numbers and timestamps go together, packets take time."""
    sent = room.send(
        ((n * 150 + n % 2, n * (150 * step) + n % 2 * TICKS) for n in range(6000)), rate=1000
    )
    room.end()

    lost = sum(page.lost for page in room.entries(PageKept))
    assert lost <= quotas.LOSSES + quotas.LOSSES_A_SECOND * (room.at - room.began)
    assert room.kept() + room.left_out("packets") == sent


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, (1 << 32) - 1)), max_size=60))
def test_whatever_comes_goes_out_or_is_counted(packets):
    """Any numbers, any timestamps: nothing vanishes, and a packet makes two gaps at most."""
    reception, out = Reception(), 0
    for n, (sequence, timestamp) in enumerate(packets):
        out += len(reception.take(RtpPacket(sequence, timestamp, 1, VOICE), n * 0.01))
        reception.missing(n * 0.01)
        assert len(reception._gaps) <= 2 * (n + 1)
        spans = [(gap.first, gap.end) for gap in reception._gaps]
        assert spans == sorted(spans)
        assert all(first < end for first, end in spans)
    out += len(reception.drain())
    counts = reception.take_counts()

    assert out + (counts.late + counts.duplicate if counts else 0) == len(packets)
    assert not reception.has_gaps


def test_who_sends_faster_than_anybody_speaks_is_kept_up_to_its_quota(room):
    """What is over it is counted, and named in the journal."""
    longest = b"\x7b\x06" + bytes(60)  # six frames: 120 ms
    packets = ((n, n * 6 * FRAME) for n in range(20_000))
    sent = room.send(packets, rate=10_000, payload=longest)
    room.end()

    most = (quotas.SOUND + 2 * quotas.SOUND_A_SECOND) / (6 * FRAME)
    assert 0 < room.kept() < most + 1 < sent
    assert room.kept() + room.left_out("packets") == sent


def test_a_flood_is_not_even_decrypted_and_what_of_it_is_not_is_counted(room):
    """That costs more than all that is done with a packet afterwards."""
    room.send(((n, n * FRAME) for n in range(10)), rate=50)
    room.capture.tell(TrackChanged(room.at, "TR_more", "PA_bad"))
    room.streams.offered({**room.owners, 3: ("PA_bad", "TR_more")}, room.capture)
    floods, other = [encrypted(ssrc) for ssrc in (1, 3)], encrypted(2)
    admitted = 0
    for n in range(80_000):
        admitted += room.streams.admits(floods[n % 2], room.at, room.capture)
        room.at += 1 / 40_000
    honest = [room.streams.admits(other, room.at, room.capture) for _ in range(100)]
    room.end()

    assert admitted < quotas.PACKETS + 2.1 * quotas.PACKETS_A_SECOND
    assert room.left_out("packets") == 80_000 - admitted
    assert all(honest)


def test_floods_of_tracks_that_are_refused_or_of_no_capture_are_not_decrypted_either(room):
    """Of all that no capture knows together so many are, and without one so many of each."""
    room.streams.offered({n: (f"PA_{n}", f"TR_{n}") for n in range(3, 40)}, room.capture)
    unknown = [
        room.streams.admits(encrypted(3 + n % 37), room.at, room.capture) for n in range(60_000)
    ]
    idle = [room.streams.admits(encrypted(1), room.at, None) for _ in range(60_000)]

    assert sum(unknown) == sum(idle) == quotas.PACKETS
    assert room.streams.admits(encrypted(2), room.at, room.capture)
    assert room.streams.admits(encrypted(2), room.at, None)


def test_what_is_left_out_again_after_a_pause_is_told_apart(room):
    """What came in between was kept, and so was what comes of a call in between."""
    for at in (100.0, 109.0, 120.0, 200.0, 205.0):
        room.capture.leave_out("packets", "bad", at, 1, "TR_bad")
    room.end()

    found = read_story(room.capture.directory).left_out.values()
    assert [(e.since, e.at, e.count) for e in found] == [
        (100.0, 109.0, 2),
        (120.0, 120.0, 1),
        (200.0, 205.0, 2),
    ]


def test_what_is_missing_is_asked_for_within_a_quota():
    """Each number that is asked for has the server send a packet once more."""
    reception, asked, seconds = Reception(), 0, 20
    for n in range(200 * seconds):
        reception.take(RtpPacket(2 * n % (1 << 16), 2 * n * 120, 1, VOICE), n / 200)
        asked += len(reception.missing(n / 200))
        reception.give_up(n / 200)

    assert reception.take_counts().lost > 100 * seconds
    assert asked <= quotas.ASKS + quotas.ASKS_A_SECOND * seconds + ASK_FOR


def test_the_honest_one_in_the_room_loses_nothing(room):
    """Its packets come between those of the other, which leap."""
    sent = 0
    for n in range(2000):
        room.send([(n * 2900, n * 99 * TICKS)], rate=100)
        if n % 2:
            sent += room.send([(n // 2, n // 2 * FRAME)], rate=1e9, ssrc=2)
    room.end()

    mine = [s for s in room.entries(StretchBegan) if s.track_sid == "TR_good"]
    assert (len(mine), room.kept("TR_good")) == (1, sent)


def test_tracks_that_come_and_go_make_files_up_to_the_quota(room):
    """Each with an SSRC of its own, and one packet."""
    for n in range(1000):
        owner = ("PA_bad", f"TR_{n}")
        room.capture.tell(TrackChanged(room.at, f"TR_{n}", "PA_bad"))
        room.streams.offered({**room.owners, 10 + n: owner}, room.capture)
        room.send(((m, m * FRAME) for m in range(4)), rate=1e6, ssrc=10 + n)
        room.streams.drain(room.capture, f"TR_{n}")
        room.capture.tell(TrackGone(room.at, f"TR_{n}"))
    room.end()

    assert room.files == quotas.TRACKS - 1
    assert room.left_out("tracks") == 1001 - quotas.TRACKS
    assert len(room.entries(TrackGone)) == quotas.TRACKS - 1


def test_tracks_that_are_open_at_once_are_bounded(room):
    """So are the descriptors of their files."""
    for n in range(100):
        room.capture.tell(TrackChanged(room.at, f"TR_{n}", "PA_bad"))
        room.owners[10 + n] = ("PA_bad", f"TR_{n}")
    room.streams.offered(room.owners, room.capture)
    for n in range(100):
        room.send(((m, m * FRAME) for m in range(4)), rate=1e6, ssrc=10 + n)
        room.streams.drain(room.capture, f"TR_{n}")
    room.end()

    assert room.most_open <= quotas.OPEN_STRETCHES + 1
    assert room.files == quotas.OPEN_STRETCHES


def test_a_track_of_many_ssrcs_makes_files_up_to_the_quota(room):
    """What comes of the others is counted."""
    room.streams.offered({10 + n: ("PA_bad", "TR_bad") for n in range(1000)}, room.capture)
    for n in range(1000):
        room.send(((m, m * FRAME) for m in range(4)), rate=1e6, ssrc=10 + n)
        room.streams.drain(room.capture)
    room.end()

    assert room.files == quotas.OPEN_STRETCHES
    assert room.kept() + room.left_out("stretches") == 4000


def test_metadata_that_changes_all_the_time_is_noted_within_its_quota_and_the_newest_at_last(room):
    """60 kB, fifty times a second."""
    for n in range(400):
        room.capture.tell(ParticipantChanged(room.at, "PA_bad", "bad", metadata=f"{n}" * 20_000))
        room.at += 0.02
        room.capture._register.catch_up(room.at)
    room.end()

    changes = [e for e in room.entries(ParticipantChanged) if e.identity == "bad"]
    assert changes[-1].metadata == "399" * 20_000
    assert room.journal < quotas.NEWS_BYTES + 8 * quotas.NEWS_BYTES_A_SECOND + 2 * 70_000
    assert room.left_out("changes") == 400 - (len(changes) - 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda n: TrackChanged(0.0, "TR_bad", "PA_bad", is_muted=bool(n % 2)),
        lambda n: TrackChanged(0.0, "TR_bad", "PA_bad", name=f"{n}" * 90),
        lambda n: ParticipantChanged(0.0, "PA_bad", "bad", name=f"{n}" * 90),
        lambda n: ParticipantChanged(0.0, "PA_bad", "bad", attributes={f"{n}": "x" * 300}),
    ],
)
def test_what_flaps_is_noted_within_its_quota(room, change):
    """Mutes, names and attributes; what is true in the end stands there."""
    last = change(9999)
    for n in range(10_000):
        room.capture.tell(change(n))
    room.end()

    story = read_story(room.capture.directory)
    known = story.tracks["TR_bad"] if isinstance(last, TrackChanged) else None
    found = known or story.participants["PA_bad"]
    assert (found.name, getattr(found, "is_muted", None), getattr(found, "attributes", None)) == (
        last.name[: quotas.NAME],
        getattr(last, "is_muted", None),
        getattr(last, "attributes", None),
    )
    assert room.journal < quotas.NEWS_BYTES + 4000
    assert len(room.entries(TrackChanged)) <= quotas.TRACK_CHANGES + 3


def test_texts_are_cut_where_they_are_longer_than_anybody_allows(room):
    """And that they were is told."""
    room.capture.tell(
        ParticipantChanged(room.at, "PA_bad", "bad", "n" * 9000, metadata="m" * 999_999)
    )
    room.end()

    found = read_story(room.capture.directory).participants["PA_bad"]
    assert (len(found.name), len(found.metadata)) == (quotas.NAME, quotas.TEXT)
    assert room.left_out("text") == 1


def test_who_comes_and_goes_all_the_time_is_noted_within_its_quota(room):
    """With metadata each time; who was noted to come is noted to go."""
    for n in range(2000):
        sid = f"PA_{n}"
        room.capture.tell(ParticipantChanged(room.at, sid, "bad", metadata="m" * 3000))
        room.capture.tell(ParticipantGone(room.at, sid, "bad"))
    room.end()

    story = read_story(room.capture.directory)
    assert {sid for sid in story.participants if sid.startswith("PA_")} >= set(story.gone)
    assert len(story.gone) > 50
    assert room.journal < quotas.NEWS_BYTES * 1.2
    assert room.left_out("changes") == 2000 - len(story.gone)


def test_a_packet_of_whom_the_quota_held_back_brings_its_news(room):
    """Sound without the name of who said it is of no use."""
    for n in range(200):
        room.capture.tell(ParticipantChanged(room.at, "PA_bad", "bad", metadata=f"{n}" * 3000))
    room.capture.tell(TrackChanged(room.at, "TR_new", "PA_bad"))
    room.owners[3] = ("PA_bad", "TR_new")
    room.streams.offered(room.owners, room.capture)
    room.send([(0, 0)], rate=50, ssrc=3)
    room.streams.drain(room.capture)

    story = read_story(room.capture.directory)
    assert "TR_new" in story.tracks
    assert story.participants["PA_bad"].metadata == "199" * 3000


def test_keys_are_noted_within_their_quota(room):
    """What is no key is not noted at all; both are counted."""
    for n in range(1000):
        room.capture.digit("bad", "5" if n % 2 else "")
    room.end()

    noted = len(room.entries(DigitPressed))
    assert quotas.DIGITS <= noted < quotas.DIGITS + 100
    assert room.left_out("digits") == 1000 - noted


def test_who_leaves_and_joins_again_has_what_was_left_of_its_quotas(tmp_path):
    """The next capture of the room gives no new ones; another room has its own."""
    shelf, noted = quotas.Shelf(), []
    for number, name in enumerate(("room", "room", "other room")):
        told: list[Entry] = []
        capture = Capture(tmp_path / f"cap_{number}", name, "RM_1", told.append, shelf)
        capture.tell(ParticipantChanged(now(), f"PA_{number}", "bad"))
        for _ in range(2 * quotas.DIGITS):
            capture.digit("bad", "5")
        capture.close("test")
        noted.append(sum(isinstance(entry, DigitPressed) for entry in told))

    assert noted[0] >= quotas.DIGITS
    assert noted[1] < quotas.DIGITS / 2
    assert noted[2] >= quotas.DIGITS


@pytest.mark.parametrize(
    ("digit", "code", "key"),
    [
        ("5", 5, "5"),
        ("#", 11, "#"),
        ("d", 15, "D"),
        ("", 10, "*"),
        ("", 16, ""),
        ("55", 5, ""),
        ("x", 0, ""),
        ("9" * 15_000, 9, ""),
    ],
)
def test_a_key_is_one_of_a_phone(digit, code, key):
    """Whatever somebody sends as one."""
    assert quotas.key_of(digit, code) == key


def test_reports_are_noted_no_more_often_than_they_tell_anything(room):
    """LiveKit sends one in three seconds."""
    for n in range(1000):
        room.send([(n, n * FRAME)], rate=50)
        room.streams.report(Report(1, room.at, n * FRAME, n, n * 72), room.at)
    room.end()

    assert 30 <= len(room.entries(SenderReport)) <= 41


def test_a_stream_whose_numbers_and_timestamps_are_sound_is_not_touched(room):
    """With loss of every third packet, for four minutes and a half."""
    sent = room.send(((n, n * FRAME) for n in range(9_000) if n % 3), rate=100 / 3)
    room.end()

    assert (room.kept(), room.files) == (sent, 1)
    assert room.entries(LeftOut) == []

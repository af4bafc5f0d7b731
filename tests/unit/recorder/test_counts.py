"""A server that counts what it sends, our recorder, and the verdict on both: the counts agree."""

from dataclasses import replace
from pathlib import Path

import pytest

from egress_manager.domain.captures import (
    Entry,
    ParticipantChanged,
    SenderReport,
    Story,
    StretchBegan,
    TrackChanged,
)
from egress_manager.domain.evidence import Claim, Evidence, Heard
from egress_manager.domain.findings import Finding
from egress_manager.domain.proof import judge
from egress_manager.domain.witness import HEADER, sent
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.rtp import Report, RtpPacket
from egress_manager.recorder.streams import Streams

FRAME, SSRC = 960, 7
VOICE, SILENCE = b"\xf8" + bytes(99), b"\xf8\xff\xfe"
REPORT_EVERY = 3.0


class Server:
    """Sends one track to a recorder, a packet every 20 ms, and reports every three seconds.

    As LiveKit does, it counts what it sends, and what it sends again, from the first packet on.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.streams = Streams(lambda track_sid: None)
        self.streams.offered({SSRC: ("PA_1", "TR_1")}, None)
        self.capture: Capture | None = None
        self.told: list[list[Entry]] = []
        self.now = self.reported_at = 1000.0
        self.sequence = self.timestamp = 0
        self.packets = self.octets = 0

    def begin(self) -> None:
        """A capture begins on whatever flows."""
        self.end()
        self.told.append([])
        name = f"cap_{len(self.told)}"
        self.capture = Capture(self.directory / name, "room", "RM_1", self.told[-1].append)
        self.capture.tell(ParticipantChanged(self.now, "PA_1", "agent"))
        self.capture.tell(TrackChanged(self.now, "TR_1", "PA_1"))

    def end(self) -> None:
        """The capture ends, and what flows goes on."""
        if self.capture is not None:
            self.streams.drain(self.capture)
            self.capture.close("left")
        self.capture = None

    def say(self, seconds: float, payload: bytes = VOICE, *, arrives: bool = True) -> None:
        """Send packets in real time."""
        for _ in range(round(seconds * 50)):
            self.send(payload, arrives=arrives)
            self.timestamp += FRAME
            self.pause(0.02)

    def send(self, payload: bytes = VOICE, *, arrives: bool = True) -> None:
        """Send the next packet; what does not arrive is lost on the way to us."""
        self._count(payload)
        if arrives:
            self.take(self.sequence, self.timestamp, payload)
        self.sequence += 1

    def send_again(self, back: int, payload: bytes = VOICE, *, arrives: bool = True) -> None:
        """Send once more the packet that is so far back."""
        self._count(payload)
        if arrives:
            self.take(self.sequence - back, self.timestamp - back * FRAME, payload)

    def take(self, sequence: int, timestamp: int, payload: bytes) -> None:
        """A packet comes to the recorder."""
        packet = RtpPacket(sequence % (1 << 16), timestamp, SSRC, payload)
        self.streams.take(packet, self.now, self.capture)

    def pause(self, seconds: float) -> None:
        """Time goes by: the recorder asks and gives up, the server reports."""
        self.now += seconds
        list(self.streams.missing(self.now))
        self.streams.tick(self.now, self.capture)
        if self.packets and self.now >= self.reported_at + REPORT_EVERY:
            self.reported_at = self.now
            octets = self.octets + HEADER * self.packets
            self.streams.report(
                Report(SSRC, self.now, self.timestamp, self.packets, octets), self.now
            )

    def _count(self, payload: bytes) -> None:
        self.packets += 1
        self.octets += len(payload)

    def verdict(self, begins_at: float = 0.0, ends_at: float = 1e12) -> tuple[Finding, ...]:
        """What is wrong by the counts, with the recording between two moments."""
        self.end()
        stories = []
        for entries in self.told:
            stories.append(Story())
            stories[-1].tell(entries)
        found = sent(stories, begins_at, ends_at)
        assert found, "nothing was counted"
        faults = judge(Evidence(Claim("a.mp4"), Heard(), sent=found)).faults
        return tuple(fault for fault in faults if fault.name.endswith("_missing"))

    @property
    def lost(self) -> int:
        """The packets that are journaled as lost."""
        return sum(getattr(entry, "lost", 0) for told in self.told for entry in told)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server that has sent nothing yet."""
    return Server(tmp_path)


def names(faults: tuple[Finding, ...]) -> list[str]:
    return [fault.name for fault in faults]


@pytest.mark.parametrize("stood", [0.5, 3.4, 74.0, 3600.0])
def test_a_capture_on_a_running_subscription_counts_from_its_own_beginning(server, stood):
    """A standing recorder, an agent who waits: what the server sent before is no loss."""
    server.say(stood, SILENCE)
    server.begin()
    server.say(8.0)

    assert server.verdict() == ()


def test_what_a_standing_recorder_loses_is_found(server):
    """Before the first report of the call, too."""
    server.say(10.0, SILENCE)
    server.begin()
    server.say(1.0)
    server.say(1.0, arrives=False)
    server.say(4.0)

    assert names(server.verdict()) == ["packets_missing"]


def test_what_was_lost_before_a_capture_began_is_not_its_own(server):
    """The subscription had lost two seconds an hour ago."""
    server.say(10.0)
    server.say(2.0, arrives=False)
    server.say(10.0)
    server.begin()
    server.say(8.0)

    assert server.verdict() == ()
    assert server.lost == 0


def test_a_capture_that_follows_another_counts_from_its_own_beginning(server):
    """Captures rotate, and calls follow each other: each has counts of its own, and together."""
    server.begin()
    server.say(10.0)
    server.begin()
    server.say(10.0)

    assert server.verdict() == ()


def test_two_recordings_of_one_stay_each_count_their_own_time(server):
    """What was lost between them, while nothing was recorded, is held against neither."""
    server.begin()
    server.say(8.0)
    stopped_at = server.now
    server.say(1.0, arrives=False)
    server.say(0.3)
    started_at = server.now
    server.say(8.0)

    assert server.verdict(1000.0, stopped_at) == ()
    assert server.verdict(started_at) == ()
    assert names(server.verdict(1000.0)) == ["packets_missing"]


@pytest.mark.parametrize("loud", [0.1, 0.2, 0.3, 0.4])
def test_a_short_call_in_which_a_word_is_loud_lacks_no_octets(server, loud):
    """The only report falls into a page whose packets are not equally long."""
    server.begin()
    server.reported_at -= 0.5 - loud
    server.say(2.5, SILENCE)
    server.say(loud)
    server.say(2.0 - loud, SILENCE)

    assert server.verdict() == ()


def test_forty_mutes_lose_nothing(server):
    """At a mute the server adds silence that overlaps what was said; it has no place."""
    server.begin()
    for _ in range(40):
        server.say(0.5)
        server.timestamp -= 2 * FRAME
        server.send(SILENCE)
        server.send(SILENCE)
        server.timestamp += 2 * FRAME
        server.pause(0.3)
        server.timestamp += round(0.3 * 48_000)

    assert server.verdict() == ()


@pytest.mark.parametrize("leap", [2, 4, 17, 100, 560, 2900, 3100])
def test_a_leap_of_the_numbers_is_no_loss(server, leap):
    """The publisher numbers anew, and its timestamps go on: no packet fits between."""
    server.begin()
    for _ in range(4):
        server.say(2.0)
        server.sequence += leap

    server.say(2.0)
    assert server.verdict() == ()
    assert server.lost == 0


def test_a_leap_of_numbers_and_timestamps_is_no_loss_where_no_time_went_by(server):
    """What is said to be missing would have taken eleven seconds."""
    server.begin()
    server.say(4.0)
    server.sequence += 560
    server.timestamp += 560 * FRAME
    server.say(4.0)

    assert server.verdict() == ()
    assert server.lost == 0


def test_a_leap_of_the_numbers_after_a_pause_is_no_loss(server):
    """Half a second has no room for so many."""
    server.begin()
    server.say(4.0)
    server.pause(0.5)
    server.timestamp += FRAME * 25
    server.sequence += 200
    server.say(4.0)

    assert server.verdict() == ()
    assert server.lost == 0


@pytest.mark.parametrize("packets", [1, 3, 20, 100, 500])
def test_packets_that_are_lost_are_counted(server, packets):
    """They had the time to be sent."""
    server.begin()
    server.say(4.0)
    server.say(packets / 50, arrives=False)
    server.say(4.0)

    assert names(server.verdict()) == (["packets_missing"] if packets > 25 else [])
    assert server.lost == packets


def test_what_a_held_up_network_loses_is_counted(server):
    """Ten seconds come at once, without three in their middle: no time went by, and yet."""
    server.begin()
    server.say(4.0)
    held = [(server.sequence + n, server.timestamp + n * FRAME) for n in range(500)]
    server.pause(10.0)
    for n, (sequence, timestamp) in enumerate(held):
        server._count(VOICE)
        if not 200 <= n < 350:
            server.take(sequence, timestamp, VOICE)
    server.sequence, server.timestamp = server.sequence + 500, server.timestamp + 500 * FRAME
    server.say(4.0)

    assert names(server.verdict()) == ["packets_missing"]
    assert server.lost == 150


def test_what_was_sent_again_and_lost_again_is_no_loss(server):
    """On a bad line answers are lost, too: the server counts each, and the packet is there."""
    server.begin()
    for _ in range(100):
        server.say(0.2)
        server.say(0.02, arrives=False)
        server.say(0.08)
        server.send_again(5, arrives=False)
        server.say(0.06)
        server.send_again(8)

    assert server.verdict() == ()
    assert server.lost == 0


def test_an_older_journal_is_read_as_it_was_meant(server):
    """It does not say what was sent before: more than can have been is no loss."""
    server.say(5.0)
    server.begin()
    server.say(20.0)
    server.end()
    server.told = [[_older(entry) for entry in entries] for entries in server.told]

    assert server.verdict() == ()


def _older(entry: Entry) -> Entry:
    """The entry as it was written before counts were noted in it."""
    match entry:
        case StretchBegan():
            return replace(entry, packets_before=None, octets_before=None)
        case SenderReport():
            return replace(entry, waiting=None, waiting_octets=None)
    return entry

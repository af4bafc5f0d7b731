"""What others saw is held against the journal: counts of the server, its list, its reports."""

from dataclasses import replace

import pytest

from egress_manager.domain.captures import PageKept, SenderReport, Story, StretchBegan
from egress_manager.domain.evidence import (
    Claim,
    Evidence,
    Heard,
    Listed,
    Sent,
    Sound,
    TrackClaim,
    TrackEvidence,
)
from egress_manager.domain.proof import judge
from egress_manager.domain.recordings import Hole, Verdict
from egress_manager.domain.witness import sent

#: A packet of 20 ms, and its octets.
TICKS, OCTETS, HEADER = 960, 80, 12

TRACK = TrackClaim("TR_1", "left", "a.ogg", duration_sec=20.0)
FILE = Heard(said_sec=20.0, decoded_sec=20.0, channels=(Sound(speech_sec=5.0),))
GOOD = Evidence(
    Claim("a.mp4", tracks=(TRACK,)),
    replace(FILE, channels=FILE.channels * 2),
    (TrackEvidence("TR_1", "left", FILE),),
    listed=(),
)


def story(kept: int, reported: int, octets: int = OCTETS, again: int = 0) -> Story:
    """A track of which so many packets were kept in pages of 25, and one report of the server.

    So many of each page had to be asked for again.
    """
    told = Story()
    told.tell([StretchBegan(100.0, 1, "stretch-0001.ogg", "TR_1", "PA_1", 7, 0)])
    for n in range(kept // 25):
        first, until = n * 25 * TICKS, (n + 1) * 25 * TICKS
        at = 100.0 + first / 48_000
        page = PageKept(at, 1, first, at, until, packets=25, octets=25 * octets, recovered=again)
        told.tell([page])
    end = reported * TICKS
    count = reported + kept // 25 * again
    said = count * (OCTETS + HEADER)
    told.tell([SenderReport(100.0 + end / 48_000, 1, end, 0.0, count, said)])
    return told


def test_what_was_kept_is_what_was_sent() -> None:
    """Both counts agree, to the octet."""
    (found,) = sent([story(1000, 1000)], 100.0, 130.0)

    assert (found.packets_sent, found.packets_kept) == (1000, 1000)
    assert found.octets_sent == found.octets_kept == 1000 * OCTETS


def test_a_publisher_who_stops_counting_while_it_says_nothing_lost_nothing() -> None:
    """The server's timestamps go on in the pause: its report seems to be of what is said later."""
    spoken = story(500, 500)
    begin, pause = 500 * TICKS, 4.0
    for n in range(20):
        first, until = begin + n * 25 * TICKS, begin + (n + 1) * 25 * TICKS
        at = 100.0 + first / 48_000 + pause
        spoken.tell([PageKept(at, 1, first, at, until, packets=25, octets=25 * OCTETS)])
    for count, since in ((500, 3.0), (550, pause + 1.0), (900, pause + 8.0)):
        at = 100.0 + begin / 48_000 + since
        octets = count * (OCTETS + HEADER)
        spoken.tell([SenderReport(at, 1, begin + round(since * 48_000), 0.0, count, octets)])

    told = sent([spoken], 100.0, 130.0)

    assert [(one.packets_sent, one.packets_kept) for one in told] == [(900, 900)]


def test_a_publisher_who_sends_late_and_then_much_at_once_lost_nothing() -> None:
    """Half a second of sound in a tenth of a second, and the report comes in the middle of it."""
    hasty = Story()
    hasty.tell([StretchBegan(100.0, 1, "stretch-0001.ogg", "TR_1", "PA_1", 7, 0)])
    for n in range(20):
        last, until = (n * 25 + 24) * TICKS, (n + 1) * 25 * TICKS
        at = 103.0 + n * 0.1
        hasty.tell([PageKept(at, 1, last, at, until, packets=25, octets=25 * OCTETS)])
    for count, at in ((225, 103.8), (350, 104.3), (500, 107.0)):
        hasty.tell([SenderReport(at, 1, 0, 0.0, count, count * (OCTETS + HEADER))])

    told = sent([hasty], 100.0, 130.0)

    assert [(one.packets_sent, one.packets_kept) for one in told] == [(500, 500)]


def test_a_recorder_that_lost_packets_cannot_hide_it() -> None:
    """The server says that it has sent more than is on the disk."""
    (found,) = sent([story(900, 1000)], 100.0, 130.0)

    judgement = judge(replace(GOOD, sent=(found,)))

    assert found.packets_sent - found.packets_kept == 100
    assert judgement.verdict is Verdict.FLAWED
    assert [(f.name, f.track_sid) for f in judgement.faults] == [("packets_missing", "TR_1")]


def test_packets_that_lost_some_of_their_sound_are_told_of() -> None:
    """As many packets, and half of what was in them."""
    (found,) = sent([story(1000, 1000, octets=OCTETS // 2)], 100.0, 130.0)

    assert [f.name for f in judge(replace(GOOD, sent=(found,))).faults] == ["octets_missing"]


def test_what_was_sent_again_counts_twice_on_both_sides() -> None:
    """The server counts what it sends once more, packets and octets; it was kept once."""
    (found,) = sent([story(1000, 1000, again=10)], 100.0, 130.0)

    assert found.packets_sent == found.packets_kept == 1400
    assert found.octets_sent == found.octets_kept == 1400 * OCTETS


@pytest.mark.parametrize("lost", [0, 2, 20])
def test_a_packet_or_two_are_no_loss(lost: int) -> None:
    """Counts differ by what is on its way when they are made."""
    counted = Sent("TR_1", 0.0, 20.0, 1000, 1000 - lost, 80_000, 80_000)

    assert judge(replace(GOOD, sent=(counted,))).verdict is Verdict.VERIFIED


def test_a_track_that_the_server_listed_has_to_be_there() -> None:
    """Or there has to be a reason."""
    listed = (Listed("TR_1"), Listed("TR_2"))

    judgement = judge(replace(GOOD, listed=listed))

    assert [(f.name, f.track_sid) for f in judgement.faults] == [("track_missing", "TR_2")]


@pytest.mark.parametrize(
    ("hole", "name", "is_fault"),
    [
        (Hole(0.0, 0.2, "joining"), "not_sent", False),
        (Hole(0.0, 2.0, "joining"), "late_start", True),
        (Hole(3.0, 5.0, "recorder down"), "not_kept", True),
        (Hole(3.0, 5.0, "connection"), "not_kept", True),
        (Hole(3.0, 5.0, "disk"), "not_kept", True),
        (Hole(3.0, 5.0, "mute"), "not_sent", False),
        (Hole(3.0, 5.0, "loss"), "not_sent", False),
        (Hole(3.0, 5.0, "pause"), "not_sent", False),
        (Hole(3.0, 5.0, "unpublished"), "not_sent", False),
    ],
)
def test_a_hole_is_ours_or_the_calls(hole: Hole, name: str, *, is_fault: bool) -> None:
    """By its cause."""
    claim = replace(GOOD.claim, tracks=(replace(TRACK, holes=(hole,)),))

    judgement = judge(replace(GOOD, claim=claim))

    (found,) = (f for f in judgement.findings if f.cause)
    assert (found.name, found.is_fault) == (name, is_fault)
    assert judgement.verdict is (Verdict.FLAWED if is_fault else Verdict.VERIFIED)
    assert hole.cause in found.words

"""Packets of one SSRC, in order again."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.recorder.reception import (
    ASK_EVERY,
    ASK_FOR,
    HEAD,
    HEAD_PATIENCE,
    PATIENCE,
    RESTART,
    Counts,
    Kept,
    Reception,
)
from egress_manager.recorder.rtp import RtpPacket

FRAME = 960


def packet(number: int, first: int = 0, first_timestamp: int = 0) -> RtpPacket:
    """Packet `number` of a sender that began with these; its payload is its number."""
    sequence = (first + number) % (1 << 16)
    timestamp = (first_timestamp + FRAME * number) % (1 << 32)
    return RtpPacket(sequence, timestamp, 42, str(number).encode())


def counted(reception: Reception) -> Counts:
    return reception.take_counts() or Counts()


def numbers(kept: list[Kept]) -> list[int]:
    return [int(one.payload) for one in kept]


def taken(reception: Reception, order: list[int], **sender: int) -> list[Kept]:
    """What comes out when packets arrive in this order, 20 ms apart, with nothing after them."""
    kept: list[Kept] = []
    for moment, number in enumerate(order):
        kept += reception.take(packet(number, **sender), moment * 0.02)
    return kept + reception.drain()


@st.composite
def shuffled(draw: st.DrawFn, count: int = 60, reach: int = HEAD) -> list[int]:
    """Numbers that are out of place by at most `reach`, some of them twice."""
    places = [(n + draw(st.integers(0, reach)), n) for n in range(count)]
    order = [number for _, number in sorted(places)]
    for number in draw(st.lists(st.sampled_from(range(count)), max_size=10)):
        order.insert(order.index(number) + 1 + draw(st.integers(0, 3)), number)
    return order


@given(
    order=shuffled(),
    first=st.integers(0, 0xFFFF),
    first_timestamp=st.integers(0, 0xFFFFFFFF),
)
def test_packets_come_out_in_order_whatever_order_they_come_in(order, first, first_timestamp):
    """Also the first ones, also around the ends of their counters, also if some come twice."""
    kept = taken(Reception(), order, first=first, first_timestamp=first_timestamp)

    assert numbers(kept) == list(range(60))
    steps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(kept)}
    assert steps == {FRAME}


@given(st.sets(st.integers(1, 58)))
def test_what_never_comes_is_counted_and_everything_else_is_kept(lost):
    """A hole holds up what is behind it for a while, and loses nothing of it."""
    reception = Reception()
    kept = taken(reception, [n for n in range(60) if n not in lost])

    assert numbers(kept) == [n for n in range(60) if n not in lost]
    assert counted(reception).lost == len(lost)


def test_a_packet_that_is_missing_is_waited_for_no_longer_than_our_patience():
    """Then what is behind it goes on without it."""
    reception = settled()
    reception.take(packet(2), 1.0)

    before = reception.give_up(1.0 + PATIENCE * 0.99)
    after = reception.give_up(1.0 + PATIENCE)

    assert (before, numbers(after)) == ([], [2])
    assert counted(reception).lost == 1


def test_one_that_comes_after_that_is_late_and_not_kept():
    """Its place has been passed."""
    reception = settled()
    reception.take(packet(2), 1.0)
    reception.give_up(1.0 + PATIENCE)

    assert reception.take(packet(1), 2.0) == []
    assert counted(reception).late == 1


def test_a_packet_that_was_asked_for_and_comes_is_recovered():
    """One that had only been overtaken is not."""
    reception = settled()
    reception.take(packet(2), 1.0)
    overtaken = reception.take(packet(1), 1.01)
    reception.take(packet(4), 1.02)
    asked = reception.missing(1.03)
    recovered = reception.take(packet(3), 1.04)

    assert (numbers(overtaken), asked, numbers(recovered)) == ([1, 2], [3], [3, 4])
    assert counted(reception).recovered == 1


def test_what_was_asked_for_twice_and_comes_twice_was_sent_once_more():
    """The server counts it thrice; what only the network doubled, it sent once."""
    reception = settled()
    reception.take(packet(2), 1.0)
    reception.missing(1.0)
    reception.missing(1.0 + ASK_EVERY * 1.1)
    for number in (1, 1, 2, 3, 3):
        reception.take(packet(number), 1.2)

    counts = counted(reception)
    assert (counts.recovered, counts.duplicate, counts.late) == (1, 1, 2)


def test_what_is_missing_is_asked_for_again_and_again_with_pauses():
    """A NACK or its answer may be lost as well."""
    reception = settled()
    reception.take(packet(3), 1.0)

    assert reception.missing(1.0) == [1, 2]
    assert reception.missing(1.0 + ASK_EVERY * 0.9) == []
    assert reception.missing(1.0 + ASK_EVERY * 1.1) == [1, 2]


def test_after_a_long_outage_only_the_newest_are_asked_for():
    """The server does not remember the others."""
    reception = settled()
    reception.take(packet(1000), 20.0)

    assert reception.missing(20.0) == list(range(1000 - ASK_FOR, 1000))


def test_the_packets_before_the_first_are_asked_for_and_not_missed():
    """Nobody knows whether there were any; if one comes, it goes where it belongs."""
    reception = Reception()
    held = reception.take(packet(5), 1.0)
    asked = reception.missing(1.0)
    reception.take(packet(4), 1.05)
    kept = reception.give_up(1.0 + HEAD_PATIENCE)

    assert held == []
    assert asked == [5 - n for n in range(HEAD, 0, -1)]
    assert numbers(kept) == [4, 5]
    assert reception.take_counts() is None


def test_another_numbering_is_another_beginning():
    """A sender that begins anew far away does not look like thousands of lost packets."""
    reception = settled()
    other = packet(0, first=1 + RESTART + 1, first_timestamp=77)
    released = reception.take(other, 1.0)
    kept = reception.drain()

    assert (released, numbers(kept)) == ([], [0])
    assert kept[0].timestamp == 77
    assert counted(reception).lost == 0


def test_a_timestamp_of_a_report_is_unwrapped_near_the_last_packet():
    """A report just before or after the counter's end is a moment away, not a day."""
    reception = Reception()
    kept = taken(reception, [0, 1], first_timestamp=(1 << 32) - 100)

    assert reception.unwrap(FRAME - 50) - kept[-1].timestamp == 50


def settled() -> Reception:
    """A reception that has kept packet 0 and waits for nothing."""
    reception = Reception()
    reception.take(packet(0), 0.0)
    reception.drain()
    return reception

"""RTP and RTCP as they stand on the wire."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.recorder.rtp import Report, nack, read_packet, read_reports


def rtp(
    sequence: int = 7,
    timestamp: int = 960,
    ssrc: int = 42,
    payload: bytes = b"\xfc\xff\xfe",
    *,
    sources: int = 0,
    extension: bytes | None = None,
    padding: int = 0,
) -> bytes:
    """A packet as RFC 3550, section 5.1, draws it."""
    first = 0x80 | sources | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    head = struct.pack("!BBHII", first, 111, sequence, timestamp, ssrc) + bytes(4 * sources)
    if extension is not None:
        head += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    return head + payload + tail


def sender_report(ssrc: int, ntp: float, timestamp: int, packets: int, octets: int) -> bytes:
    """A sender report without report blocks (RFC 3550, section 6.4.1)."""
    seconds, fraction = divmod(ntp + 2_208_988_800, 1)
    words = (ssrc, int(seconds), int(fraction * 2**32), timestamp, packets, octets)
    return struct.pack("!BBH6I", 0x80, 200, 6, *words)


@given(
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=300),
    sources=st.integers(0, 15),
    extension=st.none() | st.integers(0, 8).map(lambda words: bytes(4 * words)),
    padding=st.integers(0, 255),
)
def test_a_packet_is_read_whatever_stands_around_its_payload(
    sequence, timestamp, ssrc, payload, sources, extension, padding
):
    """Contributing sources, header extensions and padding are passed over."""
    data = rtp(
        sequence,
        timestamp,
        ssrc,
        payload,
        sources=sources,
        extension=extension,
        padding=padding,
    )

    assert read_packet(data) == (sequence, timestamp, ssrc, payload)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_none(data):
    """Nothing that comes off the wire raises."""
    packet = read_packet(data)

    assert packet is None or len(packet.payload) <= len(data)


def test_a_packet_that_is_padding_only_has_no_payload():
    """LiveKit sends such packets to probe the bandwidth."""
    packet = read_packet(rtp(payload=b"", padding=200))

    assert packet is not None
    assert packet.payload == b""


def test_the_sender_reports_of_a_compound_packet_are_found():
    """Other RTCP packets stand between them."""
    description = struct.pack("!BBHII", 0x81, 202, 2, 42, 0)
    data = (
        sender_report(42, 1_700_000_000.5, 960, 3, 300)
        + description
        + sender_report(43, 1_700_000_001.0, 1920, 4, 400)
    )

    assert list(read_reports(data)) == [
        Report(42, 1_700_000_000.5, 960, 3, 300),
        Report(43, 1_700_000_001.0, 1920, 4, 400),
    ]


@given(st.binary(max_size=120))
def test_any_bytes_hold_reports_or_none(data):
    """Nothing that comes off the wire raises, and every report lies within what came."""
    assert len(list(read_reports(data))) <= len(data) // 28


@given(st.sets(st.integers(0, 0xFFFF), min_size=1, max_size=120))
def test_a_nack_asks_for_exactly_these(sequences):
    """As RFC 4585, section 6.2.1, has it: a number and a mask of the sixteen after it."""
    data = nack(1, 42, sequences)
    first, kind, words, sender, ssrc = struct.unpack_from("!BBHII", data)
    asked = set()
    for at in range(12, len(data), 4):
        number, mask = struct.unpack_from("!HH", data, at)
        asked |= {number} | {number + 1 + bit for bit in range(16) if mask >> bit & 1}

    assert (first, kind, sender, ssrc) == (0x81, 205, 1, 42)
    assert len(data) == 4 * (words + 1)
    assert asked == sequences

"""RTP and RTCP on the wire: just what a recorder reads and writes.

RTP: RFC 3550, section 5.1. Sender reports: section 6.4.1. NACK: RFC 4585, section 6.2.1.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("!BBHII")
_SENDER_REPORT: Final = struct.Struct("!BBHIIIIII")
#: Seconds from 1900 (NTP) to 1970 (Unix).
_NTP_EPOCH: Final = 2_208_988_800


class RtpPacket(NamedTuple):
    """One RTP packet: 16-bit sequence number, 32-bit timestamp, and the Opus packet it carries.

    The payload is empty where the packet is padding only.
    """

    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class Report(NamedTuple):
    """A sender report: the publisher's clock (seconds since 1970) at an RTP timestamp, totals."""

    ssrc: int
    ntp: float
    timestamp: int
    packets: int
    octets: int


def read_packet(data: bytes) -> RtpPacket | None:
    """The packet in a datagram, or None where it is no RTP packet."""
    if len(data) < _HEADER.size:
        return None
    first, _, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:  # a header extension: its length counts 32-bit words
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - data[-1] if first & 0x20 else len(data)
    return RtpPacket(sequence, timestamp, ssrc, data[start:end] if end > start else b"")


def read_reports(data: bytes) -> Iterator[Report]:
    """The sender reports in a compound RTCP packet; what is malformed ends it."""
    while len(data) >= 4:
        size = 4 + 4 * int.from_bytes(data[2:4], "big")
        if data[1] == 200 and len(data) >= _SENDER_REPORT.size:
            _, _, _, ssrc, seconds, fraction, timestamp, packets, octets = (
                _SENDER_REPORT.unpack_from(data)
            )
            ntp = seconds - _NTP_EPOCH + fraction / 2**32
            yield Report(ssrc, ntp, timestamp, packets, octets)
        data = data[size:]


def nack(sender: int, ssrc: int, sequences: Iterable[int]) -> bytes:
    """A generic NACK that asks for these sequence numbers again."""
    wanted = sorted(sequences)
    blocks: list[list[int]] = []
    for sequence in wanted:
        if blocks and 0 < sequence - blocks[-1][0] <= 16:
            blocks[-1][1] |= 1 << (sequence - blocks[-1][0] - 1)
        else:
            blocks.append([sequence, 0])
    body = b"".join(struct.pack("!HH", *block) for block in blocks)
    return struct.pack("!BBHII", 0x81, 205, 2 + len(blocks), sender, ssrc) + body

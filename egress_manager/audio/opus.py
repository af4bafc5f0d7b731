"""What an Opus packet tells without being decoded, and packets that decode to silence (RFC 6716).

Pure. Lengths are ticks of 1/48000 s, whatever bandwidth a packet was coded in.
"""

from typing import Final

#: The frame lengths of the 32 configurations, in ticks (RFC 6716, table 2): SILK in narrow, medium
#: and wide band, hybrid in super-wide and full band, CELT in four bands.
_FRAME: Final = (
    (480, 960, 1920, 2880) * 3  # 10, 20, 40, 60 ms
    + (480, 960) * 2
    + (120, 240, 480, 960) * 4  # 2.5, 5, 10, 20 ms
)

#: No packet is longer than 120 ms (RFC 6716, section 3.4, requirement R5).
LONGEST: Final = 5760

#: The shortest frame there is: what silence can be measured out in.
SHORTEST: Final = 120

#: Ticks of a packet by its first byte; 0 where its second byte counts the frames (code 3).
_LENGTH: Final = tuple(_FRAME[toc >> 3] * (1, 2, 2, 0)[toc & 3] for toc in range(256))

#: CELT, full band, one frame of 20, 10, 5 and 2.5 ms: the first byte of a mono packet, by length.
_SILENT_TOC: Final = {960: 0xF8, 480: 0xF0, 240: 0xE8, 120: 0xE0}

#: After the first byte: CELT's silence flag is set, and nothing follows (RFC 6716, section 4.3.7).
_SILENT_BODY: Final = b"\xff\xfe"

#: First bytes of packets in which that flag can stand: CELT, one frame.
_CELT_TOCS: Final = frozenset(range(0x80, 0x100, 4))
_STEREO: Final = 0x04


def duration(packet: bytes) -> int:
    """How long it plays, in ticks; 0 for what is no Opus packet."""
    if not packet:
        return 0
    ticks = _LENGTH[packet[0]]
    if ticks or packet[0] & 3 != 3:
        return ticks
    if len(packet) < 2:
        return 0
    ticks = _FRAME[packet[0] >> 3] * (packet[1] & 0x3F)
    return ticks if ticks <= LONGEST else 0


def is_stereo(packet: bytes) -> bool:
    """Whether two channels are coded in it."""
    return bool(packet) and is_stereo_toc(packet[0])


def is_stereo_toc(first: int) -> bool:
    """Whether a packet with that first byte has two channels coded in it."""
    return bool(first & _STEREO)


def is_dtx(packet: bytes) -> bool:
    """Whether the encoder had nothing to say: comfort noise at most (RFC 6716, section 2.1.9)."""
    return len(packet) <= 2


def is_silent(packet: bytes) -> bool:
    """Whether it holds no sound for certain: nothing was coded, or the silence flag."""
    if len(packet) <= 2:
        return True
    if packet[1:3] != _SILENT_BODY or packet[0] not in _CELT_TOCS:
        return False
    return len(packet) == 3 or not any(packet[3:])  # LiveKit's own are padded with zeros


def silence(ticks: int, *, stereo: bool = False) -> list[bytes]:
    """Packets that decode to exact silence, the longest first; a rest below 2.5 ms is left over."""
    packets: list[bytes] = []
    ticks = max(0, ticks)
    for length in _SILENT_TOC:
        count, ticks = divmod(ticks, length)
        packets += [silent_packet(length, stereo=stereo)] * count
    return packets


def silent_packet(ticks: int, *, stereo: bool = False) -> bytes:
    """One packet of 960, 480, 240 or 120 ticks of silence."""
    return bytes([_SILENT_TOC[ticks] | (_STEREO if stereo else 0)]) + _SILENT_BODY


def lost_packet(like: bytes) -> bytes:
    """A packet that makes a decoder conceal one frame: of the length and bandwidth of `like`.

    libopus takes a frame of no bytes for one that was lost.
    """
    return bytes([like[0] & 0xFC])

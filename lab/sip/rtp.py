"""RTP packets (RFC 3550), and keys as telephone events in them (RFC 4733)."""

import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lab.sip import g711
from lab.sounds import PCM, silence

#: Samples in a packet: 20 ms at 8 kHz.
SAMPLES = 160
PACKET_FOR = SAMPLES / g711.LINE_RATE
KEYS = "0123456789*#ABCD"
#: A key is pressed for so many packets, and its end is told three times (2.5.1.4).
_PRESSED_FOR, _ENDS = 5, 3
_LOUDNESS = 10
_END = 0x80
_HEAD = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_VERSION = 2 << 6
_WRAP = 2**32
#: More than that between two packets of one source is no pause, but nonsense. Samples.
_TOO_FAR = 3600 * g711.LINE_RATE


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet; `timestamp` counts samples, `ssrc` names who sends."""

    payload_type: int
    number: int
    timestamp: int
    ssrc: int
    payload: bytes
    is_marked: bool = False

    def to_bytes(self) -> bytes:
        kind = self.payload_type | (0x80 if self.is_marked else 0)
        head = _HEAD.pack(_VERSION, kind, self.number, self.timestamp, self.ssrc)
        return head + self.payload


def parse(datagram: bytes) -> Packet | None:
    """The packet in a datagram; None when it is none."""
    if len(datagram) < _HEAD.size or datagram[0] >> 6 != 2:
        return None
    first, kind, number, timestamp, ssrc = _HEAD.unpack_from(datagram)
    begin = _HEAD.size + 4 * (first & 0x0F)
    if first & 0x10 and len(datagram) >= begin + 4:
        begin += 4 + 4 * int.from_bytes(datagram[begin + 2 : begin + 4])
    end = len(datagram) - (datagram[-1] if first & 0x20 else 0)
    if begin > end:
        return None
    return Packet(kind & 0x7F, number, timestamp, ssrc, datagram[begin:end], bool(kind & 0x80))


class Stream:
    """The packets of one source, 20 ms apart; where it begins to count is chance."""

    def __init__(self) -> None:
        self._ssrc = secrets.randbits(32)
        self._number = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._key_at = 0

    def next(self, payload_type: int, payload: bytes, *, is_marked: bool = False) -> Packet:
        """The next packet."""
        return self._next(payload_type, payload, self._timestamp, is_marked=is_marked)

    def key(self, payload_type: int, is_first: bool, payload: bytes) -> Packet:
        """The next packet, of a key: all of one have the timestamp of the first (2.2)."""
        if is_first:
            self._key_at = self._timestamp
        return self._next(payload_type, payload, self._key_at, is_marked=is_first)

    def _next(self, kind: int, payload: bytes, timestamp: int, *, is_marked: bool) -> Packet:
        packet = Packet(kind, self._number, timestamp, self._ssrc, payload, is_marked)
        self._number = (self._number + 1) % 2**16
        self._timestamp = (self._timestamp + SAMPLES) % _WRAP
        return packet


def pressed(key: str) -> Iterator[tuple[bool, bytes]]:
    """The payloads that tell of one key, a packet each; and whether it is the first."""
    event = KEYS.index(key)
    for number in range(_PRESSED_FOR + _ENDS):
        held_for = min(number + 1, _PRESSED_FOR) * SAMPLES
        end = _END if number >= _PRESSED_FOR else 0
        yield number == 0, _EVENT.pack(event, end | _LOUDNESS, held_for)


def released(payload: bytes) -> str:
    """The key whose end a payload tells; empty when it does not."""
    if len(payload) < _EVENT.size:
        return ""
    event, flags, _ = _EVENT.unpack_from(payload)
    return KEYS[event] if flags & _END and event < len(KEYS) else ""


def placed(packets: Sequence[Packet]) -> PCM:
    """The sound of packets at 8 kHz, each where its timestamp puts it; silence where none came.

    Only the first source counts; what is nonsense beside it does not.
    """
    first = next(iter(packets), None)
    if first is None:
        return silence(0)
    places = [
        (at, g711.decode(packet.payload))
        for packet in packets
        if packet.ssrc == first.ssrc and 0 <= (at := _apart(packet, first)) < _TOO_FAR
    ]
    whole = np.zeros(max(at + len(pcm) for at, pcm in places), np.int16)
    for at, pcm in places:
        whole[at : at + len(pcm)] = pcm
    return whole


def _apart(packet: Packet, first: Packet) -> int:
    """By how many samples a packet follows another; timestamps begin again at 2^32."""
    return (packet.timestamp - first.timestamp + _WRAP // 2) % _WRAP - _WRAP // 2

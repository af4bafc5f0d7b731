"""Ogg pages that carry Opus: written by the recorder, read and written again by the renderer.

Pure: bytes in, bytes out. What is written is RFC 3533 (pages) and RFC 7845 (Opus in them), in its
simplest form: packets are whole in their page, a page belongs to one stream. What is read may be
torn at the end and damaged in the middle.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from egress_manager.domain.captures import TICKS

VENDOR: Final = "Egress Manager"

#: A page holds at most so many pieces of at most 255 bytes (RFC 3533, section 6).
MAX_SEGMENTS: Final = 255

#: The granule of a page on which no packet ends (RFC 3533, section 6).
NO_GRANULE: Final = -1

_MAGIC: Final = b"OggS"
_HEADER: Final = struct.Struct("<4sBBqIIIB")
_FLAGS_AT: Final = 5
_CRC_AT: Final = 22
_CONTINUED, _FIRST, _LAST = 1, 2, 4
#: How both headers of an Opus stream begin.
_HEADS: Final = b"Opus"

#: Every byte with its bits in the opposite order.
_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ALL_ONES: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its whole packets, and the granule (ticks) at which the last of them ends.

    `start` and `end` are its place in the file, in bytes.
    """

    granule: int
    packets: tuple[bytes, ...]
    serial: int
    sequence: int
    start: int
    end: int
    is_first: bool = False
    is_last: bool = False

    @property
    def is_head(self) -> bool:
        """Whether it carries one of the two headers, no sound."""
        if self.sequence > 1 or not self.packets:
            return False
        return self.packets[0].startswith((b"OpusHead", b"OpusTags"))


def checksum(data: bytes) -> bytes:
    """The four bytes of Ogg's CRC-32 as they stand in the page.

    Ogg shifts bits to the left where zlib shifts to the right, with the same polynomial 0x04C11DB7,
    and starts from 0 and ends without inverting. So zlib's fast loop does the work on mirrored
    bytes; mirroring the result and writing it little-endian is mirroring its big-endian bytes.
    """
    mirrored = zlib.crc32(data.translate(_MIRROR), _ALL_ONES) ^ _ALL_ONES
    return mirrored.to_bytes(4, "big").translate(_MIRROR)


def segments(size: int) -> int:
    """How many of a page's `MAX_SEGMENTS` a packet of so many bytes takes."""
    return size // 255 + 1


def page(
    packets: Sequence[bytes],
    granule: int,
    serial: int,
    sequence: int,
    *,
    first: bool = False,
    last: bool = False,
) -> bytes:
    """One page of whole packets; `granule` is where the last of them ends, in ticks.

    Raises `ValueError` for more than `MAX_SEGMENTS`.
    """
    lacing = bytearray()
    for packet in packets:
        whole, rest = divmod(len(packet), 255)
        if whole:
            lacing += b"\xff" * whole
        lacing.append(rest)
    if len(lacing) > MAX_SEGMENTS:
        raise ValueError(f"{len(lacing)} segments don't fit in a page")
    flags = (_FIRST if first else 0) | (_LAST if last else 0)
    header = _HEADER.pack(_MAGIC, 0, flags, granule, serial, sequence, 0, len(lacing))
    made = bytearray(b"".join((header, lacing, *packets)))
    made[_CRC_AT : _CRC_AT + 4] = checksum(bytes(made))
    return bytes(made)


def head_pages(serial: int, channels: int, pre_skip: int = 0) -> bytes:
    """The two pages that open an Ogg Opus stream; they take sequence 0 and 1.

    `pre_skip`: ticks at the beginning that a player decodes and does not play.
    """
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, channels, pre_skip, TICKS, 0, 0)
    vendor = VENDOR.encode()
    tags = struct.pack(f"<8sI{len(vendor)}sI", b"OpusTags", len(vendor), vendor, 0)
    return page([head], 0, serial, 0, first=True) + page([tags], 0, serial, 1)


class Reader:
    """Reads the pages of a file that may still be growing: feed it what was appended.

    A page that is not wholly there yet is waited for. Whatever is no page is passed over; a page
    counts when its checksum is right, so one that follows a torn one is found as well.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._offset = 0  # of `_rest` in the file

    def feed(self, data: bytes) -> list[Page]:
        """The pages that are complete now and were not before."""
        buffer = self._rest + data if self._rest else data
        pages: list[Page] = []
        done, torn = 0, -1
        at = buffer.find(_MAGIC)
        while at >= 0:
            end = _end_of(buffer, at)
            if end is not None and _is_sound(buffer[at:end]):
                pages.append(_parsed(buffer, at, end, self._offset))
                done, torn = end, -1
                at = buffer.find(_MAGIC, end)
                continue
            if end is None and torn < 0:
                torn = at
            at = buffer.find(_MAGIC, at + 1)
        keep = torn if torn >= 0 else max(done, len(buffer) - len(_MAGIC) + 1)
        self._rest = buffer[keep:]
        self._offset += keep
        return pages


def read_pages(data: bytes) -> list[Page]:
    """All pages of a whole file, or of what is left of it."""
    return Reader().feed(data)


def first_bytes(data: bytes | mmap) -> Iterator[int]:
    """The first byte of every Opus packet in a file, quickly: no checksum is looked at.

    It ends where no page follows the one before.
    """
    at = 0
    while data[at : at + len(_MAGIC)] == _MAGIC and (end := _end_of(data, at)) is not None:
        table = at + _HEADER.size
        place = table + data[table - 1]
        is_head = data[place : place + len(_HEADS)] == _HEADS
        goes_on = bool(data[at + _FLAGS_AT] & _CONTINUED)
        for size in data[table:place]:
            if size and not goes_on and not is_head:
                yield data[place]
            place += size
            goes_on = size == 255
        at = end


def _end_of(buffer: bytes | mmap, at: int) -> int | None:
    """Where the page that begins at `at` ends; None where that is beyond the buffer."""
    table = at + _HEADER.size
    if table > len(buffer):
        return None
    body = table + buffer[table - 1]
    end = body + sum(buffer[table:body])
    return end if end <= len(buffer) else None


def _is_sound(found: bytes) -> bool:
    """Whether the checksum of a page is right, and its version the only one there is."""
    bare = found[:_CRC_AT] + bytes(4) + found[_CRC_AT + 4 :]
    return found[4] == 0 and found[_CRC_AT : _CRC_AT + 4] == checksum(bare)


def _parsed(buffer: bytes, at: int, end: int, offset: int) -> Page:
    """The page that lies there. A packet that began on an earlier page is left out."""
    _, _, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(buffer, at)
    table = at + _HEADER.size
    packets = list(_packets(buffer, buffer[table : table + count], table + count))
    if flags & _CONTINUED:
        packets = packets[1:]
    return Page(
        granule=granule,
        packets=tuple(packets),
        serial=serial,
        sequence=sequence,
        start=offset + at,
        end=offset + end,
        is_first=bool(flags & _FIRST),
        is_last=bool(flags & _LAST),
    )


def _packets(buffer: bytes, lacing: bytes, at: int) -> Iterator[bytes]:
    """The packets that end on a page; a lacing value below 255 ends one (RFC 3533, section 5)."""
    size = 0
    for value in lacing:
        size += value
        if value < 255:
            yield buffer[at : at + size]
            at += size
            size = 0

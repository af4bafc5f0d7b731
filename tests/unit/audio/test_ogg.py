"""Ogg pages: written, read back, torn and damaged."""

import io
import struct

import av
from hypothesis import assume, given
from hypothesis import strategies as st

from egress_manager.audio import ogg, opus

packets = st.lists(st.binary(max_size=1500), min_size=1, max_size=20)


def plain_crc(data: bytes) -> int:
    """Ogg's checksum bit by bit, as RFC 3533 describes it."""
    register = 0
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
            register &= 0xFFFFFFFF
    return register


def written(pages: list[list[bytes]]) -> list[bytes]:
    """Head pages and one page for every list of packets, as separate byte strings."""
    return [
        ogg.head_pages(7, 1),
        *(ogg.page(p, 960 * n, 7, n + 2) for n, p in enumerate(pages)),
    ]


@given(st.binary(max_size=300))
def test_the_fast_checksum_is_the_plain_one(data):
    """zlib on mirrored bytes gives what the polynomial of RFC 3533 gives."""
    assert struct.unpack("<I", ogg.checksum(data))[0] == plain_crc(data)


@given(st.lists(packets, max_size=6))
def test_what_is_written_is_read(pages):
    """Packets, granules and order survive; the heads are told from sound."""
    read = ogg.read_pages(b"".join(written(pages)))

    assert [page.is_head for page in read] == [True, True] + [False] * len(pages)
    assert [list(page.packets) for page in read[2:]] == pages
    assert [page.granule for page in read[2:]] == [960 * n for n in range(len(pages))]


@given(st.lists(packets, min_size=1, max_size=5), st.data())
def test_a_file_that_was_cut_reads_up_to_the_cut(pages, data):
    """Every page that is whole is read, and the torn one is not there."""
    parts = written(pages)
    whole = b"".join(parts)
    cut = data.draw(st.integers(len(parts[0]), len(whole)))
    ends = [page.end for page in ogg.read_pages(whole)]

    read = ogg.read_pages(whole[:cut])

    assert [page.end for page in read] == [end for end in ends if end <= cut]


@given(st.lists(packets, min_size=1, max_size=5), st.data())
def test_a_growing_file_is_read_piece_by_piece(pages, data):
    """However its bytes arrive, each page is read once."""
    whole = b"".join(written(pages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reader = ogg.Reader()

    read = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        read += reader.feed(whole[start:end])

    assert read == ogg.read_pages(whole)


@given(st.lists(packets, min_size=2, max_size=5), st.binary(max_size=400), st.data())
def test_garbage_is_passed_over(pages, garbage, data):
    """Damage costs the page that it hits, and no other."""
    parts = written(pages)
    at = data.draw(st.integers(1, len(parts) - 1))
    hit = parts[at][: data.draw(st.integers(0, len(parts[at]) - 1))] + garbage
    assume(not hit.startswith(parts[at]))  # garbage that mends the page is no damage

    read = ogg.read_pages(b"".join([*parts[:at], hit, *parts[at + 1 :]]))

    kept = [page.granule for page in read if not page.is_head]
    assert kept == [960 * n for n in range(len(pages)) if n != at - 1]


def test_a_player_reads_what_is_written():
    """FFmpeg opens the file, and finds the vendor and the length."""
    frames = opus.silence(48_000, stereo=False)
    data = ogg.head_pages(1, 1) + ogg.page(frames, 48_000, 1, 2, last=True)

    with av.open(io.BytesIO(data)) as opened:
        length = sum(frame.samples for frame in opened.decode(audio=0))

    assert length == 48_000

"""The Merkle tree is that of RFC 6962, and peaks are all that it needs."""

import base64
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.merkle import Peaks, grown, leaf_hash, root_of

#: The leaves and the roots with which the Certificate Transparency project tests every tree.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def peaks_of(leaves: Sequence[bytes]) -> Peaks:
    """The peaks, leaf after leaf."""
    peaks: Peaks = ()
    for size, data in enumerate(leaves):
        peaks = grown(peaks, size, leaf_hash(data))
    return peaks


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    below = by_definition(leaves[:half]) + by_definition(leaves[half:])
    return hashlib.sha256(b"\x01" + below).digest()


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_roots_are_those_that_others_compute(size: int) -> None:
    """Of none to eight leaves."""
    assert root_of(peaks_of(LEAVES[:size])).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=3), max_size=70))
def test_growing_leaf_by_leaf_is_the_definition(leaves: list[bytes]) -> None:
    """Whatever the size; there is a peak for every 1 in it."""
    peaks = peaks_of(leaves)

    assert root_of(peaks) == by_definition(leaves)
    assert len(peaks) == len(leaves).bit_count()


def test_at_the_millionth_entry_there_are_few_peaks() -> None:
    """A tree of that size is never read: 20 hashes make the next root."""
    size = 2**20 - 1
    peaks: Peaks = tuple(bytes([number]) * 32 for number in range(20))

    after = grown(peaks, size, leaf_hash(b"the 1,048,576th"))

    assert len(after) == 1
    assert len(base64.b64encode(b"".join(peaks))) < 1_000

"""The Merkle tree of RFC 6962 over the entries of the chain, of which only the peaks are kept.

Peaks are the hashes of the largest whole subtrees from left to right: one for every 1 in the binary
form of the tree's size, so at most 20 below a million leaves. They are enough to add a leaf and to
know the root.
"""

import hashlib
from typing import Final

Peaks = tuple[bytes, ...]

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf that holds the data."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of what has these two below it."""
    return hashlib.sha256(_NODE + left + right).digest()


def grown(peaks: Peaks, size: int, leaf: bytes) -> Peaks:
    """The peaks of a tree of that size when a leaf was added to it."""
    rest = list(peaks)
    while size & 1:  # a whole subtree of the same size ends there
        leaf = node_hash(rest.pop(), leaf)
        size >>= 1
    return (*rest, leaf)


def root_of(peaks: Peaks) -> bytes:
    """The root of the tree that has these peaks."""
    if not peaks:
        return hashlib.sha256().digest()
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root

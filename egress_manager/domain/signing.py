"""Signatures of entries: each is that of a checkpoint of the chain up to and with the entry.

An entry has the peaks of the Merkle tree of all entries before it. With its own leaf they make the
root that was signed: so an entry can be checked by itself, from a sidecar too, and says that all
before it were what they were.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Protocol

from egress_manager.domain.merkle import Peaks, grown, leaf_hash, root_of
from egress_manager.domain.notes import Checkpoint
from egress_manager.domain.seal import Facts, text_of


class Trusted(Protocol):
    """Whose signatures count."""

    @property
    def origins(self) -> Sequence[str]:
        """The names of the keys, and of the logs that they sign; the one that signs now first."""
        ...

    def holds(self, text: str, signature: str) -> bool:
        """Whether the text has this signature, in base64, by one of the keys."""
        ...


def leaf_of(facts: Facts) -> bytes:
    """The leaf of an entry. Raises `TypeError`, `ValueError`, `RecursionError` for what is none."""
    return leaf_hash(text_of(facts))


def peaks_before(facts: Facts) -> Peaks:
    """The peaks of the tree of the entries before it. Raises `ValueError` where it has none."""
    told = facts.get("peaks")
    if not isinstance(told, list | tuple):
        raise ValueError("an entry without peaks")
    try:
        return tuple(base64.b64decode(peak, validate=True) for peak in told)
    except (binascii.Error, TypeError):
        raise ValueError("a peak is damaged") from None


def peaks_with(facts: Facts) -> Peaks:
    """The peaks of the tree that ends with this entry. Raises `ValueError` for what is no entry."""
    before, size = peaks_before(facts), _size_before(facts)
    if len(before) != size.bit_count():
        raise ValueError("peaks of another tree")
    try:
        return grown(before, size, leaf_of(facts))
    except (TypeError, RecursionError):
        raise ValueError("no entry") from None


def with_peaks(facts: Facts, peaks: Peaks) -> Facts:
    """The entry with the peaks of what was before it."""
    return {**facts, "peaks": [base64.b64encode(peak).decode() for peak in peaks]}


def is_signed(facts: Facts) -> bool:
    """Whether an entry has a signature at all, of whomever."""
    return bool(facts.get("signature"))


def signed_checkpoint(facts: Facts, trusted: Trusted) -> Checkpoint | None:
    """The checkpoint of which an entry has the signature; None where it says something else."""
    signature: Any = facts.get("signature")
    if not isinstance(signature, str):
        return None
    try:
        size, root = _size_before(facts) + 1, root_of(peaks_with(facts))
    except ValueError:
        return None
    checkpoints = (Checkpoint(origin, size, root) for origin in trusted.origins)
    return next((each for each in checkpoints if trusted.holds(each.text, signature)), None)


def _size_before(facts: Facts) -> int:
    number = facts.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError("an entry without a number")
    return number - 1

"""The one way the chain grows: an entry is linked to the newest, signed, stored, and noted.

Who adds looks first at whether the end of the chain is its own: it never goes on from entries that
somebody else made, nor from a chain whose end is missing.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from egress_manager.domain.merkle import Peaks, grown, leaf_hash, root_of
from egress_manager.domain.notes import Checkpoint, checkpoint_of, note
from egress_manager.domain.seal import Facts, linked
from egress_manager.domain.signing import (
    is_signed,
    leaf_of,
    peaks_with,
    signed_checkpoint,
    with_peaks,
)
from egress_manager.errors import ChainBroken, NotFound, StorageFailed
from egress_manager.flows.audit.doors import Audit, Sealers, Signer

log = logging.getLogger(__name__)

#: A chain that nobody signed may lack so many entries, as one that was restored from sidecars may.
MOST_MISSING: Final = 1000
#: After so many entries others have their turn: the store does not wait between them.
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class End:
    """The newest entry, and how many there were at least when it was read."""

    newest: Facts | None
    noted_size: int


async def end_of(doors: Sealers) -> End:
    """The end of the chain; what was noted is read first, for the chain may only be longer then.

    Raises `ChainBroken`, `StoreUnavailable`, `StorageFailed`.
    """
    noted_size = await _noted_size(doors.signer) if doors.signer else 0
    return End(await doors.audit.newest(), noted_size)


async def extend(end: End, facts: Facts, doors: Sealers) -> Facts:
    """Add these facts after the end, and return them as they were stored.

    Raises `Conflict` where somebody was faster, `ChainBroken` where the end of the chain is not
    ours, `StoreUnavailable`.
    """
    entry = linked(end.newest, facts)
    if doors.signer is None:
        await doors.audit.append(entry)
        return entry
    before = await _peaks_at(end, doors.audit, doors.signer)
    size: int = entry["number"]
    root = root_of(grown(before, size - 1, leaf_of(entry)))
    text = Checkpoint(doors.signer.origins[0], size, root).text
    signature = doors.signer.sign(text)
    entry = {**with_peaks(entry, before), "signature": signature}
    await doors.audit.append(entry)
    try:
        await doors.signer.note(size, note(text, doors.signer.origins[0], signature))
    except StorageFailed as error:  # the entry is there: the next one is noted
        log.warning("checkpoint_not_noted", extra={"why": str(error)})
    return entry


async def signed_end(doors: Sealers) -> str:
    """The newest entry's checkpoint as a signed note. Raises `NotFound` where nothing is signed."""
    newest, signer = await doors.audit.newest(), doors.signer
    if signer is None or newest is None or not is_signed(newest):
        raise NotFound("the chain has no signed entry yet")
    checkpoint = signed_checkpoint(newest, signer)
    if checkpoint is None:
        raise ChainBroken(f"entry {newest['number']} is not signed by this key")
    return note(checkpoint.text, checkpoint.origin, newest["signature"])


async def check_end(doors: Sealers) -> None:
    """Whether anything can be added to the chain, as far as its end shows.

    Raises `ChainBroken`, `StoreUnavailable`, `StorageFailed`.
    """
    if doors.signer is not None:
        _check(await end_of(doors), doors.signer)


def _check(end: End, signer: Signer) -> None:
    newest, noted = end.newest, end.noted_size
    size = newest["number"] if newest else 0
    if size < noted:
        raise ChainBroken(f"the chain ends with entry {size}, and had {noted}")
    if newest is None:
        return
    if is_signed(newest) and signed_checkpoint(newest, signer) is None:
        raise ChainBroken(f"entry {size} is not signed by this key")
    if noted and not is_signed(newest):
        raise ChainBroken(f"entry {size} is not signed")


async def _peaks_at(end: End, audit: Audit, signer: Signer) -> Peaks:
    """The peaks of the chain as it is. Raises `ChainBroken`, `StoreUnavailable`."""
    _check(end, signer)
    if end.newest is None:
        return ()
    if is_signed(end.newest):
        return peaks_with(end.newest)
    return await _peaks_of_unsigned(audit, end.newest["number"])


async def _noted_size(signer: Signer) -> int:
    told = await signer.noted()
    try:
        return checkpoint_of(told)[0].size if told else 0
    except ValueError as error:
        raise ChainBroken(f"the checkpoint that was noted can't be read: {error}") from error


async def _peaks_of_unsigned(audit: Audit, size: int) -> Peaks:
    """The peaks of a chain that an older version made, once: all of it is read.

    A number that nobody has is a leaf that holds nothing; too many of them are no chain.
    """
    peaks: Peaks = ()
    last, lacking, read = 0, 0, 0
    async for facts in audit.entries():
        read += 1
        if read % AT_ONCE == 0:
            await asyncio.sleep(0)
        number = facts.get("number")
        if not isinstance(number, int) or not last < number <= size:
            continue
        if is_signed(facts):
            raise ChainBroken(f"entry {number} is signed, and entry {size} is not")
        lacking += number - 1 - last
        if lacking > MOST_MISSING:
            raise ChainBroken(f"{lacking} entries before {number} are missing")
        for missing in range(last, number - 1):
            peaks = grown(peaks, missing, leaf_hash(b""))
        peaks, last = grown(peaks, number - 1, leaf_of(facts)), number
    return peaks

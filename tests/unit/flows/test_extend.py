"""The chain grows only from an end that is its own, and others have their turn meanwhile."""

import asyncio
from datetime import UTC, datetime

import pytest

from egress_manager.domain.seal import Facts, linked
from egress_manager.errors import ChainBroken
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.extend import AT_ONCE, MOST_MISSING, end_of, extend
from egress_manager.testing import (
    FixedClock,
    MemoryAudit,
    MemoryCalls,
    MemoryFiles,
    MemoryRecordings,
    MemorySidecars,
    MemorySigner,
    MemoryWaiting,
)

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def doors_with(audit: MemoryAudit) -> Sealers:
    """A house that has a key and only that chain."""
    recordings, calls = MemoryRecordings({}), MemoryCalls({})
    return Sealers(
        recordings=recordings,
        calls=calls,
        waiting=MemoryWaiting(recordings, calls),
        audit=audit,
        sidecars=MemorySidecars({}),
        files=MemoryFiles(),
        clock=FixedClock(NOON),
        signer=MemorySigner(),
    )


async def unsigned_chain(length: int) -> MemoryAudit:
    """Entries of a version that signed none."""
    audit, newest = MemoryAudit(), None
    for number in range(1, length + 1):
        newest = linked(newest, {"subject": f"rec_{number}"})
        await audit.append(newest)
    return audit


async def test_an_entry_far_behind_the_end_stops_the_chain_and_nothing_else() -> None:
    """Its number may be any; a few entries may be missing where the chain was restored."""
    audit = await unsigned_chain(3)
    doors = doors_with(audit)
    far: Facts = {"number": 2**40, "hash": "", "subject": "rec_x"}
    audit.kept[2**40] = far

    with pytest.raises(ChainBroken, match="are missing"):
        await extend(await end_of(doors), {"subject": "rec_4"}, doors)
    del audit.kept[2**40]
    audit.kept[3 + MOST_MISSING] = {**far, "number": 3 + MOST_MISSING}
    entry = await extend(await end_of(doors), {"subject": "rec_4"}, doors)

    assert entry["number"] == MOST_MISSING + 4


async def test_others_have_their_turn_while_an_old_chain_is_read() -> None:
    """Every hundred entries, for the store hands out many without a pause."""
    doors = doors_with(await unsigned_chain(3 * AT_ONCE))
    reading = asyncio.create_task(extend(await end_of(doors), {"subject": "rec_x"}, doors))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 3

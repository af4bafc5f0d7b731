"""The chain grows only from an end that is its own, and others have their turn meanwhile."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.seal import Facts, linked
from egress_manager.errors import ChainBroken
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.extend import AT_ONCE, MOST_MISSING, end_of, extend
from egress_manager.flows.audit.seal import Sealing
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
from tests.unit.flows.test_audit_flow import RECORDING

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


async def test_no_file_is_read_for_a_chain_that_is_broken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said once a minute, and goes on where the chain is whole again."""
    doors = replace(doors_with(MemoryAudit()), clock=(clock := FixedClock(NOON)))
    await extend(await end_of(doors), {"subject": "rec_x"}, doors)
    doors.audit.kept, whole = {}, doors.audit.kept  # type: ignore[attr-defined]
    doors.recordings.kept["rec_1"] = RECORDING  # type: ignore[attr-defined]
    read: list[str] = []
    plain = doors.sidecars.fingerprint

    async def counted(path: str) -> Fingerprint | None:
        read.append(path)
        return await plain(path)

    doors.sidecars.fingerprint = counted  # type: ignore[method-assign]
    sealing = Sealing()
    for said in (1, 1, 1, 2):
        assert not await sealing.turn(doors)
        assert [each.message for each in caplog.records] == ["nothing_sealed"] * said
        clock.pass_(seconds=25)
    assert read == []

    doors.audit.kept = whole  # type: ignore[attr-defined]
    clock.pass_(minutes=1)
    assert await sealing.turn(doors)
    assert (len(whole), len(read)) == (2, 2)


async def test_a_chain_that_turns_out_to_be_broken_stops_the_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As one that nobody signed, in which too much is missing."""
    audit = await unsigned_chain(1)
    audit.kept[2**40] = {"number": 2**40, "hash": "", "subject": "rec_x"}
    doors, sealing = doors_with(audit), Sealing()
    for number in (1, 2):
        doors.recordings.kept[f"rec_{number}"] = replace(RECORDING, id=f"rec_{number}")  # type: ignore[attr-defined]

    assert not await sealing.turn(doors)
    assert [each.message for each in caplog.records] == ["nothing_sealed"]

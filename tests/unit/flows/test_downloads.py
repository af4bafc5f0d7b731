"""Who is given audio stands in the chain, once for each time that somebody listens."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from egress_manager.domain.chain import Trouble
from egress_manager.domain.downloads import DOWNLOADED, MOST_REMEMBERED, WINDOW, Download
from egress_manager.errors import StorageFailed, StoreUnavailable
from egress_manager.flows.audit import rebuild, verify
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.download import Downloads
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
DOWNLOAD = Download("rec_1", "mix", "/recordings/a.mp4", "key", "192.0.2.7")


@pytest.fixture
def doors() -> Sealers:
    """An empty house that signs."""
    recordings, calls = MemoryRecordings(), MemoryCalls()
    return Sealers(
        recordings=recordings,
        calls=calls,
        waiting=MemoryWaiting(recordings, calls),
        audit=MemoryAudit(),
        sidecars=MemorySidecars(),
        files=MemoryFiles(),
        clock=FixedClock(NOON),
        signer=MemorySigner(),
    )


def pass_(doors: Sealers, time: timedelta) -> None:
    """Time goes by."""
    assert isinstance(doors.clock, FixedClock)
    doors.clock.pass_(seconds=time.total_seconds())


def entries(doors: Sealers) -> list[dict[str, object]]:
    """The chain."""
    assert isinstance(doors.audit, MemoryAudit)
    return [dict(doors.audit.kept[number]) for number in sorted(doors.audit.kept)]


async def test_an_entry_says_who_and_what_and_when(doors: Sealers) -> None:
    """It is signed, lies on the disk, too, and nothing is wrong with it."""
    await Downloads(doors).note(DOWNLOAD)

    (entry,) = entries(doors)
    assert {name: entry[name] for name in ("kind", "subject", "role", "path")} == {
        "kind": DOWNLOADED,
        "subject": "rec_1",
        "role": "mix",
        "path": "/recordings/a.mp4",
    }
    assert (entry["principal"], entry["address"]) == ("key", "192.0.2.7")
    assert entry["at"] == "2026-11-30T12:00:00.000Z"
    assert [each async for each in doors.sidecars.downloads()] == [entry]
    audited = await verify.verify(doors, lambda finding: None)
    assert (audited.findings, audited.downloads, audited.documents) == ([], 1, 0)


async def test_the_parts_that_a_player_asks_for_are_one_download(doors: Sealers) -> None:
    """As long as it goes on within the window; every other file, person and address is its own."""
    downloads = Downloads(doors)
    for _ in range(50):
        await downloads.note(DOWNLOAD)
        pass_(doors, WINDOW / 100)
    assert len(entries(doors)) == 1

    for other in (
        replace(DOWNLOAD, recording_id="rec_2"),
        replace(DOWNLOAD, role="TR_1", path="/recordings/a.ogg"),
        replace(DOWNLOAD, principal="somebody"),
        replace(DOWNLOAD, address="192.0.2.8"),
    ):
        await downloads.note(other)
    assert len(entries(doors)) == 5

    pass_(doors, WINDOW / 2)
    await downloads.note(DOWNLOAD)
    assert len(entries(doors)) == 6


async def test_parts_that_are_asked_for_at_once_are_one_download(doors: Sealers) -> None:
    """As players and download managers do."""
    downloads = Downloads(doors)

    await asyncio.gather(*(downloads.note(DOWNLOAD) for _ in range(20)))

    assert len(entries(doors)) == 1


async def test_a_clock_that_was_set_back_hides_nobody(doors: Sealers) -> None:
    """Who listens then is noted again."""
    downloads = Downloads(doors)
    await downloads.note(DOWNLOAD)
    pass_(doors, -timedelta(days=1))

    await downloads.note(DOWNLOAD)

    assert len(entries(doors)) == 2


async def test_who_is_remembered_is_bounded(doors: Sealers) -> None:
    """Many listeners cost no more memory than the bound; the oldest is noted anew."""
    downloads = Downloads(doors)
    for number in range(MOST_REMEMBERED + 1):
        downloads.listeners.note(replace(DOWNLOAD, address=str(number)), NOON)

    assert len(downloads.listeners.noted) == MOST_REMEMBERED
    assert downloads.listeners.are_new(replace(DOWNLOAD, address="0"), NOON)
    assert not downloads.listeners.are_new(replace(DOWNLOAD, address="1"), NOON)


async def test_without_an_entry_nothing_is_given_and_it_is_tried_again(doors: Sealers) -> None:
    """The store is away: so it is said, and the next request is noted."""
    downloads, append = Downloads(doors), doors.audit.append

    async def away(entry: object) -> None:
        raise StoreUnavailable

    doors.audit.append = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await downloads.note(DOWNLOAD)
    doors.audit.append = append  # type: ignore[method-assign]
    await downloads.note(DOWNLOAD)

    assert len(entries(doors)) == 1


async def test_a_chain_that_somebody_broke_is_not_gone_on_with(
    doors: Sealers, caplog: pytest.LogCaptureFixture
) -> None:
    """Who listens stands in the log then, and hears."""
    downloads = Downloads(doors)
    await downloads.note(DOWNLOAD)
    assert isinstance(doors.audit, MemoryAudit)
    doors.audit.kept[1] = {**doors.audit.kept[1], "signature": "forged"}

    await downloads.note(replace(DOWNLOAD, address="192.0.2.8"))

    assert len(entries(doors)) == 1
    assert any(record.message == "download_not_sealed" for record in caplog.records)
    audited = await verify.verify(doors, lambda finding: None)
    assert [each.trouble for each in audited.findings] == [Trouble.ENTRY_FORGED]


async def test_a_disk_that_is_full_keeps_nobody_from_listening(doors: Sealers) -> None:
    """The chain has the entry."""

    async def full(entry: object) -> None:
        raise StorageFailed("full")

    doors.sidecars.add_download = full  # type: ignore[method-assign]
    await Downloads(doors).note(DOWNLOAD)

    assert len(entries(doors)) == 1


async def test_downloads_are_rebuilt_and_missed(doors: Sealers) -> None:
    """A database that was lost gets them back from the disk; one that was forged is refused."""
    downloads = Downloads(doors)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        await downloads.note(replace(DOWNLOAD, address=address))
    was = entries(doors)
    assert isinstance(doors.audit, MemoryAudit)
    assert isinstance(doors.sidecars, MemorySidecars)
    del doors.audit.kept[2]
    audited = await verify.verify(doors, lambda finding: None)
    assert [(each.trouble, each.entry) for each in audited.findings] == [(Trouble.ENTRY_REMOVED, 2)]

    doors.audit.kept.clear()
    told = await rebuild.rebuild(doors.sidecars, doors, lambda trouble: None, is_meant=True)
    assert (told.entries, told.missing, told.troubles) == (3, [], [])
    assert entries(doors) == was

    doors.audit.kept.clear()
    doors.sidecars.listened[2] = {**was[2], "address": "198.51.100.1"}
    told = await rebuild.rebuild(doors.sidecars, doors, lambda trouble: None, is_meant=True)
    assert (told.entries, [each.why for each in told.troubles]) == (2, [rebuild.FOREIGN])

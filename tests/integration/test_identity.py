"""The marks that say what belongs together: in memory, in MongoDB and on a disk alike."""

import asyncio
from pathlib import Path

import pytest

from egress_manager.adapters.local_place import LocalDirectoryMark
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_gate import gated
from egress_manager.adapters.mongo_identity import MongoIdentities
from egress_manager.adapters.mongo_schema import SCHEMA
from egress_manager.domain.identity import DatabaseIdentity, LiveKitIdentity
from egress_manager.errors import StoreUnavailable
from egress_manager.flows.sharing.doors import DirectoryMark, Identities
from egress_manager.testing import MemoryDirectoryMark, MemoryIdentities
from tests.integration.stored import NOON, Stores, call, in_mongo, recording, webhook

ONE, TWO = (LiveKitIdentity(f"key-{n}", (f"http://livekit-{n}",)) for n in (1, 2))


@pytest.fixture(params=["memory", "mongo"])
def identities(request: pytest.FixtureRequest) -> Identities:
    """The mark of a database, to be held to its contract."""
    if request.param == "memory":
        return MemoryIdentities()
    db: Database = request.getfixturevalue("db")
    return MongoIdentities(db)


@pytest.fixture(params=["memory", "disk"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryMark:
    """The mark of a directory, to be held to its contract."""
    if request.param == "memory":
        return MemoryDirectoryMark()
    return LocalDirectoryMark(tmp_path / "recordings")


async def test_of_many_who_read_a_database_without_a_mark_one_gives_it_an_id(
    identities: Identities,
) -> None:
    """However many processes start at once."""
    read = await asyncio.gather(*(identities.read() for _ in range(20)))

    assert len(set(read)) == 1
    assert read[0].id
    assert read[0].livekit is None


async def test_of_two_livekits_that_claim_a_database_at_once_one_gets_it(
    identities: Identities,
) -> None:
    """And both hear which."""
    before = await identities.read()
    got = await asyncio.gather(*(identities.save(before, own) for own in (ONE, TWO)))

    assert len(set(got)) == 1
    assert got[0].livekit in (ONE, TWO)
    assert await identities.read() == got[0]


async def test_a_database_that_was_emptied_gets_the_mark_back_that_is_known(
    identities: Identities,
) -> None:
    """But one that has another mark keeps that."""
    known = DatabaseIdentity("known", ONE)

    assert await identities.read(known) == known
    assert await identities.read(DatabaseIdentity("other")) == known
    assert await identities.read() == known


async def test_a_mark_that_was_changed_meanwhile_stays(identities: Identities) -> None:
    """Who decided by an older one decides again."""
    before = await identities.read()
    after = await identities.save(before, ONE)

    assert (await identities.save(before, TWO)).livekit == ONE
    assert (await identities.save(after, TWO)).livekit == TWO


async def test_a_directory_keeps_the_first_database_that_it_belongs_to(
    directory: DirectoryMark,
) -> None:
    """Of many at once, too; and to look leaves no mark."""
    looked = await directory.owner("")
    owners = await asyncio.gather(*(directory.owner(f"db-{n}") for n in range(20)))

    assert looked == ""
    assert len(set(owners)) == 1
    assert await directory.owner("") == owners[0]

    await directory.give_to("another")
    assert await directory.owner("db-1") == "another"


async def test_a_directory_that_cannot_be_written_is_nobody_elses(tmp_path: Path) -> None:
    """A disk in trouble is told of elsewhere, and must not keep anybody from recording."""
    (tmp_path / "file").touch()
    assert await LocalDirectoryMark(tmp_path / "file" / "recordings").owner("db") == "db"


async def test_an_old_database_keeps_its_schema(db: Database) -> None:
    """The mark stands beside the number of the last migration."""
    before = await db["schema"].find_one({"_id": SCHEMA})
    await MongoIdentities(db).read()

    assert await db["schema"].find_one({"_id": SCHEMA}) == before


async def test_while_a_database_is_closed_every_store_says_that_it_is_away(db: Database) -> None:
    """The reason is in the error; when it opens, all of them work."""
    why = "not yet"
    stores: Stores = in_mongo(gated(db, lambda: why))
    asked = [
        stores.calls.get("a"),
        stores.calls.add(call("a")),
        stores.calls.going_on(),
        stores.recordings.add(recording("a")),
        stores.recordings.due(NOON, 1),
        stores.inbox.keep(webhook("one"), NOON),
        stores.keys.fingerprint(),
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    why = ""

    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert {str(answer) for answer in answers} == {"not yet"}
    assert (await stores.calls.add(call("a"))).id == "a"

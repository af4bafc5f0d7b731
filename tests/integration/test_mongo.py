"""What only MongoDB can show: the documents, the indexes, the migrations, and its absence."""

import asyncio
import contextlib
import gc
from datetime import timedelta

import pytest

from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database, connect, database, ping
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_refusals import Refusals
from egress_manager.adapters.mongo_schema import MIGRATIONS, SCHEMA, migrate
from egress_manager.domain.incoming import Unrecognised, Webhook
from egress_manager.domain.pages import CallFilter, RecordingFilter
from egress_manager.domain.recordings import State, Verdict
from egress_manager.domain.seal import facts_of
from egress_manager.errors import (
    DocumentUnreadable,
    SettingsWrong,
    StoreUnavailable,
)
from lab.servers import Mongod
from tests.integration.stored import (
    FULL_RECORDING,
    NOON,
    Stores,
    call,
    in_mongo,
    read_again,
    recording,
    webhook,
)


class TestMongoAlone:
    """What only the real stores can show."""

    async def test_the_document_is_the_users(self, db: Database) -> None:
        """The field names that the user wrote down, on the top level, with BSON's datetimes."""
        await MongoRecordings(db).add(FULL_RECORDING)

        document = await db["recordings"].find_one({"room_name": "palombia"})

        assert document is not None
        assert list(document)[:11] == [
            "_id",
            "room_name",
            "egress_id",
            "caller_number",
            "agent_identity",
            "filepath",
            "started_at",
            "stopped_at",
            "duration_sec",
            "status",
            "tracks",
        ]
        assert document["status"] == "completed"
        assert document["started_at"] == NOON
        assert document["tracks"][0]["track_id"] == "TR_1"
        assert document["tracks"][0]["holes"] == [
            {"start_sec": 1.0, "end_sec": 1.06, "cause": "lost"}
        ]

    async def test_the_users_indexes_are_there(self, db: Database) -> None:
        """egress_id unique (among those that are strings), started_at, room_name."""
        indexes = await db["recordings"].index_information()

        assert indexes["egress_id"]["unique"]
        assert indexes["egress_id"]["key"] == [("egress_id", 1)]
        assert indexes["started_at"]["key"] == [("started_at", 1)]
        assert indexes["room_name"]["key"] == [("room_name", 1)]

    async def test_every_list_is_led_by_an_index(self, db: Database) -> None:
        """No query of ours looks through a whole collection, nor sorts one."""
        after = {"created_at": {"$lte": NOON}, "$or": [{"created_at": {"$lt": NOON}}]}
        newest = [("created_at", -1), ("_id", -1)]
        for where in (
            {},
            after,
            {"room_name": "palombia"},
            {"caller_number": "+15550100"},
            {"status": "completed"},
        ):
            plan = await db["recordings"].find(where, sort=newest).explain()
            stages = str(plan["queryPlanner"]["winningPlan"])

            assert "COLLSCAN" not in stages
            assert "'SORT'" not in stages

    async def test_an_older_document_is_readable(self, db: Database) -> None:
        """Fields that it lacks have their defaults; fields that are newer are left alone."""
        await MongoRecordings(db).add(recording("old"))
        await db["recordings"].update_one(
            {"_id": "old"}, {"$unset": {"verdict": 1, "channels": 1}, "$set": {"newer": 1}}
        )

        read = await MongoRecordings(db).get("old")

        assert read.verdict is Verdict.PENDING
        assert read.channels == ()

    async def test_what_has_no_file_has_the_verdict_none(self, db: Database) -> None:
        """Those of older versions too, and their seals hold: it is not one of the sealed facts."""
        failed = recording("failed", state=State.FAILED, reason="never_captured")
        sealed = facts_of(failed)
        await MongoRecordings(db).add(failed)
        new = await db["recordings"].find_one({"_id": "failed"})
        await db["recordings"].update_one({"_id": "failed"}, {"$set": {"verdict": "pending"}})
        await MongoRecordings(db).add(recording("waits", state=State.RENDERED))
        await db["schema"].update_one({"_id": SCHEMA}, {"$set": {"last": 6}})
        await migrate(db)
        old = await db["recordings"].find_one({"_id": "failed"})
        read = await MongoRecordings(db).get("failed")
        waits = await db["recordings"].find_one({"_id": "waits"})

        assert new is not None
        assert old == new
        assert new["verdict"] == "none"
        assert (read.public_verdict, facts_of(read)) == (Verdict.NONE, sealed)
        assert waits is not None
        assert waits["verdict"] == "pending"

    async def test_a_body_that_cannot_be_read_any_more_still_comes(self, db: Database) -> None:
        """It means nothing, and does not hold up the others."""
        inbox = MongoInbox(db, read_again)
        await inbox.keep(Webhook("EV_1", "x", Unrecognised(NOON, "x"), b"illegible"), NOON)

        assert await inbox.waiting(9) == [
            Webhook("EV_1", "x", Unrecognised(NOON, "x"), b"illegible")
        ]

    async def test_a_document_that_cannot_be_read_hides_no_others(self, db: Database) -> None:
        """It is passed over in every list, counted once, and said to whoever asks for it."""
        refusals = Refusals()
        recordings, calls = MongoRecordings(db, (), refusals), MongoCalls(db, (), refusals)
        read, due = recording("read", due_at=NOON, state=State.CAPTURED), NOON - timedelta(days=1)
        await recordings.add(read)
        await calls.add(call("call_1"))
        stored = await db["recordings"].find_one({"_id": "read"}) or {}
        broken = ({"room_name": 7}, {"tracks": "none"}, {"since": "never"}, {"version": "1"})
        for number, fields in enumerate(broken):
            copy = {"_id": f"broken{number}", "egress_id": f"EG_{number}", "due_at": due}
            await db["recordings"].insert_one(stored | copy | fields)
        await db["calls"].insert_one({"_id": "call_2", "left_at": None, "joined_at": NOON})

        for _ in range(2):
            assert [each.id for each in await recordings.due(NOON, 1)] == ["read"]
            assert [each.id for each in await recordings.unfinished()] == ["read"]
            page = await recordings.page(RecordingFilter(), cursor=None, limit=2)
            assert ([each.id for each in page.items], page.next_cursor) == (["read"], None)
            assert [each.id for each in await calls.going_on()] == ["call_1"]
        with pytest.raises(DocumentUnreadable, match="broken0"):
            await recordings.get("broken0")
        told = "calls that can't be read: 1, recordings that can't be read: 4"
        assert refusals.words == told

    async def test_migrations_run_once_and_in_order(self, db: Database) -> None:
        """However many processes start at once."""
        ran: list[str] = []

        async def second(_: Database) -> None:
            ran.append("second")
            await asyncio.sleep(0.05)

        async def third(_: Database) -> None:
            ran.append("third")

        steps = (*MIGRATIONS, second, third)
        assert set(await asyncio.gather(*(migrate(db, steps) for _ in range(4)))) == {len(steps)}
        assert await migrate(db, steps) == len(steps)
        assert ran == ["second", "third"]

    async def test_a_migration_that_failed_is_tried_again(self, db: Database) -> None:
        """The lock is given back, and the steps before it are not repeated."""
        ran: list[str] = []

        async def stumble(_: Database) -> None:
            ran.append("stumble")
            if len(ran) == 1:
                raise StoreUnavailable("for once")

        steps = (*MIGRATIONS, stumble)
        with pytest.raises(StoreUnavailable):
            await migrate(db, steps)

        assert await migrate(db, steps) == len(steps)

    async def test_a_lapsed_lock_is_taken_over(self, db: Database) -> None:
        """A process that died in a migration does not stop the next one."""
        await db["schema"].update_one(
            {"_id": SCHEMA},
            {"$set": {"owner": "dead", "lapses_at": NOON - timedelta(days=999), "last": 0}},
        )

        assert await migrate(db) == len(MIGRATIONS)

    async def test_the_database_of_a_newer_version_is_left_alone(self, db: Database) -> None:
        """A sentence says what to do."""
        await db["schema"].update_one({"_id": SCHEMA}, {"$set": {"last": 99}})

        with pytest.raises(SettingsWrong, match="upgrade, or set another MONGO_DB"):
            await migrate(db)

    async def test_a_version_that_signs_nothing_refuses_what_this_one_wrote(
        self, db: Database
    ) -> None:
        """It knows seven steps, and its entries would break the chain."""
        with pytest.raises(SettingsWrong, match="by a newer version"):
            await migrate(db, MIGRATIONS[:7])

    # PyMongo, closed while its monitor is connecting, leaves that socket to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    async def test_callers_learn_soon_that_mongodb_is_away_and_go_on_when_it_is_back(
        self,
    ) -> None:
        """Every store says so in our words, within seconds, and works again with the server."""
        async with Mongod() as server:
            client = connect(server.uri)
            db = database(client, "away")
            stores = in_mongo(db)
            assert await stores.calls.going_on() == []

            await server.kill()
            async with asyncio.timeout(10):
                await _all_unavailable(stores, db)
            await server.start()

            with contextlib.suppress(StoreUnavailable):  # it may find a dead connection
                await stores.calls.add(call("a"))
            assert (await stores.calls.get("a")).id == "a"
            await client.close()
        gc.collect()

    async def test_a_mongod_that_stands_still_is_noticed(self) -> None:
        """It accepts connections and never answers: a full disk, a stopped process."""
        async with Mongod() as server:
            client = connect(server.uri)
            stores = MongoCalls(database(client, "still"))
            assert await stores.going_on() == []

            server.pause()
            async with asyncio.timeout(15):
                with pytest.raises(StoreUnavailable):
                    await stores.going_on()
                with pytest.raises(StoreUnavailable):
                    await ping(client)
            server.resume()
            await client.close()


async def _all_unavailable(stores: Stores, db: Database) -> None:
    """Ask everything at once; each has to say that the store is away."""
    asked = [
        stores.calls.get("a"),
        stores.calls.going_on(),
        stores.calls.page(CallFilter(), cursor=None, limit=1),
        stores.recordings.save(FULL_RECORDING),
        stores.recordings.due(NOON, 1),
        stores.inbox.keep(webhook("one"), NOON),
        stores.keys.fingerprint(),
        ping(db.client),
    ]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, StoreUnavailable), answer

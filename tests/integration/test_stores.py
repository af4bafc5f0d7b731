"""The contracts of the store ports, held by the in-memory stores and by MongoDB alike."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database, connect, database, ping
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_keys import MongoKeys
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_schema import MIGRATIONS, SCHEMA, migrate
from egress_manager.domain.calls import Call, CallTrack, Direction, Stay
from egress_manager.domain.incoming import Room, Unrecognised, Webhook
from egress_manager.domain.recordings import (
    Channel,
    Event,
    Hole,
    Observation,
    Recording,
    State,
    TrackFile,
    Verdict,
)
from egress_manager.errors import (
    BadRequest,
    Conflict,
    NotFound,
    SettingsWrong,
    StoreUnavailable,
)
from egress_manager.ports import (
    CallFilter,
    Calls,
    Inbox,
    Keys,
    RecordingFilter,
    Recordings,
)
from egress_manager.testing import MemoryCalls, MemoryInbox, MemoryKeys, MemoryRecordings
from lab.servers import Mongod

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)


@dataclass
class Stores:
    """One of each, all in memory or all in MongoDB."""

    calls: Calls
    recordings: Recordings
    inbox: Inbox
    keys: Keys


def read_again(body: bytes, at: datetime) -> Webhook:
    """What the inbox reads bodies with: here, the body is the event's name."""
    if body == b"illegible":
        raise BadRequest("illegible")
    name = body.decode()
    return Webhook("read anew", name, Unrecognised(at, name), body)


@pytest.fixture
async def db(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    """An empty database, migrated."""
    client = connect(mongo_uri)
    empty = database(client, mongo_database)
    await migrate(empty)
    yield empty
    await client.drop_database(mongo_database)
    await client.close()


@pytest.fixture(params=["memory", "mongo"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """The stores to be held to their contracts."""
    if request.param == "memory":
        return Stores(MemoryCalls(), MemoryRecordings(), MemoryInbox(), MemoryKeys())
    db: Database = request.getfixturevalue("db")
    return Stores(MongoCalls(db), MongoRecordings(db), MongoInbox(db, read_again), MongoKeys(db))


def call(call_id: str, **fields: Any) -> Call:
    """A call of the marsupilami, who joined at noon."""
    sids = fields.pop("participant_sids", (f"PA_{call_id}",))
    stays = tuple(Stay(sid) for sid in sids)
    room = fields.pop("room", Room("palombia", "RM_1"))
    joined_at = fields.pop("joined_at", NOON)
    stays = tuple(map(Stay, sids))
    return Call(call_id, room, "sip_marsupilami", stays, joined_at, joined_at, **fields)


def recording(recording_id: str, **fields: Any) -> Recording:
    """A recording that was planned at noon."""
    given: dict[str, Any] = {
        "call_id": f"call_of_{recording_id}",
        "egress_id": f"EG_{recording_id}",
        "engine": "builtin",
        "room_name": "palombia",
        "seen": Observation(State.PLANNED, NOON),
        "created_at": NOON,
    }
    return Recording(recording_id, **(given | fields))


FULL_CALL = call(
    "call_full",
    participant_sids=("PA_1", "PA_2"),
    caller_number="+15550100",
    called_number="+15550199",
    direction=Direction.OUTBOUND,
    sip_call_id="SCL_1",
    trunk_id="ST_1",
    dispatch_rule_id="SDR_1",
    agent_identity="agent-houba",
    answered_at=NOON + timedelta(seconds=3),
    left_at=NOON + timedelta(seconds=30),
    left_reason="hangup",
    status="active",
    seen_firsthand=True,
    tracks=(CallTrack("TR_1", "PA_1", "sip_marsupilami", NOON),),
    recording_id="rec_full",
    reason="all_calls",
)

FULL_RECORDING = recording(
    "rec_full",
    caller_number="+15550100",
    agent_identity="agent-houba",
    started_at=NOON,
    stopped_at=NOON + timedelta(seconds=30),
    duration_sec=30.5,
    answer_offset_sec=3.0,
    filepath="/recordings/palombia/a.mp4",
    size_bytes=1234,
    state=State.RENDERED,
    since=NOON,
    attempts=2,
    reason="hung_up",
    verdict=Verdict.FLAWED,
    captures=("cap_1", "cap_2"),
    channels=(Channel("left", ("sip_marsupilami",)), Channel("right", ("agent-houba", "b"))),
    tracks=(
        TrackFile(
            "TR_1",
            "sip_marsupilami",
            "SIP",
            "left",
            filepath="/recordings/palombia/a.tracks/TR_1.ogg",
            started_at=NOON,
            duration_sec=30.5,
            size_bytes=99,
            packets=1500,
            lost=3,
            holes=(Hole(1.0, 1.06, "lost"),),
            offset_sec=0.02,
            drift_ppm=-31.0,
        ),
        TrackFile("TR_2", "b", "STANDARD", "right", reason="never_sent"),
    ),
    holes=(Hole(0.0, 0.5, "joining"),),
    history=(Event("recording.planned", NOON), Event("recording.rendered", NOON, "done")),
)


class TestVersionedStores:
    """What holds for calls and recordings alike."""

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_what_was_added_is_found_again_whole(self, stores: Stores, which: str) -> None:
        """Every field comes back, with its type."""
        store, value = _full(stores, which)

        added = await store.add(value)

        assert added == value
        assert await store.get(value.id) == value

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_an_id_is_taken_once(self, stores: Stores, which: str) -> None:
        """A second of the same id is a conflict."""
        store, value = _full(stores, which)
        await store.add(value)

        with pytest.raises(Conflict):
            await store.add(value)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_who_writes_second_hears_of_the_conflict(
        self, stores: Stores, which: str
    ) -> None:
        """Of two that read the same version, one writes; the other has to read again."""
        store, value = _full(stores, which)
        read = await store.add(value)

        first = await store.save(replace(read, reason="first"))

        assert first.version == read.version + 1
        with pytest.raises(Conflict):
            await store.save(replace(read, reason="second"))
        assert (await store.get(value.id)) == first

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_of_many_writers_at_once_exactly_one_wins(
        self, stores: Stores, which: str
    ) -> None:
        """Compare-and-swap holds under concurrency."""
        store, value = _full(stores, which)
        read = await store.add(value)

        async def write(number: int) -> bool:
            try:
                await store.save(replace(read, reason=f"writer {number}"))
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(*map(write, range(8)))) == 1

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_what_nobody_added_is_not_found(self, stores: Stores, which: str) -> None:
        """Neither read nor saved."""
        store, value = _full(stores, which)

        with pytest.raises(NotFound):
            await store.get(value.id)
        with pytest.raises(NotFound):
            await store.save(value)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_moments_are_kept_to_the_millisecond(self, stores: Stores, which: str) -> None:
        """What add and save return is what get returns, though finer moments were given."""
        store, value = _full(stores, which)
        fine = NOON + timedelta(microseconds=456)
        field = "joined_at" if which == "calls" else "started_at"

        added = await store.add(replace(value, **{field: fine}))
        saved = await store.save(replace(added, **{field: fine}))

        assert getattr(added, field) == NOON
        assert saved == await store.get(value.id)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_pages_follow_each_other_without_holes(self, stores: Stores, which: str) -> None:
        """Newest first, each once, also where moments are the same and more is added meanwhile."""
        store, make, where = _paged(stores, which)
        for number in range(7):
            await store.add(make(f"x{number}", NOON + timedelta(seconds=number // 2)))

        first = await store.page(where, cursor=None, limit=3)
        await store.add(make("newer", NOON + timedelta(hours=1)))
        second = await store.page(where, cursor=first.next_cursor, limit=3)
        third = await store.page(where, cursor=second.next_cursor, limit=3)

        seen = [item.id for page in (first, second, third) for item in page.items]
        assert seen == ["x6", "x5", "x4", "x3", "x2", "x1", "x0"]
        assert third.next_cursor is None

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_a_full_last_page_has_no_next(self, stores: Stores, which: str) -> None:
        """The cursor is there only if something comes after it."""
        store, make, where = _paged(stores, which)
        for number in range(3):
            await store.add(make(f"x{number}", NOON))

        page = await store.page(where, cursor=None, limit=3)

        assert len(page.items) == 3
        assert page.next_cursor is None

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    @pytest.mark.parametrize("cursor", ["", "houba", "é", "bm8", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"])
    async def test_a_cursor_that_is_not_ours_is_a_bad_request(
        self, stores: Stores, which: str, cursor: str
    ) -> None:
        """It is not an internal error, and not the first page."""
        store, _, where = _paged(stores, which)

        with pytest.raises(BadRequest):
            await store.page(where, cursor=cursor, limit=3)


def _full(stores: Stores, which: str) -> tuple[Any, Any]:
    if which == "calls":
        return stores.calls, FULL_CALL
    return stores.recordings, FULL_RECORDING


def _paged(stores: Stores, which: str) -> tuple[Any, Any, Any]:
    if which == "calls":
        return stores.calls, lambda i, at: call(i, joined_at=at), CallFilter()
    return stores.recordings, lambda i, at: recording(i, created_at=at), RecordingFilter()


class TestCalls:
    """What holds for calls."""

    async def test_calls_go_on_until_the_caller_left(self, stores: Stores) -> None:
        """In one room, or in all."""
        await stores.calls.add(call("a"))
        await stores.calls.add(call("b", room=Room("elsewhere")))
        await stores.calls.add(call("over", left_at=NOON))

        assert {c.id for c in await stores.calls.going_on()} == {"a", "b"}
        assert [c.id for c in await stores.calls.going_on("palombia")] == ["a"]
        assert await stores.calls.going_on("nowhere") == []

    async def test_a_call_is_found_by_any_stay_of_its_caller(self, stores: Stores) -> None:
        """Also by one before it dropped out and came back; only in its room."""
        await stores.calls.add(call("a", participant_sids=("PA_1", "PA_2")))
        await stores.calls.add(call("b", participant_sids=("PA_3",)))

        assert [c.id for c in await stores.calls.by_participant("palombia", "PA_2")] == ["a"]
        assert await stores.calls.by_participant("elsewhere", "PA_2") == []

    async def test_calls_are_filtered(self, stores: Stores) -> None:
        """By room, number, time and whether they are over."""
        await stores.calls.add(call("a", caller_number="+15550100"))
        await stores.calls.add(call("b", room=Room("elsewhere"), left_at=NOON))
        later = NOON + timedelta(minutes=1)
        await stores.calls.add(call("c", joined_at=later))

        async def ids(**where: Any) -> list[str]:
            page = await stores.calls.page(CallFilter(**where), cursor=None, limit=9)
            return [found.id for found in page.items]

        assert await ids() == ["c", "b", "a"]
        assert await ids(room_name="elsewhere") == ["b"]
        assert await ids(caller_number="+15550100") == ["a"]
        assert await ids(since=later) == ["c"]
        assert await ids(until=later) == ["b", "a"]
        assert await ids(since=NOON, until=NOON) == []
        assert await ids(is_over=True) == ["b"]
        assert await ids(is_over=False) == ["c", "a"]


class TestRecordings:
    """What holds for recordings."""

    async def test_an_egress_id_belongs_to_one_recording(self, stores: Stores) -> None:
        """Whether it is there from the beginning or comes later."""
        await stores.recordings.add(recording("a", egress_id="EG_1"))
        other = await stores.recordings.add(recording("b", egress_id="EG_2"))

        with pytest.raises(Conflict):
            await stores.recordings.add(recording("c", egress_id="EG_1"))
        with pytest.raises(Conflict):
            await stores.recordings.save(replace(other, egress_id="EG_1"))
        found = await stores.recordings.by_egress_id("EG_1")
        assert found is not None
        assert found.id == "a"
        assert await stores.recordings.by_egress_id("EG_9") is None

    async def test_any_number_of_recordings_lack_an_egress_id(self, stores: Stores) -> None:
        """Edge case 1 of the design: an egress that never started has none."""
        await stores.recordings.add(recording("a", egress_id=None))
        await stores.recordings.add(recording("b", egress_id=None))

        page = await stores.recordings.page(RecordingFilter(), cursor=None, limit=9)

        assert len(page.items) == 2

    async def test_the_longest_due_comes_first(self, stores: Stores) -> None:
        """What is due later, or never, is not due."""
        for name, seconds in {"second": -5, "first": -9, "now": 0, "later": 1}.items():
            await stores.recordings.add(recording(name, due_at=NOON + timedelta(seconds=seconds)))
        await stores.recordings.add(recording("never"))

        assert [r.id for r in await stores.recordings.due(NOON, 9)] == ["first", "second", "now"]
        assert [r.id for r in await stores.recordings.due(NOON, 1)] == ["first"]

    async def test_final_recordings_are_finished(self, stores: Stores) -> None:
        """The others are found, whatever their state."""
        for state in State:
            await stores.recordings.add(recording(state.value, state=state))

        unfinished = {r.state for r in await stores.recordings.unfinished()}

        assert unfinished == set(State) - {State.RENDERED, State.ABORTED, State.FAILED}

    async def test_recordings_are_filtered(self, stores: Stores) -> None:
        """By room, number, time and public status."""
        await stores.recordings.add(recording("a", caller_number="+15550100"))
        await stores.recordings.add(recording("b", room_name="$where", state=State.RENDERED))
        later = NOON + timedelta(minutes=1)
        await stores.recordings.add(recording("c", created_at=later, state=State.FAILED))

        async def ids(**where: Any) -> list[str]:
            page = await stores.recordings.page(RecordingFilter(**where), cursor=None, limit=9)
            return [found.id for found in page.items]

        assert await ids() == ["c", "b", "a"]
        assert await ids(room_name="$where") == ["b"]
        assert await ids(caller_number="+15550100") == ["a"]
        assert await ids(since=later) == ["c"]
        assert await ids(until=later) == ["b", "a"]
        assert await ids(status="completed") == ["b"]
        assert await ids(status="starting", room_name="palombia") == ["a"]


class TestInbox:
    """What holds for the inbox."""

    async def test_an_event_is_kept_once(self, stores: Stores) -> None:
        """The second of the same id is told from the first."""
        webhook = read_again(b"room_started", NOON)

        assert await stores.inbox.keep(webhook, NOON)
        assert not await stores.inbox.keep(webhook, NOON)

    async def test_what_is_not_done_waits_oldest_first(self, stores: Stores) -> None:
        """What is done does not wait, and is still known."""
        for number, name in enumerate(["one", "two", "three"]):
            await stores.inbox.keep(_webhook(name), NOON + timedelta(seconds=number))

        await stores.inbox.done("one", NOON, {"call_id": "call_1"})

        assert [w.event_id for w in await stores.inbox.waiting(9)] == ["two", "three"]
        assert [w.event_id for w in await stores.inbox.waiting(1)] == ["two"]
        assert [w.body for w in await stores.inbox.waiting(9)] == [b"two", b"three"]
        assert not await stores.inbox.keep(_webhook("one"), NOON)

    async def test_what_was_never_kept_can_be_done(self, stores: Stores) -> None:
        """Nothing comes of it."""
        await stores.inbox.done("unheard-of", NOON, {})

        assert await stores.inbox.waiting(9) == []


def _webhook(name: str) -> Webhook:
    return replace(read_again(name.encode(), NOON), event_id=name)


class TestKeys:
    """What holds for the API key."""

    async def test_the_first_key_stays_until_it_is_replaced(self, stores: Stores) -> None:
        """Two processes that start at once agree on one key."""
        assert await stores.keys.fingerprint() is None

        assert await stores.keys.keep_first("aa", NOON)
        assert not await stores.keys.keep_first("bb", NOON)
        assert await stores.keys.fingerprint() == "aa"

        await stores.keys.replace("cc", NOON)
        assert await stores.keys.fingerprint() == "cc"


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

    async def test_a_body_that_cannot_be_read_any_more_still_comes(self, db: Database) -> None:
        """It means nothing, and does not hold up the others."""
        inbox = MongoInbox(db, read_again)
        await inbox.keep(Webhook("EV_1", "x", Unrecognised(NOON, "x"), b"illegible"), NOON)

        assert await inbox.waiting(9) == [
            Webhook("EV_1", "x", Unrecognised(NOON, "x"), b"illegible")
        ]

    async def test_migrations_run_once_and_in_order(self, db: Database) -> None:
        """However many processes start at once."""
        ran: list[str] = []

        async def second(_: Database) -> None:
            ran.append("second")
            await asyncio.sleep(0.05)

        async def third(_: Database) -> None:
            ran.append("third")

        steps = (*MIGRATIONS, second, third)
        assert await asyncio.gather(*(migrate(db, steps) for _ in range(4))) == [3, 3, 3, 3]
        assert await migrate(db, steps) == 3
        assert ran == ["second", "third"]

    async def test_a_migration_that_failed_is_tried_again(self, db: Database) -> None:
        """The lock is given back, and the steps before it are not repeated."""
        ran: list[str] = []

        async def stumble(_: Database) -> None:
            ran.append("stumble")
            if len(ran) == 1:
                raise StoreUnavailable("for once")

        with pytest.raises(StoreUnavailable):
            await migrate(db, (*MIGRATIONS, stumble))

        assert await migrate(db, (*MIGRATIONS, stumble)) == 2

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

    # PyMongo, closed while its monitor is connecting, leaves that socket to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    async def test_callers_learn_soon_that_mongodb_is_away_and_go_on_when_it_is_back(
        self,
    ) -> None:
        """Every store says so in our words, within seconds, and works again with the server."""
        async with Mongod() as server:
            client = connect(server.uri)
            db = database(client, "away")
            stores = Stores(
                MongoCalls(db), MongoRecordings(db), MongoInbox(db, read_again), MongoKeys(db)
            )
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
        stores.inbox.keep(_webhook("one"), NOON),
        stores.keys.fingerprint(),
        ping(db.client),
    ]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, StoreUnavailable), answer

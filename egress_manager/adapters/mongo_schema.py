"""Indexes, and the numbered steps that bring a database of any age up to date.

A step is an idempotent function with a number. The document `_id: "schema"` in the collection
`schema` says which was the last to be carried out, and who is at it: several processes that start
at once wait for the first. A lock lapses, so one that died does not hold up the others for long.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pymongo
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from egress_manager.adapters import mongo_audit, mongo_calls, mongo_inbox, mongo_recordings
from egress_manager.adapters.mongo_client import Collection, Database
from egress_manager.adapters.translating import translating
from egress_manager.domain.recordings import MANUAL, WITHOUT_FILE, Verdict
from egress_manager.errors import SettingsWrong

Migration = Callable[[Database], Awaitable[None]]

COLLECTION: Final = "schema"
SCHEMA: Final = "schema"

#: A lock that was not given back is void after this. Longer than any one step should take.
LOCK_LAPSES_AFTER: Final = timedelta(minutes=2)

#: How often who waits for the lock looks again, in seconds.
LOOK_AGAIN_AFTER_SEC: Final = 0.2

#: Webhooks that were worked on are forgotten after this: long after LiveKit's last repetition.
DONE_KEPT_FOR: Final = timedelta(days=7)

CALL_INDEXES: Final = (
    IndexModel([("joined_at", -1), ("_id", -1)], name="newest"),
    IndexModel([("room_name", 1), ("joined_at", -1), ("_id", -1)], name="newest_of_room"),
    IndexModel([("caller_number", 1), ("joined_at", -1), ("_id", -1)], name="newest_of_caller"),
    IndexModel([("room_name", 1), ("stays.participant_sid", 1)], name="by_participant"),
    IndexModel([("left_at", 1), ("room_name", 1)], name="going_on"),
)

RECORDING_INDEXES: Final = (
    # The three that the user asked for. An egress that never started has no id to be unique.
    IndexModel(
        "egress_id",
        name="egress_id",
        unique=True,
        partialFilterExpression={"egress_id": {"$type": "string"}},
    ),
    IndexModel("started_at", name="started_at"),
    IndexModel("room_name", name="room_name"),
    # Ours: pages newest first, and work that is due.
    IndexModel([("created_at", -1), ("_id", -1)], name="newest"),
    IndexModel([("room_name", 1), ("created_at", -1), ("_id", -1)], name="newest_of_room"),
    IndexModel([("caller_number", 1), ("created_at", -1), ("_id", -1)], name="newest_of_caller"),
    IndexModel([("status", 1), ("created_at", -1), ("_id", -1)], name="newest_of_status"),
    IndexModel("due_at", name="due_at", partialFilterExpression={"due_at": {"$type": "date"}}),
    IndexModel("state", name="state"),
)

INBOX_INDEXES: Final = (
    IndexModel("done_at", name="forget", expireAfterSeconds=int(DONE_KEPT_FOR.total_seconds())),
    IndexModel([("done_at", 1), ("kept_at", 1)], name="waiting"),
)


async def create_indexes(database: Database) -> None:
    """Every index of the first version."""
    await database[mongo_calls.COLLECTION].create_indexes(list(CALL_INDEXES))
    await database[mongo_recordings.COLLECTION].create_indexes(list(RECORDING_INDEXES))
    await database[mongo_inbox.COLLECTION].create_indexes(list(INBOX_INDEXES))


async def index_jobs_of_egress(database: Database) -> None:
    """Recordings are found by every job that LiveKit Egress does for them."""
    recordings = database[mongo_recordings.COLLECTION]
    await recordings.create_index("egresses.egress_id", name="egresses")


async def index_files(database: Database) -> None:
    """Recordings are found by the paths of their files, and by what the mix holds."""
    indexes = [
        IndexModel("filepath", name="filepath"),
        IndexModel("tracks.filepath", name="tracks"),
        IndexModel("sha256", name="sha256", partialFilterExpression={"sha256": {"$gt": ""}}),
    ]
    await database[mongo_recordings.COLLECTION].create_indexes(indexes)


async def index_recordings_by_hand(database: Database) -> None:
    """Those that somebody began are few, and are found among those that calls began."""
    room, newest = [("source", 1), ("room_name", 1)], [("created_at", -1), ("_id", -1)]
    of_these = {"partialFilterExpression": {"source": MANUAL}}
    indexes = [
        IndexModel([*room, *newest], name="by_hand", **of_these),
        IndexModel([*room, ("identity", 1), *newest], name="by_hand_of_one", **of_these),
    ]
    await database[mongo_recordings.COLLECTION].create_indexes(indexes)


async def seal_what_is_over(database: Database) -> None:
    """What waits to be sealed is found; at first that is everything that is over."""
    await database[mongo_audit.COLLECTION].create_index([("subject", 1), ("_id", 1)], name="about")
    recordings, calls = (database[each.COLLECTION] for each in (mongo_recordings, mongo_calls))
    for documents in (recordings, calls):
        await documents.create_index(
            [("unsealed", 1), ("_id", 1)],
            name="unsealed",
            partialFilterExpression={"unsealed": True},
        )
    waits, new = {"$set": {"unsealed": True}}, {"unsealed": None}
    await recordings.update_many({"state": {"$nin": mongo_recordings.UNFINISHED}, **new}, waits)
    await calls.update_many({"left_at": {"$ne": None}, **new}, waits)


async def listen_to_what_was_rendered(database: Database) -> None:
    """What an older version made was final, and nobody has listened to it: it is due now."""
    await database[mongo_recordings.COLLECTION].update_many(
        {"state": "rendered", "due_at": None},
        {"$set": {"due_at": datetime.now(UTC), "unsealed": False}},
    )


async def give_verdicts_to_what_has_no_file(database: Database) -> None:
    """Nobody will ever listen to a recording without a file: its verdict is `none`, not `pending`.

    Seals hold: they never had this field of such a recording.
    """
    await database[mongo_recordings.COLLECTION].update_many(
        {
            "state": {"$in": [state.value for state in WITHOUT_FILE]},
            "verdict": {"$ne": Verdict.NONE.value},
        },
        {"$set": {"verdict": Verdict.NONE.value}},
    )


async def refuse_versions_that_sign_nothing(database: Database) -> None:
    """Nothing is changed: its number alone keeps them away, for their entries break the chain."""


#: In order; a step's number is its place, from 1. Never change one that was released: add one.
MIGRATIONS: Final[tuple[Migration, ...]] = (
    create_indexes,
    index_jobs_of_egress,
    index_files,
    index_recordings_by_hand,
    seal_what_is_over,
    listen_to_what_was_rendered,
    give_verdicts_to_what_has_no_file,
    refuse_versions_that_sign_nothing,
)


async def migrate(database: Database, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Carry out the steps that are missing, and return the number of the last.

    Raises `StoreUnavailable`, and `SettingsWrong` where a newer version wrote the database.
    """
    schema = database[COLLECTION]
    with translating(), pymongo.timeout(None):  # an index on millions of documents takes its time
        if await _last_done(schema) < len(migrations):
            await _migrate_alone(database, schema, migrations)
        last = await _last_done(schema)
    if last > len(migrations):
        raise SettingsWrong(
            f"the database {database.name} was written by a newer version of Egress Manager "
            f"(schema {last}, this one knows {len(migrations)}): upgrade, or set another MONGO_DB"
        )
    return last


async def _migrate_alone(
    database: Database, schema: Collection, migrations: tuple[Migration, ...]
) -> None:
    """Hold the lock, and do what is left to do by then."""
    owner = secrets.token_hex(8)
    while not await _lock(schema, owner):  # noqa: ASYNC110 - the lock is in the database
        await asyncio.sleep(LOOK_AGAIN_AFTER_SEC)
    try:
        for number, step in enumerate(migrations, start=1):
            if number > await _last_done(schema):
                await _lock(schema, owner)  # ours already: begins anew for each step
                await step(database)
                await schema.update_one({"_id": SCHEMA}, {"$max": {"last": number}})
    finally:
        await schema.update_one({"_id": SCHEMA, "owner": owner}, {"$unset": {"owner": 1}})


async def _lock(schema: Collection, owner: str) -> bool:
    """Take the lock if it is free, lapsed, or ours."""
    now = datetime.now(UTC)
    free = [{"owner": None}, {"owner": owner}, {"lapses_at": {"$lt": now}}]
    lock = {"owner": owner, "lapses_at": now + LOCK_LAPSES_AFTER}
    try:
        await schema.update_one(
            {"_id": SCHEMA, "$or": free},
            {"$set": lock, "$setOnInsert": {"last": 0}},
            upsert=True,
        )
    except DuplicateKeyError:  # it is there, and held
        return False
    return True


async def _last_done(schema: Collection) -> int:
    document = await schema.find_one({"_id": SCHEMA})
    return int(document["last"]) if document else 0

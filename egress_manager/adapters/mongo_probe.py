"""MongoDB, written to as everything is, so that what is wrong is told exactly (`Store`)."""

import contextlib
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pymongo.errors

from egress_manager.adapters import mongo_client
from egress_manager.adapters.livekit_webhooks import read_body
from egress_manager.adapters.mongo_client import Client
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_process import open_mongo
from egress_manager.domain.checks import Database
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import SettingsWrong, StoreUnavailable

#: Documents of checks; each is deleted again.
COLLECTION: Final = "checks"

#: The server's codes for: who are you, you may not, and (as text) you may not do that.
_REFUSALS: Final = frozenset({13, 18, 8000})
#: The server's code for what it can't do as asked; here: `j` without a journal.
_BAD_VALUE: Final = 2


class MongoProbe:
    """`Store`; the MongoDB is opened when it is first asked, and shared with a running service."""

    def __init__(self, uri: str, folder: Path, name: str) -> None:
        self._uri = uri
        self._folder = folder
        self._name = name
        self._stack = contextlib.AsyncExitStack()
        self._client: Client | None = None

    async def write(self) -> Database:
        client = await self._open()
        try:
            await self._write_and_delete(client)
            build = await client.admin.command("buildInfo")
            hello = await client.admin.command("hello")
        except pymongo.errors.PyMongoError as error:
            raise self._trouble(error) from error
        return Database(build["version"], hello.get("setName", ""), is_ours=not self._uri)

    async def heard_of(self, event: str, room_name: str, since: datetime) -> bool:
        database = mongo_client.database(await self._open(), self._name)
        try:
            return await MongoInbox(database, read_body).heard_of(event, room_name, since)
        except StoreUnavailable as error:
            raise CheckFailed(Trouble.MONGO_AWAY, why=str(error)) from error

    async def aclose(self) -> None:
        """Close the connection, and end a mongod that was started for this alone."""
        await self._stack.aclose()

    async def _open(self) -> Client:
        if self._client is None:
            try:
                uri = await self._stack.enter_async_context(open_mongo(self._uri, self._folder))
                self._client = mongo_client.connect(uri)
            except SettingsWrong as error:
                raise CheckFailed(Trouble.MONGO_MISSING, why=str(error)) from error
            except StoreUnavailable as error:
                raise CheckFailed(Trouble.MONGO_AWAY, why=str(error)) from error
            self._stack.push_async_callback(mongo_client.close, self._client)
        return self._client

    async def _write_and_delete(self, client: Client) -> None:
        scratch = mongo_client.database(client, self._name)[COLLECTION]
        one = {"_id": secrets.token_hex(12)}
        await scratch.insert_one(dict(one))
        if await scratch.find_one(one) is None:
            raise CheckFailed(Trouble.MONGO_NOT_WRITTEN, why="what was written is not there")
        await scratch.delete_one(one)

    def _trouble(self, error: pymongo.errors.PyMongoError) -> CheckFailed:
        """Their error as ours; its text may hold secrets, so only its name is repeated."""
        facts: dict[str, Any] = {"why": type(error).__name__, "database": self._name}
        if not isinstance(error, pymongo.errors.OperationFailure):
            return CheckFailed(Trouble.MONGO_AWAY, **facts)
        if error.code in _REFUSALS:
            return CheckFailed(Trouble.MONGO_REFUSED, **facts)
        if error.code == _BAD_VALUE and "journal" in str(error):
            return CheckFailed(Trouble.MONGO_WITHOUT_JOURNAL)
        return CheckFailed(Trouble.MONGO_NOT_WRITTEN, **facts)

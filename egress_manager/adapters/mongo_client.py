"""The connection to MongoDB: what is written has reached the disk, and silence is noticed soon."""

import asyncio
import logging
from typing import Any, Final

from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from egress_manager.adapters.pymongo_lock import cancellable
from egress_manager.adapters.translating import MONGO, translating
from egress_manager.errors import SettingsWrong, StoreUnavailable

log = logging.getLogger(__name__)

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]

#: How long, in milliseconds, a caller waits for a server to be there before it hears that none is.
SELECTION_TIMEOUT_MS: Final = 2_000

#: How long, in milliseconds, one operation may take in all, repeated by the driver or not. A server
#: that is there but stands still (a full disk, a stopped process) is noticed after this.
OPERATION_TIMEOUT_MS: Final = 5_000

#: How long closing a client may take: with no server it looks for one, to say goodbye. Seconds.
CLOSE_TIMEOUT: Final = 1.0

#: What the driver raises of a URI: options without sense, files that are not there, large numbers.
_UNUSABLE: Final = (PyMongoError, ValueError, TypeError, OSError, OverflowError)

#: An acknowledged write survives a killed mongod only when it is in the journal.
DURABLE: Final = WriteConcern("majority", j=True)


def connect(uri: str) -> Client:
    """A client; it connects when it is first used, and again whenever it has to.

    Raises `SettingsWrong` for a URI that can't be read. Close it with `close`.
    """
    cancellable()
    try:
        return AsyncMongoClient(
            uri,
            appname="egress-manager",
            tz_aware=True,
            # one document with a date of the year 10000, or broken text, must not fail its batch
            datetime_conversion="DATETIME_AUTO",
            unicode_decode_error_handler="replace",
            connectTimeoutMS=SELECTION_TIMEOUT_MS,
            serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
            timeoutMS=OPERATION_TIMEOUT_MS,
        )
    except _UNUSABLE as error:
        raise SettingsWrong(
            "MONGO_URI can't be used; write it like mongodb://user:password@host:27017/, with what "
            "is special in the user or password percent-encoded"
        ) from error


def hosts_of(uri: str) -> str:
    """Where a URI leads, without the user and the password."""
    return uri.partition("://")[2].rpartition("@")[2].partition("?")[0].rstrip("/")


async def close(client: Client) -> None:
    """Close the client; one that can't be closed in time is left to the end of this process."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
    except TimeoutError:
        log.warning("mongodb_not_closed", extra={"waited_for": CLOSE_TIMEOUT})


def database(client: Client, name: str) -> Database:
    """The database of that name, with durable writes."""
    return client.get_database(name, write_concern=DURABLE)


async def ping(client: Client, timeout_sec: float = 2.0) -> None:
    """Ask whether MongoDB takes writes. Raises `StoreUnavailable` where it does not say so."""
    with translating({TimeoutError: StoreUnavailable, **MONGO}):
        async with asyncio.timeout(timeout_sec):
            answer = await client.admin.command("hello")
    if not answer.get("isWritablePrimary"):
        raise StoreUnavailable("no primary that takes writes")

"""Fixtures that integration tests share."""

from collections.abc import AsyncIterator

import pytest

from egress_manager.adapters.mongo_client import Database, connect, database
from egress_manager.adapters.mongo_schema import migrate


@pytest.fixture
async def db(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    """An empty database, migrated."""
    client = connect(mongo_uri)
    empty = database(client, mongo_database)
    await migrate(empty)
    yield empty
    await client.drop_database(mongo_database)
    await client.close()

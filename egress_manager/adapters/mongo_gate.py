"""A database that can be closed: then every verb of every store says that the store is away."""

from collections.abc import Callable
from typing import Any, cast

from egress_manager.adapters.mongo_client import Collection, Database
from egress_manager.errors import StoreUnavailable


def gated(database: Database, why: Callable[[], str]) -> Database:
    """The same database while `why` says nothing; else what it says is why it is closed.

    Only collections can be had from it, which is all that the stores need.
    """
    return cast(Database, _GatedDatabase(database, why))


class _GatedDatabase:
    def __init__(self, database: Database, why: Callable[[], str]) -> None:
        self._database = database
        self._why = why

    def __getitem__(self, name: str) -> Collection:
        return self.get_collection(name)

    def get_collection(self, name: str, **options: Any) -> Collection:
        collection = self._database.get_collection(name, **options)
        return cast(Collection, _GatedCollection(collection, self._why))


class _GatedCollection:
    def __init__(self, collection: Collection, why: Callable[[], str]) -> None:
        self._collection = collection
        self._why = why

    def __getattr__(self, name: str) -> Any:
        """Any verb of the collection. Raises `StoreUnavailable` while it is closed."""
        if why := self._why():
            raise StoreUnavailable(why)
        return getattr(self._collection, name)

"""Which adapter stands behind which door of sealing; `service` has all the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from egress_manager.adapters import mongo_schema
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.local_place import known_place
from egress_manager.adapters.local_sidecars import LocalSidecars
from egress_manager.adapters.mongo_audit import MongoAudit
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_waiting import MongoWaiting
from egress_manager.flows.audit.doors import Sealers, Sidecars
from egress_manager.ports import Clock, Files
from egress_manager.settings import Settings
from egress_manager.wiring.parts import files_of, open_database
from egress_manager.wiring.service import Services


def sealers_of(services: Services) -> Sealers:
    """What the service seals with."""
    files = services.files
    here = services.doors.place
    return _sealers(services.database, files, files.directory, services.doors.clock, here)


@asynccontextmanager
async def open_sealers(settings: Settings) -> AsyncIterator[Sealers]:
    """The same for commands that work beside the service.

    Raises `SettingsWrong` where a newer version wrote the database.
    """
    files, _ = files_of(settings)
    async with open_database(settings) as database:
        await mongo_schema.migrate(database)
        here = known_place(files.directory)
        yield _sealers(database, files, files.directory, OneClock(lambda: False), here)


def sidecars_in(directory: Path) -> Sidecars:
    """The sidecars of any directory."""
    return LocalSidecars(directory.absolute())


def _sealers(database: Database, files: Files, directory: Path, clock: Clock, here: str) -> Sealers:
    return Sealers(
        recordings=MongoRecordings(database),
        calls=MongoCalls(database),
        waiting=MongoWaiting(database, here),
        audit=MongoAudit(database),
        sidecars=LocalSidecars(directory),
        files=files,
        clock=clock,
        place=here,
    )

"""Which adapter stands behind which door of sealing; `service` has all the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from egress_manager.adapters import mongo_schema
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.local_place import known_place
from egress_manager.adapters.local_sidecars import LocalSidecars
from egress_manager.adapters.local_signing_key import LocalSigningKey, passing_signing_key
from egress_manager.adapters.mongo_audit import MongoAudit
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_rows import MongoRows
from egress_manager.adapters.mongo_waiting import MongoWaiting
from egress_manager.errors import SettingsWrong
from egress_manager.flows.audit.doors import Sealers, Sidecars
from egress_manager.ports import Clock
from egress_manager.settings import Settings
from egress_manager.wiring.parts import (
    codes_of,
    files_of,
    known_signing_key_of,
    open_database,
    signing_key_of,
)
from egress_manager.wiring.service import Services


def sealers_of(services: Services) -> Sealers:
    """What the service seals with."""
    files = services.files
    here = services.doors.place
    signer = services.signing_key
    return _sealers(services.database, files, services.doors.clock, here, signer)


@asynccontextmanager
async def open_sealers(settings: Settings, *, makes_key: bool = True) -> AsyncIterator[Sealers]:
    """The same for commands that work beside the service; who only looks makes no signing key.

    Raises `SettingsWrong` where a newer version wrote the database.
    """
    files, _ = files_of(settings)
    async with open_database(settings) as database:
        await mongo_schema.migrate(database)
        here = known_place(files.directory)
        signer = signing_key_of(settings) if makes_key else known_signing_key_of(settings)
        yield _sealers(database, files, OneClock(lambda: False), here, signer)


def verifier_key_of(settings: Settings) -> str:
    """The public key of the signing key. Raises `SettingsWrong` where there is none."""
    signer = known_signing_key_of(settings)
    if signer is None:
        raise SettingsWrong("there is no signing key yet: the service makes it when it starts")
    return signer.verifier_key


@asynccontextmanager
async def open_rebuilding(
    directory: Path, settings: Settings, *, is_meant: bool
) -> AsyncIterator[tuple[Sidecars, Sealers]]:
    """The sidecars of any directory, and where to restore them; who only looks makes no key.

    Where there is none, what is signed is as foreign as it will be to the one that is made.
    """
    async with open_sealers(settings, makes_key=is_meant) as doors:
        signer = known_signing_key_of(settings) or passing_signing_key()
        yield LocalSidecars(directory, signer), replace(doors, signer=signer)


def _sealers(
    database: Database, files: LocalFiles, clock: Clock, here: str, signer: LocalSigningKey | None
) -> Sealers:
    codes = codes_of(signer)
    coded = (database, codes.keys, codes.refusals)
    return Sealers(
        recordings=MongoRecordings(*coded),
        calls=MongoCalls(*coded),
        waiting=MongoWaiting(database, here),
        audit=MongoAudit(database),
        sidecars=LocalSidecars(files.directory, signer),
        files=files,
        clock=clock,
        signer=signer,
        rows=MongoRows(database, codes),
        place=here,
    )

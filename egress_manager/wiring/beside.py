"""What commands work with, beside the service that runs."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from egress_manager.adapters import livekit_tokens
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.builtin_phone import ChirpingPhone
from egress_manager.adapters.livekit_probe import LiveKitProbe
from egress_manager.adapters.livekit_sip import LiveKitSip
from egress_manager.adapters.local_depot import LocalDepot
from egress_manager.adapters.local_ledger import LocalLedger
from egress_manager.adapters.local_place import known_place
from egress_manager.adapters.local_probe import LocalProbe
from egress_manager.adapters.local_shelf import LocalShelf
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_kept import MongoKept
from egress_manager.adapters.mongo_owners import MongoOwners
from egress_manager.adapters.mongo_probe import MongoProbe
from egress_manager.adapters.mongo_process import FOLDER
from egress_manager.adapters.mongo_recordings import MongoRecordings, is_any_signed
from egress_manager.adapters.obstore_probe import ObstoreProbe
from egress_manager.adapters.pyav_sounds import PyavSounds
from egress_manager.adapters.redis_probe import RedisProbe
from egress_manager.domain import dispatch, moves
from egress_manager.errors import SettingsWrong
from egress_manager.flows.check.doors import CheckDoors, Service
from egress_manager.flows.importing.doors import Importers, Owners
from egress_manager.flows.migration.doors import Movers, Switchboard
from egress_manager.flows.replay import Kept
from egress_manager.flows.sharing.adoption import Marks
from egress_manager.flows.sharing.guard import check_directory
from egress_manager.ports import Calls, Keys, Recordings
from egress_manager.settings import Settings
from egress_manager.wiring.parts import (
    bucket_of,
    codes_of,
    house_of,
    key_of,
    keys_of,
    known_signing_key_of,
    marks_of,
    open_database,
    prepare,
)

#: Who writes without the key would leave documents that look forged.
NO_KEY: Final = (
    "the service signs its documents, and its signing key is not here: run this on its host and "
    "with its settings, or let EGRESS_MANAGER_SIGNING_KEY name a copy of the key"
)


@dataclass(frozen=True, slots=True)
class Stores:
    """What is known of calls, for commands that work beside the service."""

    calls: Calls
    recordings: Recordings
    owners: Owners


@asynccontextmanager
async def open_kept(settings: Settings) -> AsyncIterator[Kept]:
    """The webhooks that are kept."""
    async with open_database(settings) as database:
        yield MongoKept(database, codes_of(known_signing_key_of(settings)))


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Calls, recordings and their files.

    Raises `SettingsWrong` where a newer version wrote the database, where the directory is that of
    another one, or where documents are signed and the key is not here.
    """
    async with open_database(settings) as database:
        await check_directory(marks_of(settings, database))
        await prepare(database)
        signer = known_signing_key_of(settings)  # the service makes it, as the user that it is
        if signer is None and await is_any_signed(database):
            raise SettingsWrong(NO_KEY)
        keys = signer.document_keys if signer else ()
        calls, recordings = MongoCalls(database, keys), MongoRecordings(database, keys)
        yield Stores(calls, recordings, MongoOwners(database))


@asynccontextmanager
async def open_marks(settings: Settings) -> AsyncIterator[Marks]:
    """What says which LiveKit, database and directory belong together."""
    async with open_database(settings) as database:
        yield marks_of(settings, database)


@asynccontextmanager
async def open_importers(settings: Settings) -> AsyncIterator[Importers]:
    """What importing files takes."""
    async with open_stores(settings) as stores:
        yield Importers(
            recordings=stores.recordings,
            owners=stores.owners,
            depot=LocalDepot(settings.recordings_dir.absolute()),
            sounds=PyavSounds(),
            clock=OneClock(lambda: False),
            naming=settings.naming,
            place=known_place(settings.recordings_dir.absolute()),
        )


@asynccontextmanager
async def open_movers(settings: Settings) -> AsyncIterator[Movers]:
    """What moving recordings' files takes."""
    directory = settings.recordings_dir.absolute()
    async with open_stores(settings) as stores:
        yield Movers(
            recordings=stores.recordings,
            calls=stores.calls,
            shelf=LocalShelf(directory),
            ledger=LocalLedger(directory / moves.FOLDER),
            clock=OneClock(lambda: False),
        )


@asynccontextmanager
async def open_switchboard(settings: Settings) -> AsyncIterator[Switchboard]:
    """What changing LiveKit's dispatch rules takes."""
    directory = settings.recordings_dir.absolute()
    async with aclosing(LiveKitSip(settings.livekit_http_url, *key_of(settings))) as rules:
        yield Switchboard(
            rules=rules,
            ledger=LocalLedger(directory / dispatch.FOLDER),
            clock=OneClock(lambda: False),
            policy=house_of(settings).policy,
        )


@asynccontextmanager
async def open_checks(
    settings: Settings, service: Service, *, with_call: bool
) -> AsyncIterator[CheckDoors]:
    """What the checklist asks: every server of the settings, and the service that runs."""
    directory = settings.recordings_dir.absolute()
    livekit = LiveKitProbe(settings.livekit_http_url, *key_of(settings))
    store = MongoProbe(settings.mongo_uri, directory / FOLDER, settings.mongo_db)
    token = partial(livekit_tokens.caller_token, *key_of(settings))
    bucket = bucket_of(settings)
    async with aclosing(livekit), aclosing(store):
        yield CheckDoors(
            clock=OneClock(lambda: False),
            livekit=livekit,
            redis=RedisProbe(settings.redis_url) if settings.redis_url else None,
            store=store,
            disk=LocalProbe(directory),
            storage=ObstoreProbe(bucket) if bucket else None,
            service=service,
            phone=ChirpingPhone(settings.livekit_ws_url, token) if with_call else None,
            policy=house_of(settings).policy,
            finds_standing_rooms=settings.finds_standing_rooms,
            database=settings.mongo_db,
            summary=f"LiveKit at {settings.livekit_http_url}, engine {settings.engine}",
        )


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[Keys]:
    """The API's key alone. Raises `SettingsWrong` where the signing key is not here, and was.

    Who comes before the first start of the service leaves a record without a code, which it takes.
    """
    async with open_database(settings) as database:
        signer = known_signing_key_of(settings)  # the service makes it, as the user that it is
        if signer is None and await is_any_signed(database):
            raise SettingsWrong(NO_KEY)
        yield keys_of(settings, database, codes_of(signer))

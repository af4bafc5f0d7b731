"""Which adapter stands behind which port: the only place that knows, from settings to services."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from egress_manager.adapters import livekit_tokens, mongo_client, mongo_schema
from egress_manager.adapters.builtin_captures import DiskCaptures
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.builtin_phone import ChirpingPhone
from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.docket_queue import DocketQueue
from egress_manager.adapters.egress_recorder import EgressRecorder, Output
from egress_manager.adapters.given_key import GivenKey
from egress_manager.adapters.livekit_probe import LiveKitProbe
from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.adapters.livekit_sip import LiveKitSip
from egress_manager.adapters.livekit_webhooks import LiveKitWebhooks
from egress_manager.adapters.local_depot import LocalDepot
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.local_ledger import LocalLedger
from egress_manager.adapters.local_probe import LocalProbe
from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.adapters.local_shelf import LocalShelf
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Client, Database
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_kept import MongoKept
from egress_manager.adapters.mongo_keys import MongoKeys
from egress_manager.adapters.mongo_owners import MongoOwners
from egress_manager.adapters.mongo_probe import MongoProbe
from egress_manager.adapters.mongo_process import FOLDER, NOT_FOUND, find_mongod, open_mongo
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_reports import MongoReports
from egress_manager.adapters.obstore_bucket import ObstoreBucket
from egress_manager.adapters.obstore_files import ObstoreFiles
from egress_manager.adapters.obstore_probe import ObstoreProbe
from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.adapters.pyav_sounds import PyavSounds
from egress_manager.adapters.redis_probe import RedisProbe
from egress_manager.domain import captures, dispatch, moves
from egress_manager.domain.buckets import Bucket
from egress_manager.domain.incoming import News
from egress_manager.domain.policy import Policy
from egress_manager.errors import RenderFailed, SettingsWrong, StorageFailed
from egress_manager.flows import ingest
from egress_manager.flows.check.doors import CheckDoors, Service
from egress_manager.flows.doors import Doors, House
from egress_manager.flows.importing.doors import Importers, Owners
from egress_manager.flows.migration.doors import Movers, Switchboard
from egress_manager.flows.replay import Kept
from egress_manager.ports import Calls, Keys, Queue, Recordings
from egress_manager.settings import Settings

log = logging.getLogger(__name__)

#: A token of ours is good for joining only, so it need not last. Seconds.
TOKEN_TTL: Final = 600

HealthCheck = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a process of ours works with; `objects` is None without a bucket."""

    doors: Doors
    keys: Keys
    database: Database
    files: LocalFiles
    objects: ObstoreBucket | None
    recorder: BuiltinRecorder
    health_checks: Mapping[str, HealthCheck]
    prepare: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stores:
    """What is known of calls, for commands that work beside the service."""

    calls: Calls
    recordings: Recordings
    owners: Owners


def check_settings(settings: Settings) -> None:
    """Raises `SettingsWrong` where MongoDB is neither configured nor to be had."""
    if not settings.mongo_uri and find_mongod() is None:
        raise SettingsWrong(NOT_FOUND)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything opened, and closed again in the opposite order.

    Raises `SettingsWrong` where MongoDB is neither configured nor to be had.
    """
    directory = settings.recordings_dir.absolute()
    async with AsyncExitStack() as stack:
        uri = await stack.enter_async_context(open_mongo(settings.mongo_uri, directory / FOLDER))
        client = mongo_client.connect(uri)
        stack.push_async_callback(client.close)
        rooms = LiveKitRooms(settings.livekit_http_url, *_key_of(settings))
        stack.push_async_callback(rooms.aclose)
        renderer = ProcessRenderer(directory)
        stack.push_async_callback(renderer.aclose)
        await renderer.start()
        recorder = _recorder(settings)
        stack.push_async_callback(recorder.aclose)
        egress = _egress(settings)
        stack.push_async_callback(egress.aclose)
        database = mongo_client.database(client, settings.mongo_db)
        files, objects = files_of(settings)
        yield Services(
            doors=_doors(settings, database, rooms, renderer, (recorder, egress), files),
            keys=_keys(settings, database),
            database=database,
            files=files,
            objects=objects,
            recorder=recorder,
            health_checks={
                "mongodb": partial(_mongodb, client),
                "livekit": partial(_livekit, rooms),
                "recorder": partial(_recording, recorder),
                "renderer": partial(_rendering, renderer),
                "storage": partial(asyncio.to_thread, files.check),
                **({"egress": egress.check} if _house(settings).policy.uses_egress else {}),
            },
            prepare=partial(_prepare, database),
        )


def files_of(settings: Settings) -> tuple[LocalFiles, ObstoreBucket | None]:
    """Where recordings lie: the directory, and a bucket where there is one."""
    directory, bucket = settings.recordings_dir.absolute(), _bucket(settings)
    objects = ObstoreBucket(bucket) if bucket else None
    return ObstoreFiles(directory, objects) if objects else LocalFiles(directory), objects


def _doors(
    settings: Settings,
    database: Database,
    rooms: LiveKitRooms,
    renderer: ProcessRenderer,
    recorders: tuple[BuiltinRecorder, EgressRecorder],
    files: LocalFiles,
) -> Doors:
    """Which adapter stands behind which port; the recorders tell what they see through them."""
    builtin = recorders[0]
    webhooks = _webhooks(settings)
    doors = Doors(
        house=_house(settings),
        clock=OneClock(lambda: builtin.is_busy),
        webhooks=webhooks,
        inbox=MongoInbox(database, webhooks.read_again),
        calls=MongoCalls(database),
        recordings=MongoRecordings(database),
        reports=MongoReports(database),
        rooms=rooms,
        trunks=rooms,
        recorders={recorder.engine: recorder for recorder in recorders},
        captures=DiskCaptures(files.directory / captures.FOLDER),
        renderer=renderer,
        queue=_queue(settings),
        files=files,
        named_rooms=frozenset(settings.standing_rooms),
        standing_rooms=set(settings.standing_rooms),
    )
    for recorder in recorders:
        recorder.listener = partial(_listen, doors=doors)
    return doors


def _house(settings: Settings) -> House:
    return House(
        policy=Policy(
            settings.record, settings.record_rooms, settings.engine, settings.other_engine_rooms
        ),
        naming=settings.naming,
        mix_format=settings.mix_format,
        include_other_callers=settings.include_other_callers,
        falls_back=settings.falls_back,
        egress_dir=_egress_dir(settings),
    )


def _egress_dir(settings: Settings) -> str:
    """The recordings directory as LiveKit Egress sees it."""
    return settings.egress_recordings_dir or str(settings.recordings_dir.absolute())


def _key_of(settings: Settings) -> tuple[str, str]:
    return settings.livekit_api_key, settings.livekit_api_secret.get_secret_value()


def _recorder(settings: Settings) -> BuiltinRecorder:
    key, secret = _key_of(settings)
    return BuiltinRecorder(
        settings.livekit_ws_url,
        partial(livekit_tokens.capture_token, key, secret, ttl_seconds=TOKEN_TTL),
        settings.recordings_dir.absolute() / captures.FOLDER,
        sync_interval=settings.sync_interval,
    )


def _bucket(settings: Settings) -> Bucket | None:
    if not settings.s3_bucket:
        return None
    return Bucket(
        settings.s3_bucket,
        settings.s3_region,
        settings.s3_endpoint,
        settings.s3_access_key,
        settings.s3_secret.get_secret_value(),
    )


def _egress(settings: Settings) -> EgressRecorder:
    return EgressRecorder(
        settings.livekit_http_url,
        partial(livekit_tokens.recorder_token, *_key_of(settings), ttl_seconds=TOKEN_TTL),
        Output(
            _egress_dir(settings),
            _bucket(settings),
            is_one_sided=settings.egress_mode == "participant",
        ),
    )


def _queue(settings: Settings) -> Queue:
    if not settings.redis_url:
        return LocalQueue()
    # The files to be worked on lie on this host: so does the queue's other end.
    return DocketQueue(settings.redis_url, f"egress-manager-{socket.gethostname()}")


async def _listen(news: News, *, doors: Doors) -> None:
    await ingest.take(news, doors)


async def _prepare(database: Database) -> None:
    """Indexes and migrations. Raises `StoreUnavailable`."""
    await mongo_schema.migrate(database)


async def _mongodb(client: Client) -> str:
    await mongo_client.ping(client)
    return "ok"


async def _livekit(rooms: LiveKitRooms) -> str:
    return f"{len(await rooms.rooms())} rooms open"


async def _recording(recorder: BuiltinRecorder) -> str:
    if recorder.troubles:
        raise StorageFailed("; ".join(recorder.troubles))
    return f"{recorder.capturing} rooms being captured"


async def _rendering(renderer: ProcessRenderer) -> str:
    if renderer.pid is None:
        raise RenderFailed("the renderer process is not running")
    return "ok"


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, for the command line; shares the mongod of a service that runs."""
    async with open_mongo(settings.mongo_uri, settings.recordings_dir.absolute() / FOLDER) as uri:
        client = mongo_client.connect(uri)
        try:
            yield mongo_client.database(client, settings.mongo_db)
        finally:
            await client.close()


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[Keys]:
    """The API's key alone."""
    async with open_database(settings) as database:
        yield _keys(settings, database)


@asynccontextmanager
async def open_kept(settings: Settings) -> AsyncIterator[Kept]:
    """The webhooks that are kept."""
    async with open_database(settings) as database:
        yield MongoKept(database)


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Calls, recordings and their files.

    Raises `SettingsWrong` where a newer version wrote the database.
    """
    async with open_database(settings) as database:
        await _prepare(database)
        yield Stores(MongoCalls(database), MongoRecordings(database), MongoOwners(database))


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
    async with aclosing(LiveKitSip(settings.livekit_http_url, *_key_of(settings))) as rules:
        yield Switchboard(
            rules=rules,
            ledger=LocalLedger(directory / dispatch.FOLDER),
            clock=OneClock(lambda: False),
            policy=_house(settings).policy,
        )


def _keys(settings: Settings, database: Database) -> Keys:
    given = settings.api_key.get_secret_value()
    return GivenKey(given) if given else MongoKeys(database)


def recorder_token(settings: Settings, room_name: str, ttl_seconds: int) -> str:
    """The token of the user's document, for the Egress API."""
    return livekit_tokens.recorder_token(*_key_of(settings), room_name, ttl_seconds)


def webhook_signature(settings: Settings) -> Callable[[bytes], str]:
    """Signs webhooks as livekit-server would that the service of these settings listens to."""
    key = settings.webhook_key or settings.livekit_api_key
    return partial(livekit_tokens.webhook_token, key, settings.webhook_signing_secret)


def _webhooks(settings: Settings) -> LiveKitWebhooks:
    if settings.allow_unsigned_webhooks:
        log.warning("unsigned_webhooks_allowed")
    return LiveKitWebhooks(
        settings.webhook_signing_secret,
        key_name=settings.webhook_key,
        allow_unsigned=settings.allow_unsigned_webhooks,
    )


@asynccontextmanager
async def open_checks(
    settings: Settings, service: Service, *, with_call: bool
) -> AsyncIterator[CheckDoors]:
    """What the checklist asks: every server of the settings, and the service that runs."""
    directory = settings.recordings_dir.absolute()
    livekit = LiveKitProbe(settings.livekit_http_url, *_key_of(settings))
    store = MongoProbe(settings.mongo_uri, directory / FOLDER, settings.mongo_db)
    token = partial(livekit_tokens.caller_token, *_key_of(settings))
    bucket = _bucket(settings)
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
            policy=_house(settings).policy,
            finds_standing_rooms=settings.finds_standing_rooms,
            database=settings.mongo_db,
            summary=f"LiveKit at {settings.livekit_http_url}, engine {settings.engine}",
        )

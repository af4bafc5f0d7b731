"""What a process of the service works with: every port's adapter, opened and closed again."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from egress_manager.adapters import livekit_tokens, mongo_client
from egress_manager.adapters.builtin_captures import DiskCaptures
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.docket_queue import DocketQueue
from egress_manager.adapters.egress_recorder import EgressRecorder, Output
from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.adapters.livekit_webhooks import LiveKitWebhooks
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_client import Client, Database
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_process import FOLDER, open_mongo
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_reports import MongoReports
from egress_manager.adapters.obstore_bucket import ObstoreBucket
from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.domain import captures
from egress_manager.domain.incoming import News
from egress_manager.errors import RenderFailed, StorageFailed
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors
from egress_manager.ports import Keys, Queue
from egress_manager.settings import Settings
from egress_manager.wiring.parts import (
    bucket_of,
    egress_dir,
    files_of,
    house_of,
    key_of,
    keys_of,
    prepare,
)

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
        rooms = LiveKitRooms(settings.livekit_http_url, *key_of(settings))
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
            keys=keys_of(settings, database),
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
                **({"egress": egress.check} if house_of(settings).policy.uses_egress else {}),
            },
            prepare=partial(prepare, database),
        )


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
        house=house_of(settings),
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


def _recorder(settings: Settings) -> BuiltinRecorder:
    key, secret = key_of(settings)
    return BuiltinRecorder(
        settings.livekit_ws_url,
        partial(livekit_tokens.capture_token, key, secret, ttl_seconds=TOKEN_TTL),
        settings.recordings_dir.absolute() / captures.FOLDER,
        sync_interval=settings.sync_interval,
    )


def _egress(settings: Settings) -> EgressRecorder:
    return EgressRecorder(
        settings.livekit_http_url,
        partial(livekit_tokens.recorder_token, *key_of(settings), ttl_seconds=TOKEN_TTL),
        Output(
            egress_dir(settings),
            bucket_of(settings),
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


def _webhooks(settings: Settings) -> LiveKitWebhooks:
    if settings.allow_unsigned_webhooks:
        log.warning("unsigned_webhooks_allowed")
    return LiveKitWebhooks(
        settings.webhook_signing_secret,
        key_name=settings.webhook_key,
        allow_unsigned=settings.allow_unsigned_webhooks,
    )

"""What a process of the service works with: every port's adapter, opened and closed again."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from egress_manager.adapters import livekit_tokens, local_descriptors, mongo_client
from egress_manager.adapters.builtin_captures import DiskCaptures
from egress_manager.adapters.builtin_clock import OneClock
from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.egress_recorder import EgressRecorder, Output
from egress_manager.adapters.livekit_rooms import LiveKitRooms
from egress_manager.adapters.livekit_webhooks import LiveKitWebhooks
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.local_place import place
from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.adapters.local_signing_key import LocalSigningKey
from egress_manager.adapters.local_signs import LocalSigns
from egress_manager.adapters.mongo_calls import MongoCalls
from egress_manager.adapters.mongo_carrier import MongoCarrier
from egress_manager.adapters.mongo_claims import MongoClaims
from egress_manager.adapters.mongo_client import Client, Database
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.mongo_gate import gated
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_process import FOLDER, open_mongo
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_reports import MongoReports
from egress_manager.adapters.obstore_bucket import ObstoreBucket
from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.domain import captures
from egress_manager.domain.attending import ATTENDED_WITHIN
from egress_manager.domain.claims import Presence
from egress_manager.domain.incoming import News
from egress_manager.domain.roles import ALL, Role, works_on_files
from egress_manager.errors import (
    CaptureFailed,
    LiveKitUnavailable,
    RenderFailed,
    StorageFailed,
    StoreUnavailable,
)
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors
from egress_manager.flows.sharing.guard import Guard
from egress_manager.flows.sharing.membership import Membership
from egress_manager.flows.sharing.recorder import SharedRecorder
from egress_manager.ports import Keys, Queue
from egress_manager.settings import Settings
from egress_manager.wiring import cautions
from egress_manager.wiring.parts import (
    bucket_of,
    codes_of,
    egress_dir,
    files_of,
    house_of,
    key_of,
    keys_of,
    marks_of,
    prepare,
    signing_key_of,
)

if TYPE_CHECKING:
    from egress_manager.adapters.redis_queue import RedisQueue

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
    guard: Guard
    files: LocalFiles
    objects: ObstoreBucket | None
    recorder: BuiltinRecorder
    shared: SharedRecorder
    health_checks: Mapping[str, HealthCheck]
    prepare: Callable[[], Awaitable[None]]
    signing_key: LocalSigningKey


@asynccontextmanager
async def open_services(
    settings: Settings, roles: Collection[Role] = ALL
) -> AsyncIterator[Services]:
    """Everything opened, and closed again in the opposite order.

    Raises `SettingsWrong` where there is neither MongoDB nor can it be had, or no signing key.
    """
    directory = settings.recordings_dir.absolute()
    cautions.say(settings)
    signer, codes = await asyncio.to_thread(_signing, settings)
    local_descriptors.raise_limit()
    async with AsyncExitStack() as stack:
        client = await _client(settings, directory, stack)
        rooms = _rooms(settings, stack)
        renderer = await _renderer(directory, roles, stack)
        here = await asyncio.to_thread(place, directory)
        recorder = _recorder(settings, here, stack)
        egress = _egress(settings, stack)
        ungated = mongo_client.database(client, settings.mongo_db)
        database = gated(ungated, (guard := Guard(marks_of(settings, ungated))).reason)
        membership = _membership(settings, database, here, roles, stack)
        calls = MongoCalls(database, codes.keys, codes.refusals)
        shared = SharedRecorder(membership, _local(recorder, roles), rooms, calls)
        carrier, (files, objects) = _carrier(ungated, directory, codes), files_of(settings)
        queue, recorders = _queue(settings, here, roles), (shared, egress)
        doors = _doors(
            settings, (database, codes), rooms, renderer, recorders, files, queue, carrier
        )
        recorder.listener = egress.listener = partial(_listen, doors=doors)
        yield Services(
            doors=doors,
            keys=keys_of(settings, database, codes),
            database=database,
            guard=guard,
            files=files,
            objects=objects,
            recorder=recorder,
            shared=shared,
            health_checks={
                "mongodb": partial(_mongodb, client, guard, codes),
                "livekit": partial(_livekit, rooms, doors),
                "recorder": partial(_recording, recorder, membership),
                "storage": partial(asyncio.to_thread, files.check),
                **_more_checks(renderer if works_on_files(roles) else None, egress, queue, doors),
            },
            prepare=partial(prepare, ungated),
            signing_key=signer,
        )


async def _client(settings: Settings, directory: Path, stack: AsyncExitStack) -> Client:
    uri = await stack.enter_async_context(open_mongo(settings.mongo_uri, directory / FOLDER))
    client = mongo_client.connect(uri)
    stack.push_async_callback(mongo_client.close, client)
    return client


def _rooms(settings: Settings, stack: AsyncExitStack) -> LiveKitRooms:
    rooms = LiveKitRooms(settings.livekit_http_url, *key_of(settings))
    stack.push_async_callback(rooms.aclose)
    return rooms


def _signing(settings: Settings) -> tuple[LocalSigningKey, Codes]:
    """The signing key, made where there is none, and the codes that follow from it."""
    signer = signing_key_of(settings)
    return signer, codes_of(signer)


def _local(recorder: BuiltinRecorder, roles: Collection[Role]) -> BuiltinRecorder | None:
    return recorder if Role.RECORDER in roles else None


async def _renderer(
    directory: Path, roles: Collection[Role], stack: AsyncExitStack
) -> ProcessRenderer:
    """The renderer; it is started if this process works on files."""
    renderer = ProcessRenderer(directory)
    stack.push_async_callback(renderer.aclose)
    if works_on_files(roles):
        await renderer.start()
    return renderer


def _more_checks(
    renderer: ProcessRenderer | None,
    egress: EgressRecorder,
    queue: "LocalQueue | RedisQueue",
    doors: Doors,
) -> dict[str, HealthCheck]:
    """Checks of what not every process has."""
    checks: dict[str, HealthCheck] = {}
    if renderer:
        checks["renderer"] = partial(_rendering, renderer)
    if doors.house.policy.uses_egress:
        checks["egress"] = egress.check
    if not isinstance(queue, LocalQueue):
        checks["queue"] = queue.health
    return checks


def _doors(
    settings: Settings,
    stored: tuple[Database, Codes],
    rooms: LiveKitRooms,
    renderer: ProcessRenderer,
    recorders: tuple[SharedRecorder, EgressRecorder],
    files: LocalFiles,
    queue: Queue,
    carrier: MongoCarrier,
) -> Doors:
    """Which adapter stands behind which port."""
    shared, (database, codes) = recorders[0], stored
    coded = (database, codes.keys, codes.refusals)
    webhooks = _webhooks(settings)
    doors = Doors(
        house=house_of(settings),
        clock=OneClock(lambda: shared.is_busy),
        webhooks=webhooks,
        inbox=MongoInbox(database, webhooks.read_again, codes),
        calls=MongoCalls(*coded),
        recordings=MongoRecordings(*coded),
        reports=MongoReports(database),
        rooms=rooms,
        trunks=rooms,
        recorders={recorder.engine: recorder for recorder in recorders},
        captures=DiskCaptures(files.directory / captures.FOLDER),
        carrier=carrier,
        renderer=renderer,
        ears=renderer,
        queue=queue,
        files=files,
        named_rooms=frozenset(settings.standing_rooms),
        standing_rooms=set(settings.standing_rooms),
        membership=shared.membership,
    )
    rooms.on_time = lambda theirs: doors.livekit_clock.learn(theirs, doors.clock.now())
    return doors


def _membership(
    settings: Settings,
    database: Database,
    here: str,
    roles: Collection[Role],
    stack: AsyncExitStack,
) -> Membership:
    """This process among the others; it shows its sign of life from now on, until it leaves."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    signs = LocalSigns(settings.recordings_dir.absolute(), name)
    signs.show()
    me = Presence(name, here, socket.gethostname(), records=Role.RECORDER in roles)
    membership = Membership(me, MongoClaims(database), signs, most_lag=settings.most_lag)
    stack.push_async_callback(membership.leave)
    return membership


def _carrier(database: Database, directory: Path, codes: Codes) -> MongoCarrier:
    """GridFS needs the database itself; what it carries is named by stores that are closed."""
    return MongoCarrier(database, directory / captures.FOLDER, codes)


def _recorder(settings: Settings, here: str, stack: AsyncExitStack) -> BuiltinRecorder:
    key, secret = key_of(settings)
    recorder = BuiltinRecorder(
        settings.livekit_ws_url,
        partial(livekit_tokens.capture_token, key, secret, ttl_seconds=TOKEN_TTL),
        settings.recordings_dir.absolute() / captures.FOLDER,
        sync_interval=settings.sync_interval,
        place=here,
    )
    stack.push_async_callback(recorder.aclose)
    return recorder


def _egress(settings: Settings, stack: AsyncExitStack) -> EgressRecorder:
    egress = EgressRecorder(
        settings.livekit_http_url,
        partial(livekit_tokens.recorder_token, *key_of(settings), ttl_seconds=TOKEN_TTL),
        Output(
            egress_dir(settings),
            bucket_of(settings),
            is_one_sided=settings.egress_mode == "participant",
        ),
    )
    stack.push_async_callback(egress.aclose)
    return egress


def _queue(settings: Settings, here: str, roles: Collection[Role]) -> "LocalQueue | RedisQueue":
    if not settings.redis_url:
        return LocalQueue(here)
    # Without Redis it is not needed, and takes a third of the time in which a process starts.
    from egress_manager.adapters.redis_queue import ANYWHERE, RedisQueue

    lanes = [here] if works_on_files(roles) else []
    if Role.JOBS in roles:
        lanes.append(ANYWHERE)
    # Who only records has begun the mixes of its calls: nobody else finishes them sooner.
    keeps_own = Role.RECORDER in roles and Role.JOBS not in roles
    return RedisQueue(settings.redis_url, "egress-manager", lanes, keeps_own=keeps_own)


async def _listen(news: News, *, doors: Doors) -> None:
    await ingest.take(news, doors)


async def _mongodb(client: Client, guard: Guard, codes: Codes) -> str:
    await mongo_client.ping(client)
    if guard.why:
        raise StoreUnavailable(guard.why)
    return f"ok; not used: {words}" if (words := codes.refusals.words) else "ok"


async def _livekit(rooms: LiveKitRooms, doors: Doors) -> str:
    count = len(await rooms.rooms())
    strange = doors.listed.strange(doors.clock.now())
    if strange:
        raise LiveKitUnavailable(
            f"{strange} calls of the database are seen by another process and are not listed by "
            "this LiveKit: do two LiveKits share one database? Set another MONGO_DB for one of them"
        )
    return f"{count} rooms open"


async def _recording(recorder: BuiltinRecorder, membership: Membership) -> str:
    if recorder.troubles:
        raise StorageFailed("; ".join(recorder.troubles))
    late = recorder.unattended() + sum(other.unattended for other in membership.others)
    if late:
        raise CaptureFailed(
            f"rooms with callers that no recorder has heard for {ATTENDED_WITHIN:g} s: {late}; "
            "what keeps it out is in the log (connection_lost)"
        )
    if membership.is_pressed:
        raise CaptureFailed(
            f"this host is behind by {membership.lag:.1f} s: mixes come after their calls; "
            "start egress-manager recorder on another one"
        )
    if not membership.me.records and not membership.others:
        raise CaptureFailed("no process captures calls: start egress-manager recorder")
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

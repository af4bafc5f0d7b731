"""A livekit-server and a manager that know each other, for tests that make calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit import api

from lab import sounds
from lab.egress import Egress
from lab.livekit_sip import LiveKitSip, real_livekit_sip
from lab.manager import PYTHON, Facts, Manager, Worker
from lab.phones import Phone
from lab.ports import LOOPBACK, free_port
from lab.servers import LiveKit, Mongod, Redis
from lab.theatre import Report, Stage
from tests.e2e.listening import Heard, listen, moment

#: For how long a room of an agent alone waits for its next caller: LiveKit's own setting. Seconds.
BETWEEN_CALLERS = 20


def is_heard(recording: Facts) -> bool:
    """Whether somebody has listened to it."""
    return bool(recording["verdict"] != "pending")


@dataclass(frozen=True, slots=True)
class House:
    """The servers, running; `egress` where it is LiveKit Egress that records."""

    livekit: LiveKit
    manager: Manager
    egress: Egress | None = None

    async def finished(self, phone: Phone | None = None, **params: str) -> Facts:
        """The completed recording, listened to; of that phone's call where one is given."""
        if phone is not None:
            params["caller_number"] = phone.number
        return await self.manager.recording("completed", which=is_heard, **params)

    async def capturing(self, phone: Phone) -> Facts:
        """Wait until the phone's call is being captured."""
        return await self.manager.recording("recording", caller_number=phone.number)

    async def hears(self, *phones: Phone) -> None:
        """Have the phones breathe until all their calls are being recorded."""
        heard = asyncio.Event()

        async def breathe(phone: Phone) -> None:
            while not heard.is_set():
                await phone.say(sounds.silence(0.5))

        async with asyncio.TaskGroup() as group:
            for phone in phones:
                group.create_task(breathe(phone))
            await self._all_recorded(phones)
            heard.set()

    async def recorder_is_in(self, room_name: str) -> None:
        """Wait until the room says that its recorder is in it."""
        key = next(iter(self.livekit.keys.items()))
        async with api.LiveKitAPI(self.livekit.http_url, *key) as livekit, asyncio.timeout(60):
            asked = api.ListRoomsRequest(names=[room_name])
            while True:
                found = await livekit.room.list_rooms(asked)
                if any(room.active_recording for room in found.rooms):
                    return
                await asyncio.sleep(0.05)

    async def _all_recorded(self, phones: Sequence[Phone]) -> None:
        numbers = {phone.number for phone in phones}
        async with asyncio.timeout(60):
            while True:
                there = [
                    recording
                    for number in numbers
                    for recording in await self.manager.recordings_of(caller_number=number)
                    if recording["status"] == "recording"
                ]
                if len(there) >= len(phones):
                    return
                await asyncio.sleep(0.1)

    async def call_of(self, phone: Phone) -> Facts:
        """What the API says of the phone's call."""
        (call,) = await self.manager.calls(caller_number=phone.number)
        return call


@contextlib.asynccontextmanager
async def house(
    mongod: Mongod,
    database: str,
    recordings: Path,
    *,
    webhooks: bool = True,
    engine: str = "builtin",
    settings: Mapping[str, str] | None = None,
    python: str = PYTHON,
    **livekit_options: Any,
) -> AsyncIterator[House]:
    """A house of one's own; its recordings stay when it is gone.

    `engine` is who records: `builtin`, or `egress`, LiveKit's own service beside the server; with
    `several` the built-in recorder and the jobs are processes of their own, beside the API.
    `python` is what runs the manager.
    Where livekit-sip is on PATH it is beside the server too, and phones call through it.
    """
    port = free_port()
    urls = [f"http://{LOOPBACK}:{port}/webhook"] if webhooks else []
    async with contextlib.AsyncExitStack() as stack:
        redis = livekit_options.pop("redis", None)
        if redis is None and (engine in ("egress", "several") or real_livekit_sip()):
            redis = await stack.enter_async_context(Redis())
        livekit = LiveKit(webhook_urls=urls, redis=redis, **livekit_options)
        await stack.enter_async_context(livekit)
        egress = Egress(livekit, redis) if engine == "egress" else None
        if egress is not None:
            await stack.enter_async_context(egress)
        if real_livekit_sip():
            await stack.enter_async_context(LiveKitSip(livekit, redis))
        manager = Manager(
            livekit_url=livekit.http_url,
            mongo_uri=mongod.uri,
            mongo_db=database,
            port=port,
            recordings=recordings,
            settings={**_settings(engine, redis), **(settings or {})},
            python=python,
        )
        await stack.enter_async_context(manager)
        for role in ("recorder", "jobs") if engine == "several" else ():
            await stack.enter_async_context(Worker(role, manager))
        yield House(livekit, manager, egress)


def house_of_a_fixed_room(
    mongod: Mongod, database: str, recordings: Path, room: str
) -> contextlib.AbstractAsyncContextManager[House]:
    """A house whose recorder stands in a fixed room, into which callers come one by one."""
    return house(
        mongod,
        database,
        recordings,
        settings={"EGRESS_MANAGER_STANDING_ROOMS": room},
        departure_timeout=BETWEEN_CALLERS,
    )


def _settings(engine: str, redis: Redis | None) -> dict[str, str]:
    """What a manager is told where that records."""
    if engine != "several" or redis is None:
        return {"EGRESS_MANAGER_ENGINE": engine}
    return {"REDIS_URL": redis.url, "EGRESS_MANAGER_ROLES": "none"}


def said(reports: list[Report], who: str) -> float:
    """When somebody's first words began, in seconds since 1970."""
    at = next(r["started_at"] for r in reports if r["what"] == "said" and r.get("who") == who)
    return float(at)


def track_began(recording: Facts, track: Facts) -> float:
    """When a track's file begins: ours span the whole call, LiveKit's begin with the track."""
    return moment(track["started_at"]) if recording["engine"] == "egress" else began(recording)


def began(recording: Facts) -> float:
    """When a recording begins, in seconds since 1970."""
    return moment(recording["started_at"])


def heard(recording: Facts) -> Heard:
    """The mix of a recording."""
    return listen(recording["filepath"])


__all__ = ["Facts", "House", "Stage", "began", "heard", "house", "said", "track_began"]

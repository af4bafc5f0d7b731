"""The service: `uvicorn egress_manager.app:app --host 0.0.0.0 --port 5000` records calls.

That is enough: it serves the API, does the jobs, and records, all in this process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastapi import FastAPI

from egress_manager import api, jobs, telemetry
from egress_manager.api.auth import make_first_key
from egress_manager.api.services import ApiServices
from egress_manager.errors import EgressManagerError, SettingsWrong
from egress_manager.flows import manual, reconcile, report
from egress_manager.flows.audit import seal
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.receive import Intake
from egress_manager.settings import Settings, load_settings
from egress_manager.wiring.audit import sealers_of
from egress_manager.wiring.parts import check_settings, recorder_token
from egress_manager.wiring.service import Services, open_services

log = logging.getLogger(__name__)

#: Preparing the database is tried again after this long. Seconds.
PREPARE_AGAIN: Final = 1.0


def generate_recorder_token(room_name: str, ttl_seconds: int = 3600) -> str:
    """A token `{"room": room_name, "roomRecord": true}`, signed with LIVEKIT_API_KEY and _SECRET.

    It allows everything the Egress API can do, and nothing else: it can't join a room. LiveKit does
    not look at `room` there, so it is good for every room; keep it short-lived and to yourself.
    Raises `SettingsWrong` where the key or the secret is not set.
    """
    return recorder_token(load_settings(), room_name, ttl_seconds)


class EgressManager(FastAPI):
    """FastAPI, but a setting that is wrong is one sentence at the start, not a traceback."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            try:
                self.state.settings = load_settings()
                check_settings(self.state.settings)
            except SettingsWrong as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        await super().__call__(scope, receive, send)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open everything, work, and at the end finish what can be finished."""
    settings: Settings = app.state.settings
    telemetry.set_up(settings.log_level)
    async with open_services(settings) as services:
        intake, sealers = Intake(services.doors), sealers_of(services)
        app.state.services = _api_services(services, intake, sealers)
        background = [
            asyncio.create_task(_prepare(services)),
            asyncio.create_task(jobs.run(services.doors, _pace(settings), sealers)),
        ]
        try:
            yield
        finally:
            try:
                await intake.aclose()
                await services.recorder.aclose()
                await jobs.finish(services.doors)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.wait(background)


def _api_services(services: Services, intake: Intake, sealers: Sealers) -> ApiServices:
    doors = services.doors
    return ApiServices(
        calls=doors.calls,
        recordings=doors.recordings,
        keys=services.keys,
        clock=doors.clock,
        receive=intake.receive,
        recordings_dir=services.files.directory,
        objects=services.objects,
        health_checks={**services.health_checks, "audit": partial(seal.newest, sealers)},
        start=partial(manual.start, doors=doors),
        stop=partial(manual.stop, doors=doors),
        differences=partial(reconcile.differences, doors),
        mend=partial(reconcile.mend, doors=doors),
        draw_up=partial(report.draw_up, doors),
    )


def _pace(settings: Settings) -> jobs.Pace:
    return jobs.Pace(
        poll=settings.poll_interval,
        poll_idle=settings.poll_interval_idle,
        finds_standing_rooms=settings.finds_standing_rooms,
    )


async def _prepare(services: Services) -> None:
    """Make the database ready, and the API's key, as soon as MongoDB answers."""
    said = ""
    while True:
        try:
            await services.prepare()
            if not await make_first_key(services.keys, services.doors.clock):
                log.warning("no_api_key", extra={"remedy": "egress-manager keys new"})
            return
        except SettingsWrong as error:
            log.error("database_unusable", extra={"why": str(error)})
            return
        except EgressManagerError as error:
            if error.code != said:
                log.warning("database_not_ready", extra={"why": error.code})
            said = error.code
            await asyncio.sleep(PREPARE_AGAIN)


app = EgressManager(lifespan=lifespan)
api.install(app)

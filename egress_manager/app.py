"""The service: `uvicorn egress_manager.app:app --host 0.0.0.0 --port 5000` records calls.

That is enough: it serves the API, does the jobs, and records, all in this process, unless
EGRESS_MANAGER_ROLES says that others do.
"""

import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI

from egress_manager import api, telemetry
from egress_manager.api.connections import ConnectionTally, bound, most_connections
from egress_manager.api.services import ApiServices
from egress_manager.api.visitors import Visitors
from egress_manager.ending import heeded
from egress_manager.errors import EgressManagerError, SettingsWrong
from egress_manager.flows import manual, reconcile, report
from egress_manager.flows.audit import seal
from egress_manager.flows.audit.download import Downloads
from egress_manager.process import Process, running
from egress_manager.settings import Settings, load_settings, words
from egress_manager.wiring.parts import check_settings, recorder_token

log = logging.getLogger(__name__)


def generate_recorder_token(room_name: str, ttl_seconds: int = 3600) -> str:
    """A token `{"room": room_name, "roomRecord": true}`, signed with LIVEKIT_API_KEY and _SECRET.

    It allows everything the Egress API can do, and nothing else: it can't join a room. LiveKit does
    not look at `room` there, so it is good for every room; keep it short-lived and to yourself.
    Raises `SettingsWrong` where the key or the secret is not set.
    """
    key, secret = map(words.value_of, ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"))
    if not key or not secret:
        raise SettingsWrong("a token needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET: one is missing")
    return recorder_token(key, secret, room_name, ttl_seconds)


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
            send = partial(self._say, send)
        await super().__call__(scope, receive, send)

    async def _say(self, send: Any, message: MutableMapping[str, Any]) -> None:
        """Say how the start went; a refusal in its own words."""
        if message["type"] == "lifespan.startup.failed" and self.state.refusal:
            message = {**message, "message": self.state.refusal}
        await send(message)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Work, for as long as the API is served."""
    settings: Settings = app.state.settings
    telemetry.set_up(settings.log_level)
    app.state.refusal = ""
    connections = ConnectionTally(most_connections(settings.http_connections))
    bound(connections)
    with heeded(passing_on=True) as ending:
        try:
            async with running(settings, settings.all_roles, ending) as process:
                app.state.services = _api_services(process, settings, connections)
                yield
        except EgressManagerError as error:
            app.state.refusal = str(error)
            raise


def _api_services(
    process: Process, settings: Settings, connections: ConnectionTally
) -> ApiServices:
    services, doors = process.services, process.services.doors
    return ApiServices(
        calls=doors.calls,
        recordings=doors.recordings,
        keys=services.keys,
        clock=doors.clock,
        admit=process.intake.admit,
        receive=process.intake.receive,
        recordings_dir=services.files.directory,
        objects=services.objects,
        place=doors.place,
        room_lists=doors.room_lists,
        health_checks={**services.health_checks, "audit": partial(seal.newest, process.sealers)},
        start=partial(manual.start, doors=doors),
        stop=partial(manual.stop, doors=doors),
        render=partial(manual.render, doors=doors),
        differences=partial(reconcile.differences, doors),
        mend=partial(reconcile.mend, doors=doors),
        draw_up=partial(report.draw_up, doors),
        visitors=Visitors(settings.http_asks_per_second, settings.http_tries_per_minute),
        connections=connections,
        note_download=Downloads(process.sealers).note,
    )


app = EgressManager(lifespan=lifespan, **api.WITHOUT_PAGES)
api.install(app)

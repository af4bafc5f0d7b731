"""What livekit-server tells by webhook, collected as it was sent.

webhooks = Webhooks(API_KEY, API_SECRET)
async with webhooks, LiveKit(webhook_urls=[webhooks.url]) as livekit:
    event = await webhooks.reached("room_finished")
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from livekit import api

from lab.ports import LOOPBACK, free_port
from lab.web import take_posts

_WAIT_TIMEOUT = 60.0
Event = dict[str, Any]


class Webhooks:
    """Takes webhooks that are signed rightly, and refuses the others with 401."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.port = free_port()
        self.events: list[Event] = []
        self._receiver = api.WebhookReceiver(api.TokenVerifier(api_key, api_secret))
        self._came = asyncio.Condition()
        self._resources = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/webhook"

    async def reached(
        self,
        what: str,
        *,
        where: Callable[[Event], bool] = lambda event: True,
        timeout: float = _WAIT_TIMEOUT,
    ) -> Event:
        """Wait for the first event of a name for which `where` holds, and return its body."""

        def found() -> list[Event]:
            return [event for event in self.events if event["event"] == what and where(event)]

        async with asyncio.timeout(timeout), self._came:
            await self._came.wait_for(found)
        return found()[0]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            await take_posts("/webhook", self.port, self._take, opening)
            self._resources = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def _take(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        try:
            self._receiver.receive(body, request.headers.get("Authorization", ""))
        except Exception:  # the SDK raises bare ones
            return web.Response(status=401)
        async with self._came:
            self.events.append(json.loads(body))
            self._came.notify_all()
        return web.Response()

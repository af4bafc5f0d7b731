"""The way of webhooks from livekit-server to the manager, on which they can get lost.

async with Post(manager_url) as post, LiveKit(webhook_urls=[post.url]):
    post.way = Way.DOUBLED
"""

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from lab.ports import LOOPBACK, free_port
from lab.web import take_posts

#: How late is late. A minute would make each run a minute longer and show nothing else. Seconds.
LATE: Final = 12.0
#: So long webhooks are gathered before they are brought in another order. Seconds.
GATHERED: Final = 2.0
#: What is said to have arrived is brought as often as livekit-server would try. Times, seconds.
TRIES, TRY_AGAIN = 5, 1.0
_TIMEOUT: Final = 10.0
_UNAVAILABLE: Final = 503


class Way(StrEnum):
    """What becomes of a webhook."""

    STRAIGHT = "straight"
    LOST = "lost"
    DOUBLED = "doubled"
    LATE = "late"
    SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class Letter:
    """A webhook as it was sent."""

    body: bytes
    headers: Mapping[str, str]


class Post:
    """Takes every webhook, remembers it, and passes it on as `way` says."""

    def __init__(self, manager_url: str, seed: int = 1) -> None:
        self.way = Way.STRAIGHT
        self.events: list[dict[str, Any]] = []
        self.port = free_port()
        self._to = manager_url
        self._chance = random.Random(seed)
        self._gathered: list[Letter] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._resources = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """What livekit-server sends to."""
        return f"http://{LOOPBACK}:{self.port}/webhook"

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way any more."""
        return not self._errands

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            timeout = aiohttp.ClientTimeout(_TIMEOUT)
            self._session = await opening.enter_async_context(
                aiohttp.ClientSession(timeout=timeout)
            )
            await take_posts("/webhook", self.port, self._take, opening)
            opening.push_async_callback(self._end_errands)
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
        body = await request.read()
        names = ("Authorization", "Content-Type")
        letter = Letter(body, {name: request.headers.get(name, "") for name in names})
        self.events.append(json.loads(body))
        match self.way:
            case Way.STRAIGHT:
                return web.Response(status=await self._bring(letter))
            case Way.DOUBLED:
                self._later(0.0, letter)
                return web.Response(status=await self._bring(letter))
            case Way.LATE:
                self._later(LATE, letter)
            case Way.SHUFFLED:
                self._gather(letter)
            case Way.LOST:
                pass
        return web.Response()

    def _later(self, seconds: float, *letters: Letter) -> None:
        errand = asyncio.create_task(self._bring_all(seconds, letters))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    def _gather(self, letter: Letter) -> None:
        self._gathered.append(letter)
        if len(self._gathered) == 1:
            errand = asyncio.create_task(self._shuffle())
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)

    async def _shuffle(self) -> None:
        await asyncio.sleep(GATHERED)
        letters, self._gathered = self._gathered, []
        self._chance.shuffle(letters)
        await self._bring_all(0.0, tuple(letters))

    async def _bring_all(self, seconds: float, letters: tuple[Letter, ...]) -> None:
        await asyncio.sleep(seconds)
        for letter in letters:
            for _ in range(TRIES):
                if await self._bring(letter) < _UNAVAILABLE:
                    break
                await asyncio.sleep(TRY_AGAIN)

    async def _bring(self, letter: Letter) -> int:
        """The manager's answer; 503 when there is none."""
        assert self._session is not None
        try:
            sending = self._session.post(self._to, data=letter.body, headers=letter.headers)
            async with sending as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return _UNAVAILABLE

    async def _end_errands(self) -> None:
        for errand in tuple(self._errands):
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

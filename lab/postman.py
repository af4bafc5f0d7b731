"""livekit-server's sender of webhooks, played: it sends, tries again and gives up as that does.

So it is written in livekit's protocol (webhook/resource_url_notifier.go) and in go-retryablehttp:
one event of a room after the other, without a time-out; where the connection fails or the answer
is 429 or 5xx (501 excepted), again after 1, 2, 4 and 8 s, with the same signature; any other answer
is the end of it. What five attempts did not bring is dropped.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

#: Seconds before the attempts that follow the first one.
WAITS = (1.0, 2.0, 4.0, 8.0)
#: A receiver that holds the line would keep the real one waiting for ever. Seconds.
_LINE_HELD = 120.0
_HEADERS = {"Content-Type": "application/webhook+json", "User-Agent": "Go-http-client/1.1"}


@dataclass(frozen=True, slots=True)
class Letter:
    """One event, ready to be sent: its id, its body and the signature of that."""

    event_id: str
    body: bytes
    signature: str


@dataclass(slots=True)
class Post:
    """What became of the events that were sent, by their ids."""

    answered: dict[str, int] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def taken(self) -> set[str]:
        """Those that got their 200."""
        return {event for event, status in self.answered.items() if status == HTTPStatus.OK}

    async def reached(self, count: int, timeout: float) -> None:
        """Wait until so many have an answer. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            while len(self.answered) < count:
                self._changed.clear()
                await self._changed.wait()

    def note(self, event_id: str, status: int | None) -> None:
        """An event has its answer, or None of five attempts."""
        if status is None:
            self.given_up.add(event_id)
        else:
            self.answered[event_id] = status
        self._changed.set()


class Postman:
    """Sends to one address; what comes of it stands in `post`."""

    def __init__(self, url: str, waits: Sequence[float] = WAITS) -> None:
        self.post = Post()
        self._url = url
        self._waits = waits

    async def deliver(self, rooms: Iterable[Iterable[Letter]]) -> None:
        """Send all events of all rooms: those of a room in order, the rooms at once."""
        async with self._session() as session, asyncio.TaskGroup() as group:
            for letters in rooms:
                group.create_task(self._deliver(letters, session))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(limit=0)
        patience = aiohttp.ClientTimeout(total=_LINE_HELD)
        async with aiohttp.ClientSession(connector=connector, timeout=patience) as session:
            yield session

    async def _deliver(self, letters: Iterable[Letter], session: aiohttp.ClientSession) -> None:
        for letter in letters:
            self.post.note(letter.event_id, await self._sent(letter, session))

    async def _sent(self, letter: Letter, session: aiohttp.ClientSession) -> int | None:
        """The answer that ended it; None where it was given up."""
        for wait in (*self._waits, None):
            status = await self._attempt(letter, session)
            if status is not None and not _is_worth_another(status):
                return status
            if wait is not None:
                await asyncio.sleep(wait)
        return None

    async def _attempt(self, letter: Letter, session: aiohttp.ClientSession) -> int | None:
        headers = {**_HEADERS, "Authorization": letter.signature}
        try:
            async with session.post(self._url, data=letter.body, headers=headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            self.post.failures[type(error).__name__] += 1
            return None
        if _is_worth_another(answer.status):
            self.post.failures[str(answer.status)] += 1
        return answer.status


def _is_worth_another(status: int) -> bool:
    is_theirs = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
    return is_theirs or status == HTTPStatus.TOO_MANY_REQUESTS

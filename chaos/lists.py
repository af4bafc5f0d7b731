"""livekit-server's lists of rooms and participants are gone: the Redis that has them lost its keys.

LiveKit goes on. It writes a room's entry again when the room changes, a participant's when that
participant does; until then its lists are empty, or short.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lab.servers import Redis
from lab.switch import Switch


@dataclass(frozen=True, slots=True)
class Lists:
    """The Redis that livekit-server has for its lists: `spare` is empty, and `switch` before both.

    In a house where LiveKit Egress records it is the house's only one.
    """

    redis: Redis
    spare: Redis
    switch: Switch


Lose = Callable[[Lists], Awaitable[None]]


async def lists_of(redis: Redis | None, stack: contextlib.AsyncExitStack) -> Lists:
    """Of the Redis that is there, or of one of its own."""
    own = redis if redis is not None else await stack.enter_async_context(Redis())
    spare = await stack.enter_async_context(Redis())
    return Lists(own, spare, await stack.enter_async_context(Switch(own.port)))


@contextlib.asynccontextmanager
async def lost(lists: Lists, lose: Lose) -> AsyncIterator[None]:
    """Lost in one of these ways; nobody undoes it."""
    await lose(lists)
    yield


async def _flush(lists: Lists) -> None:
    await lists.redis.tell("FLUSHALL")


async def _evict_all(lists: Lists) -> None:
    """As Redis does it when it may have no more memory; then it may again."""
    await lists.redis.tell("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    await lists.redis.tell("CONFIG", "SET", "maxmemory", "1")
    await lists.redis.tell("CONFIG", "SET", "maxmemory", "0")


async def _evict_rooms(lists: Lists) -> None:
    await lists.redis.tell("DEL", "rooms")


async def _restart_empty(lists: Lists) -> None:
    await lists.redis.restart_empty()


async def _fail_over(lists: Lists) -> None:
    lists.switch.turn_to(lists.spare.port)


#: By the names of the faults.
WAYS: Final[Mapping[str, Lose]] = {
    "flushed": _flush,
    "evicted": _evict_all,
    "rooms-evicted": _evict_rooms,
    "restarted-empty": _restart_empty,
    "failed-over": _fail_over,
}

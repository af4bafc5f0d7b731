"""Work that is due, handed over through Redis (port `Queue`).

There is a lane for work that any host can do, and one for each place, whose files only those who
work there have at hand. A lane is two sorted sets of recording ids: `waiting` by the moment they
were handed over, `running` by the moment until which their worker has them. Plain ids are all that
is in Redis, and an entry that is no id is removed: see `domain.entries`. The truth is in MongoDB,
so a Redis that was emptied or is away costs a delay: the sweep of what is due finds the work again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.domain.entries import LONGEST, recording_id_in
from egress_manager.ports import Work

log = logging.getLogger(__name__)

#: So many recordings are worked on at once, in each lane.
WORKERS: Final = 4
#: An empty lane is looked at again after this long. Seconds.
LOOK_AFTER: Final = 0.05
#: Work of which its worker told nothing for so long begins again, here or elsewhere: the worker
#: died, or lost Redis just as it had been given it. Milliseconds.
LEASE_MS: Final = 30_000
#: How often a worker tells that it goes on. Seconds.
RENEW_AFTER: Final = 10.0
#: Redis that is away is tried again after this long. Seconds.
TRY_AGAIN: Final = 2.0
#: How long connecting, and one answer, may take. Seconds.
TIMEOUT: Final = 2.0
#: How long handing over may take: whoever does it has other things to do. Seconds.
SOON_TIMEOUT: Final = 1.0
#: How long saying that work has ended may take: a process that ends has little time. Seconds.
END_TIMEOUT: Final = 0.4
#: One look at a lane goes through so many entries at most, so that Redis is never busy for long.
LOOKED_AT: Final = 100
#: Refused entries are counted one by one, and logged at most this often. Seconds.
REFUSAL_LOGGED_AFTER: Final = 60.0
#: That a lane can't be looked at is logged at most this often. Seconds.
AWAY_LOGGED_AFTER: Final = 60.0
#: So much of what an error says is logged. Characters.
SAID: Final = 80

#: The lane for work that any host can do.
ANYWHERE: Final = ""

#: Take the first entry that waits and is not being worked on, by the clock of Redis. Leases that
#: have run out, or are longer than any of ours, go back to the others first. What is too long to be
#: an id is removed, and only its beginning is returned.
_TAKE: Final = """
local waiting, running = KEYS[1], KEYS[2]
local lease, longest, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, range in ipairs({{'-inf', now}, {now + lease + 1, '+inf'}}) do
    local lapsed = redis.call('ZRANGEBYSCORE', running, range[1], range[2], 'LIMIT', 0, most)
    for _, id in ipairs(lapsed) do
        redis.call('ZREM', running, id)
        redis.call('ZADD', waiting, 'NX', now, id)
    end
end
for _, id in ipairs(redis.call('ZRANGE', waiting, 0, most - 1)) do
    if not redis.call('ZSCORE', running, id) then
        redis.call('ZREM', waiting, id)
        if #id <= longest then redis.call('ZADD', running, now + lease, id) end
        return {string.sub(id, 1, longest + 1), string.format('%.0f', now + lease)}
    end
end
return false
"""

#: Whether a lease is still ours. A later one is, too, while ours has not run out: nobody else can
#: have taken it, so we renewed it ourselves, and the answer was lost.
_IS_OURS: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function is_ours(held, mine)
    return held and (held == mine or (held > mine and now < mine))
end
"""

#: Make a lease longer, unless somebody else has it by now.
_RENEW: Final = f"""{_IS_OURS}
local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if not is_ours(held, tonumber(ARGV[2])) then return false end
local until_ms = now + tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], until_ms, ARGV[1])
return string.format('%.0f', until_ms)
"""

#: End a lease, unless somebody else has it by now; what was not done waits again, first of all.
_END: Final = f"""{_IS_OURS}
local held = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]))
if not is_ours(held, tonumber(ARGV[2])) then return end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] == 'again' then redis.call('ZADD', KEYS[1], 0, ARGV[1]) end
"""


class RedisQueue:
    """The lanes of one process: those it `serves`, and all others to hand work to.

    What is handed over without a place goes the first way that it serves; or stays in this process,
    where it `keeps_own`: then it has something of the work in its hands that no other has.
    """

    def __init__(
        self, url: str, name: str, serves: Sequence[str] = (ANYWHERE,), *, keeps_own: bool = False
    ) -> None:
        self._url = url
        self._name = name
        self._serves = tuple(serves)
        self._own = LocalQueue() if keeps_own else None
        self._client: redis.asyncio.Redis | None = None
        #: Entries that were no ids, since this process started.
        self.refused = 0
        self._refusal_logged_at = float("-inf")
        self._away_logged_at: dict[str, float] = {}
        self._away_until = float("-inf")

    async def soon(self, recording_id: str, place: str | None = None) -> None:
        """Hand it over; without Redis the sweep of what is due does, a little later.

        For a while after Redis was found to be away, it is not tried, and costs no time.
        """
        if place is None and self._own is not None:
            await self._own.soon(recording_id)
            return
        if place is None:
            place = next(iter(self._serves), ANYWHERE)
        if time.monotonic() < self._away_until:
            return
        client = self._client
        try:
            async with asyncio.timeout(SOON_TIMEOUT):
                await self._add(place, recording_id, client)
        except (RedisError, OSError, TimeoutError) as error:
            if not isinstance(error, ResponseError):
                self._away_until = time.monotonic() + TRY_AGAIN
            if client is not None:
                await _follow(error, client)

    async def _add(self, place: str, recording_id: str, client: redis.asyncio.Redis | None) -> None:
        if client is not None:
            await self._lane(place, client).add(recording_id)
            return
        async with _connected(self._url) as passing:
            await self._lane(place, passing).add(recording_id)

    async def serve(self, work: Work) -> None:
        async with _connected(self._url) as client:
            self._client = client
            try:
                async with asyncio.TaskGroup() as group:
                    for place in self._serves:
                        group.create_task(self._serve(self._lane(place, client), work))
                    if self._own is not None:
                        group.create_task(self._own.serve(work))
            finally:
                self._client = None

    async def health(self) -> str:
        """What to say of it in `/health`."""
        return f"ok; entries refused since the start: {self.refused}" if self.refused else "ok"

    def _lane(self, place: str, client: redis.asyncio.Redis) -> "_Lane":
        return _Lane(client, f"{self._name}@{place}" if place else self._name)

    async def _serve(self, lane: "_Lane", work: Work) -> None:
        """Take what waits in the lane, and have it worked on, several at once."""
        free = asyncio.Semaphore(WORKERS)
        async with asyncio.TaskGroup() as group:
            while True:
                await free.acquire()
                taken = await self._next(lane)
                group.create_task(_work_on(taken, lane, work)).add_done_callback(
                    lambda _: free.release()
                )

    async def _next(self, lane: "_Lane") -> "_Taken":
        """The next recording of the lane, however long that takes."""
        while True:
            found, wait = None, LOOK_AFTER
            try:
                found = await lane.take()
                self._away_until = float("-inf")
            except Exception as error:
                # Whatever is wrong with one look at a lane, the next may be better.
                wait = TRY_AGAIN
                self._log_away(lane, error)
                await lane.follow(error)
                if _is_of_another_kind(error):
                    await self._clear(lane)
            if _is_cancelled():
                if found is not None:
                    await _give_back(lane, *found)
                raise asyncio.CancelledError
            if found is None:
                await asyncio.sleep(wait)
            elif recording_id := recording_id_in(found[0]):
                return _Taken(recording_id, found[1])
            else:
                await self._refuse(lane, *found)

    def _log_away(self, lane: "_Lane", error: Exception) -> None:
        """Log why a lane can't be looked at, unless that was done just now."""
        now = time.monotonic()
        if now - self._away_logged_at.get(lane.name, float("-inf")) >= AWAY_LOGGED_AFTER:
            self._away_logged_at[lane.name] = now
            said = str(error)[:SAID]
            extra = {"lane": lane.name, "why": type(error).__name__, "said": said}
            log.warning("redis_away", extra=extra)

    async def _clear(self, lane: "_Lane") -> None:
        """Remove a lane whose keys somebody has put something else in."""
        with contextlib.suppress(RedisError, OSError):
            await lane.clear()
            self._count_refusal(lane, "not_a_sorted_set")

    async def _refuse(self, lane: "_Lane", entry: bytes, until_ms: bytes) -> None:
        """Remove what is no id, so that it is not met again."""
        self._count_refusal(lane, "not_an_id")
        with contextlib.suppress(RedisError, OSError):
            await lane.end(entry, until_ms)

    def _count_refusal(self, lane: "_Lane", why: str) -> None:
        """Count it, and log it unless that was done just now. What it said is not repeated."""
        self.refused += 1
        now = time.monotonic()
        if now - self._refusal_logged_at >= REFUSAL_LOGGED_AFTER:
            self._refusal_logged_at = now
            log.warning(
                "queue_entry_refused",
                extra={
                    "lane": lane.name,
                    "why": why,
                    "refused": self.refused,
                    "remedy": "somebody else writes to this Redis: give it a password and TLS",
                },
            )


@dataclass(slots=True)
class _Taken:
    """A recording that one of our workers has, until then by the clock of Redis."""

    recording_id: str
    until_ms: bytes
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)


class _Lane:
    """What is done with the two sets of one lane. Its verbs raise `RedisError` and `OSError`."""

    def __init__(self, client: redis.asyncio.Redis, name: str) -> None:
        self.name = name
        self._client = client
        self._waiting = f"{name}:waiting"
        self._running = f"{name}:running"
        self._take = client.register_script(_TAKE)
        self._renew = client.register_script(_RENEW)
        self._end = client.register_script(_END)

    async def add(self, recording_id: str) -> None:
        """Have it wait, unless it does already."""
        await self._client.zadd(self._waiting, {recording_id: int(time.time() * 1000)}, nx=True)

    async def take(self) -> tuple[bytes, bytes] | None:
        """The next entry as it is, and until when we have it; None if nothing waits."""
        found: Any = await self._take(
            keys=[self._waiting, self._running], args=[LEASE_MS, LONGEST, LOOKED_AT]
        )
        return None if found is None else (bytes(found[0]), bytes(found[1]))

    async def keep(self, taken: _Taken) -> None:
        """Make the lease longer until the work has ended, or somebody else has it."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(taken.has_ended.wait(), RENEW_AFTER)
                return
            with contextlib.suppress(RedisError, OSError):
                until_ms: Any = await self._renew(
                    keys=[self._running], args=[taken.recording_id, taken.until_ms, LEASE_MS]
                )
                if until_ms is None:
                    return
                taken.until_ms = bytes(until_ms)

    async def end(self, entry: str | bytes, until_ms: bytes, *, again: bool = False) -> None:
        """Have it no more; `again`: it was not done, and waits."""
        await self._end(
            keys=[self._waiting, self._running],
            args=[entry, until_ms, "again" if again else ""],
        )

    async def follow(self, error: Exception) -> None:
        """Connect anew if that error says that another server is the one to write to."""
        await _follow(error, self._client)

    async def clear(self) -> None:
        """Remove all of it."""
        await self._client.unlink(self._waiting, self._running)


async def _work_on(taken: _Taken, lane: _Lane, work: Work) -> None:
    """Have it worked on; what is cut short waits for another."""
    is_done = False
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(lane.keep(taken))
        try:
            await work(taken.recording_id)
            is_done = True
        finally:
            taken.has_ended.set()
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(END_TIMEOUT):
                    await asyncio.wait([keeping])
                    await lane.end(taken.recording_id, taken.until_ms, again=not is_done)


async def _give_back(lane: _Lane, entry: bytes, until_ms: bytes) -> None:
    """Have it wait again, if Redis is there; else its lease runs out."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(END_TIMEOUT):
            await lane.end(entry, until_ms, again=True)


async def _follow(error: Exception, client: redis.asyncio.Redis) -> None:
    """Connect anew, by name, if the server that we are connected to is no primary any more."""
    if isinstance(error, ResponseError) and "read only replica" in str(error):
        with contextlib.suppress(RedisError, OSError):
            await client.connection_pool.disconnect(inuse_connections=False)


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client, for as long as the block lasts; it connects when it is first used."""
    client: redis.asyncio.Redis = redis.asyncio.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )
    async with contextlib.aclosing(client):
        yield client


def _is_of_another_kind(error: Exception) -> bool:
    """Whether a key of the lane is no sorted set."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def _is_cancelled() -> bool:
    """Whether this task is being cancelled.

    Python 3.11 forgets a cancellation that comes just as redis-py has written a command, and the
    loop around it would never end.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

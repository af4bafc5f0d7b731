"""The queues hold to their port: in this process, and through a real Redis."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from redis.exceptions import ConnectionError as ConnectionLost

from egress_manager.adapters import redis_queue
from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.adapters.redis_queue import RedisQueue
from egress_manager.ports import Queue
from lab.servers import Redis
from lab.switch import Switch

TIMEOUT = 60.0


@pytest.fixture(params=["local", "redis"])
def queue(request: pytest.FixtureRequest) -> Queue:
    """The queues to be held to the contract."""
    if request.param == "local":
        return LocalQueue()
    server: Redis = request.getfixturevalue("redis_server")
    return RedisQueue(server.url, f"test-{uuid.uuid4().hex}")


@contextlib.asynccontextmanager
async def serving(queue: Queue, work: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """The queue's other end, for as long as the block lasts."""
    task = asyncio.create_task(queue.serve(work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=TIMEOUT)


async def handed_over(queue: Queue, recording_id: str, done: asyncio.Event) -> None:
    """Hand it over until it was worked on: one that comes before the other end is open is lost."""
    async with asyncio.timeout(TIMEOUT):
        while not done.is_set():
            await queue.soon(recording_id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.2)


async def test_what_is_handed_over_is_worked_on(queue: Queue) -> None:
    """Each id reaches the worker."""
    worked: set[str] = set()
    done = {name: asyncio.Event() for name in ("rec_1", "rec_2")}

    async def work(recording_id: str) -> None:
        worked.add(recording_id)
        done[recording_id].set()

    async with serving(queue, work):
        for name, event in done.items():
            await handed_over(queue, name, event)

    assert worked == {"rec_1", "rec_2"}


async def test_one_recording_is_worked_on_by_one_worker_at_a_time(queue: Queue) -> None:
    """However often it is handed over meanwhile."""
    running, most, go_on = 0, 0, asyncio.Event()
    begun = {name: asyncio.Event() for name in ("rec_1", "rec_2")}

    async def work(recording_id: str) -> None:
        nonlocal running, most
        begun[recording_id].set()
        if recording_id == "rec_1":
            running += 1
            most = max(most, running)
            await go_on.wait()
            running -= 1

    async with serving(queue, work):
        await handed_over(queue, "rec_1", begun["rec_1"])
        for _ in range(5):
            await queue.soon("rec_1")
        await handed_over(queue, "rec_2", begun["rec_2"])  # the others were passed over
        go_on.set()

    assert most == 1


async def test_what_is_handed_over_while_it_is_worked_on_is_worked_on_again(queue: Queue) -> None:
    """The work that goes on may have looked before there was anything new."""
    times, begun, go_on, done = 0, asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_: str) -> None:
        nonlocal times
        times += 1
        begun.set()
        await go_on.wait()
        if times == 2:
            done.set()

    async with serving(queue, work), asyncio.timeout(TIMEOUT):
        await handed_over(queue, "rec_1", begun)
        await queue.soon("rec_1")
        go_on.set()
        await done.wait()

    assert times == 2


async def test_processes_share_what_waits(redis_server: Redis) -> None:
    """Each id is worked on once, by one of them, and all of them have something to do."""
    name, ids = f"test-{uuid.uuid4().hex}", {f"rec_{number}" for number in range(100)}
    worked: list[tuple[int, str]] = []
    both, done = asyncio.Event(), asyncio.Event()

    async def work(recording_id: str, process: int) -> None:
        worked.append((process, recording_id))
        if len({which for which, _ in worked}) == 2:
            both.set()
        await both.wait()
        if {which for _, which in worked} == ids:
            done.set()

    queues = [RedisQueue(redis_server.url, name) for _ in range(2)]
    for recording_id in ids:
        await queues[0].soon(recording_id)
    async with (
        serving(queues[0], partial(work, process=0)),
        serving(queues[1], partial(work, process=1)),
        asyncio.timeout(TIMEOUT),
    ):
        await done.wait()

    assert len(worked) == len(ids)


async def test_a_lost_redis_is_waited_for() -> None:
    """Killed and started again: work handed over afterwards is done."""
    async with Redis() as server:
        queue, done = RedisQueue(server.url, "test"), asyncio.Event()

        async def work(_: str) -> None:
            done.set()

        async with serving(queue, work):
            await handed_over(queue, "rec_1", done)
            done.clear()
            await server.kill()
            await queue.soon("rec_2")
            await server.start()
            await handed_over(queue, "rec_3", done)

        assert done.is_set()


async def test_a_failover_that_breaks_no_connection_is_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One name, two servers: the one that we are connected to takes nothing any more."""
    monkeypatch.setattr(redis_queue, "TRY_AGAIN", 0.1)
    async with Redis() as old, Redis() as new, Switch(old.port) as switch:
        queue, done = RedisQueue(f"redis://{switch.address}/0", "test"), asyncio.Event()

        async def work(_: str) -> None:
            done.set()

        async with serving(queue, work):
            await handed_over(queue, "rec_1", done)
            done.clear()
            switch.turn_to(new.port, breaks=False)
            assert await old.tell("REPLICAOF", "127.0.0.1", str(new.port)) == b"+OK\r\n"
            await handed_over(queue, "rec_2", done)

        assert done.is_set()


async def test_handing_over_waits_once_for_a_redis_that_says_nothing() -> None:
    """Whoever does it has other things to do."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await asyncio.sleep(TIMEOUT)

    silent = await asyncio.start_server(accept, "127.0.0.1", 0)
    queue = RedisQueue(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0", "test")
    took = []
    for _ in range(3):
        begun = time.monotonic()
        await queue.soon("rec_1")
        took.append(time.monotonic() - begun)
    silent.close()

    assert took[0] < 1.8
    assert max(took[1:]) < 0.2


async def test_a_look_at_a_lane_that_fails_in_any_way_is_not_the_last(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, once for a while, and waited out."""
    monkeypatch.setattr(redis_queue, "TRY_AGAIN", 0.01)
    looks, take, done = 0, redis_queue._Lane.take, asyncio.Event()

    async def failing(lane: redis_queue._Lane) -> tuple[bytes, bytes] | None:
        nonlocal looks
        looks += 1
        if looks <= 5:
            raise RuntimeError("an answer of no known form")
        return await take(lane)

    async def work(_: str) -> None:
        done.set()

    monkeypatch.setattr(redis_queue._Lane, "take", failing)
    queue = RedisQueue(redis_server.url, f"test-{uuid.uuid4().hex}")
    async with serving(queue, work):
        await handed_over(queue, "rec_1", done)

    (said,) = [record for record in caplog.records if record.message == "redis_away"]
    assert (said.why, said.said) == (  # type: ignore[attr-defined]
        "RuntimeError",
        "an answer of no known form",
    )


async def test_a_lease_whose_renewal_was_not_answered_is_still_ours(redis_server: Redis) -> None:
    """Redis renewed it, the connection broke, and the worker knows only the time before."""
    queue = RedisQueue(redis_server.url, f"test-{uuid.uuid4().hex}")
    async with redis_queue._connected(redis_server.url) as client:
        lane = queue._lane("", client)
        await lane.add("rec_1")
        taken = await lane.take()
        assert taken is not None
        entry, until_ms = taken
        renewed = [
            await lane._renew(keys=[lane._running], args=[entry, until_ms, redis_queue.LEASE_MS])
            for _ in range(2)
        ]
        await lane.end(entry, until_ms, again=True)

        assert None not in renewed
        again = await lane.take()
        assert again is not None
        assert again[0] == b"rec_1"


async def test_a_lease_that_somebody_else_took_over_is_not_ours(redis_server: Redis) -> None:
    """It had run out before: neither renewing nor ending it touches theirs."""
    queue = RedisQueue(redis_server.url, f"test-{uuid.uuid4().hex}")
    async with redis_queue._connected(redis_server.url) as client:
        lane = queue._lane("", client)
        await client.zadd(lane._running, {"rec_1": 1})
        theirs = await lane.take()
        assert theirs is not None

        assert (
            await lane._renew(keys=[lane._running], args=["rec_1", b"1", redis_queue.LEASE_MS])
            is None
        )
        await lane.end("rec_1", b"1")
        assert await client.zscore(lane._running, "rec_1") == int(theirs[1])


async def test_what_is_not_given_back_to_a_lost_redis_holds_up_no_end() -> None:
    """Its lease runs out."""

    class Lost:
        """Gives an entry as the task is cancelled, and takes nothing back."""

        name = "test"

        async def take(self) -> tuple[bytes, bytes]:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            return b"rec_1", b"1"

        async def end(self, *_: object, again: bool) -> None:
            raise ConnectionLost

    looking = asyncio.create_task(RedisQueue("redis://nowhere", "test")._next(Lost()))  # type: ignore[arg-type]
    await asyncio.wait([looking], timeout=TIMEOUT)

    assert looking.cancelled()

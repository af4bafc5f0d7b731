"""Somebody else writes to our Redis: nothing of that is run, and honest work goes on."""

import ast
import asyncio
import contextlib
import logging
import os
import pickle
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import redis.asyncio
from redis.exceptions import NoPermissionError

from egress_manager.adapters import redis_queue
from egress_manager.adapters.redis_probe import RedisProbe
from egress_manager.adapters.redis_queue import RedisQueue
from egress_manager.domain.entries import LONGEST
from lab.servers import Redis

TIMEOUT = 60.0
PACKAGE = Path(redis_queue.__file__).parents[1]
OPERATIONS = PACKAGE.parent / "docs" / "operations.md"

#: Modules and functions that make objects, or code, of bytes.
DECODERS = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle", "docket"}
EVALUATORS = {"eval", "exec"}


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, int]]:
        return os.open, (str(self._file), os.O_CREAT)


@pytest.fixture
def name() -> str:
    """The name of a queue that nobody else has."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
async def client(redis_server: Redis) -> AsyncIterator[redis.asyncio.Redis]:
    """Somebody who can write to our Redis."""
    async with contextlib.aclosing(redis.asyncio.from_url(redis_server.url)) as client:
        yield client


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, bytes]:
    """A file, and the bytes that make it where they are unpickled."""
    file = tmp_path / "caught"
    return file, pickle.dumps(Trap(file))


async def worked_on(queue: RedisQueue, *names: str, refuses: int = 0) -> list[str]:
    """What is worked on from now until each of these, handed over now, was, and so many refused.

    What lapsed comes behind what was handed over a moment before.
    """
    worked: list[str] = []
    done = asyncio.Event()

    async def work(recording_id: str) -> None:
        worked.append(recording_id)
        if set(names) <= set(worked):
            done.set()

    async with serving(queue, work), asyncio.timeout(TIMEOUT):
        for each in names:
            await queue.soon(each)
        await done.wait()
        while queue.refused < refuses:
            await asyncio.sleep(0.01)
    return worked


@contextlib.asynccontextmanager
async def serving(queue: RedisQueue, work: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
    """The queue's other end, for as long as the block lasts."""
    task = asyncio.create_task(queue.serve(work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=TIMEOUT)


def test_the_trap_works(trap: tuple[Path, bytes]) -> None:
    """Or the tests below would prove nothing."""
    file, bait = trap

    os.close(pickle.loads(bait))

    assert file.exists()


async def test_a_stream_of_pickled_arguments_is_nothing_to_us(
    redis_server: Redis, client: redis.asyncio.Redis, name: str, trap: tuple[Path, bytes]
) -> None:
    """A queue of pickled tasks would run them: by its stream, its strikes and its schedule."""
    file, bait = trap
    message = {
        "key": "rec_1",
        "when": "2026-11-30T00:00:00+00:00",
        "function": "work",
        "args": bait,
        "kwargs": bait,
        "attempt": "1",
    }
    await client.xadd(f"{name}:stream", message)  # type: ignore[arg-type]
    strike = {"direction": "strike", "function": "work", "operator": "==", "value": bait}
    await client.xadd(f"{name}:strikes", strike)  # type: ignore[arg-type]
    await client.hset(f"{name}:rec_1", mapping=message)
    await client.zadd(f"{name}:queue", {"rec_1": 0})

    worked = await worked_on(RedisQueue(redis_server.url, name), "rec_2")

    assert worked == ["rec_2"]
    assert not file.exists()


@pytest.mark.parametrize("kept_in", ["waiting", "running"])
async def test_an_entry_that_is_no_id_is_refused_once(
    redis_server: Redis,
    client: redis.asyncio.Redis,
    name: str,
    trap: tuple[Path, bytes],
    kept_in: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is counted, logged without what it says, and removed; honest ones after it are done."""
    file, bait = trap
    entries = [bait, b"", b"\xff\xfe", b"rec_1; rm -rf /", b"rec_" + b"1" * LONGEST, b"x" * 10**6]
    await client.zadd(f"{name}:{kept_in}", dict.fromkeys(entries, 0))
    queue = RedisQueue(redis_server.url, name)

    with caplog.at_level(logging.WARNING):
        worked = await worked_on(queue, "rec_1", "rec_2", refuses=len(entries))

    assert sorted(worked) == ["rec_1", "rec_2"]
    assert queue.refused == len(entries)
    assert str(len(entries)) in await queue.health()
    assert "queue_entry_refused" in [record.message for record in caplog.records]
    assert not any("rm -rf" in str(vars(record)) for record in caplog.records)
    assert await client.zcard(f"{name}:waiting") == 0
    assert set(entries).isdisjoint(await client.zrange(f"{name}:running", 0, -1))
    assert not file.exists()


@pytest.mark.parametrize("kind", ["string", "stream", "hash"])
async def test_a_key_of_another_kind_is_removed(
    redis_server: Redis,
    client: redis.asyncio.Redis,
    name: str,
    trap: tuple[Path, bytes],
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the lane would stand still for good."""
    file, bait = trap
    monkeypatch.setattr(redis_queue, "TRY_AGAIN", 0.01)
    if kind == "string":
        await client.set(f"{name}:waiting", bait)
    elif kind == "stream":
        await client.xadd(f"{name}:waiting", {"args": bait})
    else:
        await client.hset(f"{name}:running", mapping={"args": bait})
    queue, done = RedisQueue(redis_server.url, name), asyncio.Event()

    async def work(_: str) -> None:
        done.set()

    async with serving(queue, work), asyncio.timeout(TIMEOUT):
        while not done.is_set():
            await queue.soon("rec_1")
            await asyncio.sleep(0.05)

    assert queue.refused == 1
    assert not file.exists()


async def test_a_lease_longer_than_any_of_ours_holds_nothing_back(
    redis_server: Redis, client: redis.asyncio.Redis, name: str
) -> None:
    """Somebody says that a recording is being worked on until the end of days."""
    await client.zadd(f"{name}:running", {"rec_1": float("inf")})

    assert await worked_on(RedisQueue(redis_server.url, name), "rec_1") == ["rec_1"]


async def test_work_of_a_process_that_died_is_taken_up_when_its_lease_has_run_out(
    redis_server: Redis, client: redis.asyncio.Redis, name: str
) -> None:
    """The id is still where the dead one had it."""
    await client.zadd(f"{name}:running", {"rec_1": 1})

    assert "rec_1" in await worked_on(RedisQueue(redis_server.url, name), "rec_2", "rec_1")


async def test_work_that_is_cut_short_waits_for_the_next(
    redis_server: Redis, client: redis.asyncio.Redis, name: str
) -> None:
    """A process that ends gives back what it has, at once and not when its lease has run out."""
    begun = asyncio.Event()

    async def work(_: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    first = RedisQueue(redis_server.url, name)
    async with serving(first, work), asyncio.timeout(TIMEOUT):
        await first.soon("rec_1")
        await begun.wait()

    assert await client.zrange(f"{name}:waiting", 0, -1) == [b"rec_1"]
    assert await client.zcard(f"{name}:running") == 0


async def test_the_rights_in_the_documentation_are_enough() -> None:
    """A user of its own, with a password, who may touch nothing else."""
    (rule,) = re.findall(r"(?m)^ACL SETUSER (.+)$", OPERATIONS.read_text(encoding="utf-8"))
    async with Redis() as server:
        async with contextlib.aclosing(redis.asyncio.from_url(server.url)) as anybody:
            await anybody.execute_command("ACL SETUSER", *rule.split())
            await anybody.execute_command("ACL SETUSER", "default", "off")
        url = server.url.replace("redis://", "redis://egress-manager:PASSWORD@")
        queue = RedisQueue(url, "egress-manager", ("", "place"))

        assert await worked_on(queue, "rec_1", "rec_2") != []
        assert await RedisProbe(url).ping()
        async with contextlib.aclosing(redis.asyncio.from_url(url)) as ours:
            for command in ("SET rooms 1", "GET rooms", "CONFIG GET dir", "FLUSHALL"):
                with pytest.raises(NoPermissionError):
                    await ours.execute_command(*command.split())
        assert queue.refused == 0


def test_nothing_in_the_product_makes_objects_of_bytes() -> None:
    """No module of it unpickles or evaluates anything, or uses a queue that does."""
    found = [
        f"{file.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if DECODERS & _imported(node) or EVALUATORS & _called(node)
    ]

    assert not found


def _imported(node: ast.AST) -> set[str]:
    """The packages that the statement imports."""
    names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    return {name.partition(".")[0] for name in names}


def _called(node: ast.AST) -> set[str]:
    """The function that the expression calls, by a plain name."""
    is_plain = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return {node.func.id} if is_plain else set()  # type: ignore[attr-defined]

"""Clients without a key: what each of them may cost, on the real server with sockets of its own."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator

import pytest

from egress_manager.api import connections
from egress_manager.api.bodies import BODY_AT_MOST
from lab.events import signed, webhooks_of_call
from lab.manager import KEY, Manager
from lab.ports import LOOPBACK
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod
from tests.integration.quietly import quietly

CONNECTIONS = 24
ASKS_PER_SECOND = 20
HEAD = b"Host: manager\r\n"
WITH_KEY = HEAD + b"X-API-Key: " + KEY.encode() + b"\r\n"
START = b"POST /recordings HTTP/1.1\r\n"
UNSENT = b"Content-Length: 1048576\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def manager(mongod_server: Mongod) -> Iterator[Manager]:
    """A service with room for few clients."""
    livekit = LiveKit(room={"auto_create": False})
    service = Manager(
        livekit_url=livekit.http_url,
        mongo_uri=mongod_server.uri,
        mongo_db="test_hostile_clients",
        settings={
            "EGRESS_MANAGER_HTTP_CONNECTIONS": str(CONNECTIONS),
            "EGRESS_MANAGER_HTTP_ASKS_PER_SECOND": str(ASKS_PER_SECOND),
        },
    )
    with quietly(livekit, service):
        yield service


@contextlib.asynccontextmanager
async def client(manager: Manager) -> AsyncIterator["Client"]:
    """One connection."""
    reader, writer = await asyncio.open_connection(LOOPBACK, manager.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


class Client:
    """A client that says what a test wants it to say, in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def sends(self, *parts: bytes) -> None:
        """Send it, as far as the server takes it."""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()

    async def hears(self) -> int:
        """The status of the next answer; 0 where the connection ends without one."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with asyncio.timeout(60):
                head = await self._reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"content-length: (\d+)", head)
                await self._reader.readexactly(int(found[1]) if found else 0)
                return int(head.split()[1])
        return 0

    async def ends(self) -> None:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(65536):
                    pass


async def status(manager: Manager, *sent: bytes) -> int:
    """What a client with a connection of its own hears."""
    async with client(manager) as one:
        await one.sends(*sent)
        return await one.hears()


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (b"GET /" + b"x" * 100_000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 12_000 + b"\r\n\r\n", 404),
        (b"\0" * 100, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ],
    ids=["path", "header", "headers", "long", "noise", "http2"],
)
async def test_headers_have_an_end(manager: Manager, sent: bytes, heard: int) -> None:
    """Whoever sends more is told."""
    async with client(manager) as one:
        await one.sends(sent)
        assert await one.hears() == heard


@pytest.mark.parametrize("path", [b"/webhook", b"/recordings", b"/reconciliation", b"/houba"])
async def test_a_strangers_body_is_not_waited_for(manager: Manager, path: bytes) -> None:
    """The answer comes though nothing of the body did."""
    async with client(manager) as one:
        await one.sends(b"POST " + path + b" HTTP/1.1\r\n" + HEAD + UNSENT)
        assert await one.hears() in (401, 404)


@pytest.mark.parametrize("head", [HEAD, WITH_KEY], ids=["stranger", "known"])
async def test_chunks_have_an_end(manager: Manager, head: bytes) -> None:
    """A million chunks of one byte each are no body that anybody sends."""
    async with client(manager) as one:
        await one.sends(START + head + CHUNKED, *[b"1\r\nx\r\n" * 10_000] * 20)
        assert await one.hears() in ((401, 413) if head == HEAD else (413,))
        await one.ends()


async def test_a_known_clients_body_has_an_end(manager: Manager) -> None:
    """Also that of whoever has the key."""
    parts = [b"%x\r\n" % 2**16 + bytes(2**16) + b"\r\n"] * (BODY_AT_MOST // 2**16 + 2)
    assert await status(manager, START + WITH_KEY + CHUNKED, *parts) == 413


async def test_requests_that_wait_for_each_other_have_an_end(manager: Manager) -> None:
    """They were sent at once, on one connection."""
    async with client(manager) as one:
        await one.sends((b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n") * 10_000)
        await one.ends()
    assert (await manager.ask("/health/live")).is_success


async def test_who_says_nothing_makes_room_for_who_does(manager: Manager) -> None:
    """Idle clients, four times as many as there is room for: LiveKit gets in all the same."""
    async with contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(client(manager)) for _ in range(CONNECTIONS * 4)]
        for event in webhooks_of_call("palombia", "palombia"):
            body, signature = signed(event, API_KEY, API_SECRET)
            said = b"POST /webhook HTTP/1.1\r\n" + HEAD
            said += b"Authorization: " + signature.encode() + b"\r\n"
            said += b"Content-Length: %d\r\n\r\n" % len(body) + body
            assert await status(manager, said) == 200
        tally = (await manager.ask("/health")).json()["connections"]
        assert tally["open"] <= CONNECTIONS
        assert tally["turned_away"] >= CONNECTIONS * 3
        await idle[0].ends()


async def test_half_a_request_is_not_waited_for_without_end(manager: Manager) -> None:
    """It is closed when its time is up, whether its headers or its body do not come."""
    assert connections.HEADERS_WITHIN < 60 > connections.BODY_WITHIN
    async with client(manager) as one, client(manager) as other:
        await one.sends(b"GET /calls HTTP/1.1\r\n")
        await other.sends(START + WITH_KEY + b"Content-Length: 100\r\n\r\n{")
        await one.ends()
        await other.ends()


async def test_a_client_that_hangs_up_is_no_fault_of_ours(manager: Manager) -> None:
    """In the middle of a body: one line in the log, without a traceback."""
    async with client(manager) as one:
        await one.sends(START + WITH_KEY + b"Content-Length: 100\r\n\r\n{")
    event = next(webhooks_of_call("palombia", "palombia"))
    _, signature = signed(event, API_KEY, API_SECRET)
    async with client(manager) as one:
        said = b"POST /webhook HTTP/1.1\r\n" + HEAD
        said += b"Authorization: " + signature.encode() + b"\r\nContent-Length: 100000\r\n\r\n{"
        await one.sends(said)
    async with asyncio.timeout(60):
        while "client_hung_up" not in manager.log.read_text():
            await asyncio.sleep(0.05)


async def test_a_known_client_whose_body_nobody_reads_goes_on(manager: Manager) -> None:
    """Its body comes behind its headers, on a route that has none; then its next request."""
    async with client(manager) as one:
        await one.sends(
            b"POST /recordings/rec_1/stop HTTP/1.1\r\n" + WITH_KEY + b"Content-Length: 2\r\n\r\n"
        )
        assert await one.hears() == 404
        await one.sends(b"{}", b"GET /calls HTTP/1.1\r\n" + WITH_KEY + b"\r\n")
        assert await one.hears() == 200


async def test_answers_come_in_the_order_of_their_requests(manager: Manager) -> None:
    """A request that is refused behind one that is being answered does not overtake it."""
    bad = b"POST /recordings HTTP/1.1\r\n" + WITH_KEY + CHUNKED + b"no chunk\r\n"
    async with client(manager) as one:
        await one.sends(b"GET /calls HTTP/1.1\r\n" + WITH_KEY + b"\r\n" + bad)
        assert await one.hears() in (0, 200)


async def test_a_request_in_two_parts_behind_another_one_is_whole(manager: Manager) -> None:
    """Its body comes when the one before it has been answered."""
    start = b"POST /recordings HTTP/1.1\r\n" + WITH_KEY + b"Content-Length: 2\r\n\r\n"
    async with client(manager) as one:
        await one.sends(b"GET /calls HTTP/1.1\r\n" + WITH_KEY + b"\r\n" + start)
        assert await one.hears() == 200
        await one.sends(b"{}")
        assert await one.hears() == 400


@pytest.mark.parametrize("target", [b"CONNECT example.com:443", b"GET http://h:99999/", b"GET *"])
async def test_a_target_that_is_none_is_bad(manager: Manager, target: bytes) -> None:
    """It is answered, not only closed."""
    assert await status(manager, target + b" HTTP/1.1\r\n" + HEAD + b"\r\n") in (400, 404)


async def test_a_strangers_empty_lines_keep_nothing_open(manager: Manager) -> None:
    """They are no request, and no sign of life either."""
    async with client(manager) as one:
        await one.sends(b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n")
        assert await one.hears() == 200
        await one.sends(b"\r\n")
        await one.ends()


async def test_who_asks_and_hangs_up_is_worked_for_in_its_turn(manager: Manager) -> None:
    """No sooner than who waits for its answers; it leaves nothing behind that waits."""
    loop = asyncio.get_running_loop()
    began, before = loop.time(), (await manager.ask("/health")).json()["webhooks"]["refused"]
    forged = b"POST /webhook HTTP/1.1\r\n" + HEAD + b"Authorization: a.b.c\r\n"
    for _ in range(1000):
        async with client(manager) as one:
            await one.sends(forged + b"Content-Length: 2\r\n\r\n{}")
    async with asyncio.timeout(60):
        while (told := (await manager.ask("/health")).json())["connections"]["open"] > 1:
            await asyncio.sleep(0.05)

    seconds = loop.time() - began
    assert told["webhooks"]["refused"] - before <= ASKS_PER_SECOND * (seconds + 1) + 1

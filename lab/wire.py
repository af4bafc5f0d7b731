"""A wire between a client and livekit-server that can be cut, and that can lose sound.

async with LiveKit() as livekit, Wire(livekit) as wire:
    ...  # connect to wire.url instead of livekit.url
    wire.drop(0.1, seed=7)
    wire.cut_signal()
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from lab.candidates import Detour, Transport
from lab.ports import LOOPBACK, free_port
from lab.relay import Relay
from lab.servers import LiveKit

#: Headers that belong to one connection, not to what it carries.
_HOP_BY_HOP = {
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    # aiohttp unpacks bodies, so what we pass on is not encoded any more.
    "accept-encoding",
    "content-encoding",
}
_CLOSE_TIMEOUT = 2.0
_UPSTREAM_TIMEOUT = 30.0


class Wire:
    """Passes on signalling, API calls and media of one livekit-server, as long as it is whole.

    Clients connect to `url` or `http_url`; sound travels by UDP through a relay. With
    `transport="tcp"` clients learn TCP candidates only, and media does not pass here.
    """

    def __init__(self, server: LiveKit, *, transport: Transport = "udp") -> None:
        self.server = server
        self.port = free_port()
        self.relay = Relay(free_port(), (LOOPBACK, server.udp_port))
        self._detour = Detour(transport, LOOPBACK, self.relay.port)
        self._is_signal_cut = False
        self._is_api_cut = False
        self._to_hang = 0
        self._signals: set[asyncio.Transport] = set()
        self._resources = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"ws://{LOOPBACK}:{self.port}"

    @property
    def http_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api_key(self) -> str:
        return self.server.api_key

    @property
    def api_secret(self) -> str:
        return self.server.api_secret

    @property
    def counts(self) -> Counter[str]:
        """What happened to datagrams; see `Relay`."""
        return self.relay.counts

    @property
    def signals(self) -> int:
        """How many clients have a signal connection now."""
        return len(self._signals)

    def drop(self, fraction: float, seed: int = 1) -> None:
        """Lose so many of the packets of sound on their way to clients; 0 ends it."""
        self._change(lost=fraction, seed=seed)

    def duplicate(self, fraction: float) -> None:
        """Bring so many packets of sound twice."""
        self._change(doubled=fraction)

    def reorder(self, fraction: float, held_back: float = 0.03) -> None:
        """Hold so many packets of sound back by `held_back` seconds, so that others overtake."""
        self._change(reordered=fraction, held_back=held_back)

    def delay(self, seconds: float) -> None:
        """Bring every packet of sound so much later."""
        self._change(delay=seconds)

    def cut_media(self) -> None:
        """Let no datagram pass, in either direction."""
        self.relay.is_cut = True

    def heal_media(self) -> None:
        self.relay.is_cut = False

    def cut_signal(self) -> None:
        """Break all signal connections off without a good-bye, and refuse new ones."""
        self._is_signal_cut = True
        for transport in self._signals:
            transport.abort()

    def heal_signal(self) -> None:
        self._is_signal_cut = False

    def hang_signal(self, times: int) -> None:
        """Take this many of the next signal connections and never answer them."""
        self._to_hang = times

    def cut_api(self) -> None:
        """Answer every API call with 503."""
        self._is_api_cut = True

    def heal_api(self) -> None:
        self._is_api_cut = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            timeout = aiohttp.ClientTimeout(_UPSTREAM_TIMEOUT)
            self._session = await opening.enter_async_context(
                aiohttp.ClientSession(timeout=timeout)
            )
            await self._serve(opening)
            self.relay.open()
            opening.callback(self.relay.close)
            opening.callback(self.cut_signal)
            self._resources = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def _serve(self, resources: AsyncExitStack) -> None:
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._pass)
        # A handler whose client is gone is of no use to anybody: let it be cancelled.
        runner = web.AppRunner(
            application, handler_cancellation=True, shutdown_timeout=_CLOSE_TIMEOUT, access_log=None
        )
        await runner.setup()
        resources.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, LOOPBACK, self.port).start()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        is_signal = request.path.startswith("/rtc")
        if self._is_signal_cut if is_signal else self._is_api_cut:
            return web.Response(status=503, text="the wire is cut")
        if is_signal and self._to_hang:
            self._to_hang -= 1
            await asyncio.Event().wait()  # until the client gives up, or the wire is closed
        is_upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        try:
            return await (self._pass_signal(request) if is_upgrade else self._pass_call(request))
        except aiohttp.WSServerHandshakeError as refusal:
            return web.Response(status=refusal.status, text=refusal.message)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=502, text=f"livekit-server: {type(error).__name__}")

    async def _pass_call(self, request: web.Request) -> web.Response:
        """One HTTP request and its answer."""
        call = self._upstream.request(
            request.method,
            self._target(request),
            headers=_end_to_end(request.headers),
            data=await request.read(),
        )
        async with call as answer:
            body = await answer.read()
            return web.Response(
                status=answer.status, headers=_end_to_end(answer.headers), body=body
            )

    async def _pass_signal(self, request: web.Request) -> web.WebSocketResponse:
        """A signal connection, until one side ends it or it is cut."""
        connecting = self._upstream.ws_connect(
            self._target(request), headers=_end_to_end(request.headers), max_msg_size=0
        )
        async with connecting as server:
            client = web.WebSocketResponse(max_msg_size=0, timeout=_CLOSE_TIMEOUT)
            await client.prepare(request)
            transport = request.transport
            assert transport is not None
            self._signals.add(transport)
            try:
                await self._carry(client, server)
            finally:
                self._signals.discard(transport)
            await client.close(code=server.close_code or aiohttp.WSCloseCode.OK)
        return client

    async def _carry(
        self, client: web.WebSocketResponse, server: aiohttp.ClientWebSocketResponse
    ) -> None:
        """Carry messages both ways until one of the two has closed."""
        ways = {
            asyncio.create_task(self._carry_up(client, server)),
            asyncio.create_task(self._carry_down(server, client)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry_up(
        self, client: web.WebSocketResponse, server: aiohttp.ClientWebSocketResponse
    ) -> None:
        async for message in client:
            if message.type is aiohttp.WSMsgType.BINARY:
                shown = self._detour.to_server(message.data)
                if shown is not None:
                    await server.send_bytes(shown)

    async def _carry_down(
        self, server: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse
    ) -> None:
        async for message in server:
            if message.type is aiohttp.WSMsgType.BINARY:
                shown = self._detour.to_client(message.data)
                if shown is not None:
                    await client.send_bytes(shown)

    def _change(self, **weather: Any) -> None:
        self.relay.weather = replace(self.relay.weather, **weather)

    @property
    def _upstream(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the wire is not open")
        return self._session

    def _target(self, request: web.Request) -> URL:
        # As the client wrote it: tokens and compressed messages in the query stay untouched.
        return URL(self.server.http_url + request.raw_path, encoded=True)


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _HOP_BY_HOP and not name.lower().startswith("sec-websocket")
    }

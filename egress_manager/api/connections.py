"""What a connection may cost while nobody knows who is at its other end: bounds of the HTTP server.

uvicorn waits for ever for a request that does not come, and takes headers of any length and chunks
of any number. Everything here happens in the recorder's own event loop, so all of it has a limit.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from egress_manager.api import visitors

log = logging.getLogger(__name__)

#: The headers of a request are there after this long, from its first byte or the connection on.
#: Seconds.
HEADERS_WITHIN: Final = 10.0
#: And its body this long after them. Seconds.
BODY_WITHIN: Final = 20.0
#: A client whose request was answered before all of it had come has this long to read the answer.
#: One that means harm waits as long before it can send the next one. Seconds.
LINGER: Final = 10.0
#: A client that takes nothing of its answer for this long is gone; so is one of which the rest of
#: an answer was not taken this long after we closed. Seconds.
STALLED_AFTER: Final = 60.0

#: The kernel takes so much of what a client sends before we read it. Bytes.
RECEIVE_BUFFER: Final = 16 * 1024
#: Headers of one request: bytes, with the request line, and how many.
HEADER_BYTES: Final = 16 * 1024
MOST_HEADERS: Final = 100
#: Chunks of one body. LiveKit says how long its bodies are, and sends none.
MOST_CHUNKS: Final = 1024
#: Requests of one connection that wait for the answer of an earlier one.
MOST_PIPELINED: Final = 8
#: What is turned away is logged once in this time. Seconds.
LOG_EVERY: Final = 60.0

_NOTHING_MORE: Final = b"content-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(slots=True)
class ConnectionTally:
    """The connections of this process: how many are open and may be, and what was turned away.

    `unknown` are those that have not shown who they are, the oldest first.
    """

    at_most: int = 4096
    open: int = 0
    turned_away: int = 0
    unknown: dict["BoundedHttp", None] = field(default_factory=dict)
    _said_at: float = field(default=float("-inf"))

    def turn_away(self, why: str, address: str, now: float) -> None:
        """Count a connection that is closed because of a limit; log the first of each minute."""
        self.turned_away += 1
        if now - self._said_at >= LOG_EVERY:
            self._said_at = now
            log.warning(
                "connection_turned_away",
                extra={"why": why, "address": address, "so_far": self.turned_away},
            )


def most_connections(wanted: int) -> int:
    """So many as wanted, but no more than a quarter of the descriptors: calls need the others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard // 4)


def bound(tally: ConnectionTally) -> bool:
    """Have the uvicorn that serves this process keep these bounds; whether it was found.

    It is found by its signal handler, as nothing else leads from an application to its server.
    Connections that are made from now on are bound: so this is called before it listens, and
    before anybody else handles its signals.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server):
        log.warning("connections_not_bound", extra={"remedy": "egress-manager serve"})
        return False
    bounds = type("Bounded", (BoundedHttp,), {"tally": tally})
    server.config.http_protocol_class = bounds
    server.config.ws_protocol_class = None
    return True


class _Limit(Exception):
    """A request is over a limit; the status says which kind."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds; `tally` is shared by all connections of a server."""

    tally = ConnectionTally()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: room is made for it at the cost of who has been unknown longest."""
        super().connection_made(transport)
        with contextlib.suppress(OSError, AttributeError):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._gone = asyncio.Event()
        self._in_headers = False
        self._is_over = False
        self._unparsed = self._header_bytes = self._chunks = 0
        self._due_in(HEADERS_WITHIN)
        self.tally.unknown[self] = None
        self.tally.open = len(self.connections)
        if self.tally.open > self.tally.at_most:
            next(iter(self.tally.unknown)).turn_away("too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, whatever was under way."""
        self._gone.set()
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self.tally.unknown.pop(self, None)
        self.tally.open = len(self.connections)
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()

    @property
    def is_known(self) -> bool:
        """Whether any request of this connection has shown who sends it."""
        return self not in self.tally.unknown

    def _is_shown(self) -> None:
        """A request has shown who sends it: the connection may go on after its answer."""
        self.tally.unknown.pop(self, None)
        cycle = self._running
        if cycle is not None and isinstance(cycle.transport, _Lingering):
            cycle.keep_alive = cycle.transport.keep_alive

    def turn_away(self, why: str) -> None:
        """Close it at once."""
        self.tally.unknown.pop(self, None)
        self.tally.turn_away(why, visitors.address_of(self.client), self.loop.time())
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes came: parsed as far as no limit is passed."""
        if self._is_over or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._deadline is None and not self._is_answering:
            self._due_in(HEADERS_WITHIN)
        try:
            self.parser.feed_data(data)
            self._unparsed = self._unparsed + len(data) if self._in_headers else 0
            if self._unparsed > HEADER_BYTES:
                raise _Limit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._wait_for_reader()
        except httptools.HttpParserUpgrade:
            return  # it is answered as if it had not asked for another protocol
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Limit) else HTTPStatus.BAD_REQUEST)
        except _Limit as limit:
            self._refuse(limit.status)

    @property
    def _is_answering(self) -> bool:
        """Whether a request is being answered, or waits to be."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_reader(self) -> None:
        """Read no more of a stranger's body until somebody asks for it, who saw the headers.

        Its answer ends the connection, unless it is known by then.
        """
        cycle = self.cycle
        if cycle is None or self._in_headers or not cycle.more_body or self.is_known:
            return
        self.flow.pause_reading()
        if not cycle.response_complete and not isinstance(cycle.transport, _Lingering):
            lingering: Any = _Lingering(self, keep_alive=cycle.keep_alive)
            cycle.transport = lingering
            cycle.keep_alive = False

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        scope: Any = self.scope
        visitors.tell(scope, self._is_shown)
        visitors.tell_gone(scope, self._gone)
        self._header_bytes = self._chunks = 0
        self._in_headers = True
        if not self._is_answering:
            self._due_in(HEADERS_WITHIN)

    def on_url(self, url: bytes) -> None:
        """A part of the request line came."""
        super().on_url(url)
        if len(self.url) > HEADER_BYTES:
            raise _Limit(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, or one behind a body in chunks."""
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if len(self.headers) > MOST_HEADERS or self._header_bytes > HEADER_BYTES:
            raise _Limit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """All headers came: the request is answered from here on, or waits for an earlier one."""
        if len(self.pipeline) >= MOST_PIPELINED:
            raise _Limit(HTTPStatus.TOO_MANY_REQUESTS)
        super().on_headers_complete()
        self._in_headers = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        self._due_in(BODY_WITHIN if cycle.more_body else None)
        super()._start_asgi_task(cycle, app)

    def on_chunk_header(self) -> None:
        """A chunk of the body begins."""
        self._chunks += 1
        if self._chunks > MOST_CHUNKS:
            raise _Limit(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """All of the request came: how long its answer takes is ours to say."""
        super().on_message_complete()
        cycle = self.cycle
        if cycle.response_complete:  # the last of a body that nobody read
            self._due_in(HEADERS_WITHIN)
            return
        self._due_in(None)

    def on_response_complete(self) -> None:
        """A request was answered."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._due_in(STALLED_AFTER)
        elif not self._is_over and not self.pipeline and self._is_unread:
            # Who is known may go on when the rest of it has come; uvicorn throws that away.
            self._due_in(BODY_WITHIN)

    @property
    def _is_unread(self) -> bool:
        """Whether the last request was answered before all of it came."""
        return bool(self.cycle.response_complete and self.cycle.more_body)

    def linger(self) -> None:
        """Read no more, and close when the client has had time to read its answer.

        Closed at once, with something unread, the answer would be lost on its way.
        """
        self._is_over = True
        self._unset_keepalive_if_required()
        self.flow.pause_reading()
        self._due_in(LINGER)

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        super().timeout_keep_alive_handler()
        self._due_in(STALLED_AFTER)

    def eof_received(self) -> None:
        """The client sends no more, and the transport closes when it has taken all."""
        self._due_in(STALLED_AFTER)

    def shutdown(self) -> None:
        """The server ends."""
        super().shutdown()
        if self.transport.is_closing():
            self._due_in(STALLED_AFTER)

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        super().pause_writing()
        self._look_at_writing(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has taken what there was."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def _look_at_writing(self, left: int) -> None:
        """Look again later whether anything of what is left was taken. Bytes."""
        self._stall = self.loop.call_later(STALLED_AFTER, self._has_stalled, left)

    def _has_stalled(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._look_at_writing(left)
        elif left:
            self.turn_away("answer not taken")

    def _due_in(self, seconds: float | None) -> None:
        """From now on so long until the connection ends, unless the next step comes.

        More bytes of the same step do not make it longer. None: no limit.
        """
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        if self._is_over or self.transport.is_closing():
            self.transport.abort()
        elif self.flow.read_paused and self.is_known and self._is_answering:
            self._due_in(BODY_WITHIN)  # it is we who do not read
        else:
            self.turn_away("too slow")

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a status alone, unless another answer comes first, and read no more."""
        self.tally.turn_away(status.phrase, visitors.address_of(self.client), self.loop.time())
        cycle, is_answering = self.cycle, self._is_answering
        is_begun = is_answering and (self._in_headers or cycle.response_started)
        if not self.pipeline and not is_begun:
            self.transport.write(STATUS_LINE[status] + _NOTHING_MORE)
        self.pipeline.clear()
        if is_answering and not self._in_headers:
            cycle.disconnected = True
            cycle.message_event.set()
        self.linger()


class _Lingering:
    """A transport as a request's answer sees it: closed, it lingers."""

    def __init__(self, protocol: BoundedHttp, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._protocol = protocol

    def close(self) -> None:
        """The answer is written. Whoever was unknown may have more to send."""
        if self._protocol.cycle.more_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

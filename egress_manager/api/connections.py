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
from typing import Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

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
#: A client that takes nothing of its answer for this long is gone. Seconds.
STALLED_AFTER: Final = 60.0

#: The kernel takes so much of what a client sends before we read it. Bytes.
RECEIVE_BUFFER: Final = 64 * 1024
#: Headers of one request: bytes, with the request line, and how many.
HEADER_BYTES: Final = 16 * 1024
MOST_HEADERS: Final = 100
#: Chunks of one body. LiveKit says how long its bodies are, and sends none.
MOST_CHUNKS: Final = 1024
#: Requests of one connection that wait for the answer of an earlier one.
MOST_PIPELINED: Final = 8
#: What is turned away is logged once in this time. Seconds.
LOG_EVERY: Final = 60.0


@dataclass(slots=True)
class ConnectionTally:
    """The connections of this process: how many are open and may be, and what was turned away."""

    at_most: int = 4096
    open: int = 0
    turned_away: int = 0
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


_NOTHING_MORE: Final = b"content-length: 0\r\nconnection: close\r\n\r\n"


def most_connections(wanted: int) -> int:
    """So many as wanted, but no more than a quarter of the descriptors: calls need the others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard // 4)


class _Limit(Exception):
    """A request is over a limit; the status says which kind."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


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


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with bounds; `tally` is shared by all connections of a server."""

    tally = ConnectionTally()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: room is made for it at the cost of who has been unknown longest."""
        super().connection_made(transport)
        with contextlib.suppress(OSError, AttributeError):
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.since = self.loop.time()
        self._is_known = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._header_bytes = self._chunks = 0
        self._are_headers_complete = self._is_over = False
        self._due_in(HEADERS_WITHIN)
        self.tally.open = len(self.connections)
        if self.tally.open > self.tally.at_most:
            self._make_room()

    @property
    def is_known(self) -> bool:
        """Whether any request of this connection has shown who sends it."""
        if self.scope is not None and visitors.is_known(self.scope):
            self._is_known = True
        return self._is_known

    def _make_room(self) -> None:
        others = [each for each in self.connections if isinstance(each, BoundedHttp)]
        unknown = [each for each in others if not each.is_known and not each.is_closing]
        oldest = min(unknown, key=lambda each: each.since, default=self)
        oldest.turn_away("too many connections")

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is read of it."""
        return bool(self.transport.is_closing())

    def turn_away(self, why: str) -> None:
        """Close it at once."""
        self.tally.turn_away(why, visitors.address_of(self.client), self.loop.time())
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self.tally.open = len(self.connections)
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came: parsed as far as no limit is passed."""
        if self.is_closing or self._is_over:
            return
        self._unset_keepalive_if_required()
        if not self._are_headers_complete:
            self._header_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if not self._are_headers_complete and self._header_bytes > HEADER_BYTES:
                raise _Limit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._wait_for_reader()
        except httptools.HttpParserUpgrade:
            return  # it is answered as if it had not asked for another protocol
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _Limit) else HTTPStatus.BAD_REQUEST)
        except _Limit as limit:
            self._refuse(limit.status)

    def _wait_for_reader(self) -> None:
        """Read no more of a body until somebody asks for it, who has looked at the headers."""
        cycle = self.cycle
        if self._are_headers_complete and cycle.more_body and not self.is_known:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._chunks = 0
        self._are_headers_complete = False
        self._due_in(HEADERS_WITHIN)

    def on_url(self, url: bytes) -> None:
        """A part of the request line came."""
        super().on_url(url)
        if len(self.url) > HEADER_BYTES:
            raise _Limit(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            raise _Limit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """All headers came: the request is answered from here on, or waits for an earlier one."""
        if len(self.pipeline) >= MOST_PIPELINED:
            raise _Limit(HTTPStatus.TOO_MANY_REQUESTS)
        self._are_headers_complete = True
        self._due_in(BODY_WITHIN)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """A chunk of the body begins."""
        self._chunks += 1
        if self._chunks > MOST_CHUNKS:
            raise _Limit(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """All of the request came: how long its answer takes is ours to say."""
        super().on_message_complete()
        self._header_bytes = 0
        self._due_in(None)

    def on_response_complete(self) -> None:
        """A request was answered; if its body has not come, the connection ends."""
        super().on_response_complete()
        if not self.is_closing and not self.pipeline and self.cycle.more_body:
            self._linger()

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        super().pause_writing()
        self._stall = self.loop.call_later(STALLED_AFTER, self.turn_away, "answer not taken")

    def resume_writing(self) -> None:
        """The client has taken some."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()

    def _linger(self) -> None:
        """Read no more, and close when the client has had time to read its answer.

        Closed at once, with something unread, the answer would be lost on its way.
        """
        self._is_over = True
        self._unset_keepalive_if_required()
        self.flow.pause_reading()
        if self.cycle is not None:
            self.cycle.body.clear()
        self._due_in(LINGER)

    def _due_in(self, seconds: float | None) -> None:
        """From now on so long until the connection ends, unless more has come; None: no limit."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        if self._is_over:
            self.transport.abort()
        elif not self.is_closing:
            self.turn_away("too slow")

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a status alone, unless another answer was begun, and read no more."""
        self.tally.turn_away(status.phrase, visitors.address_of(self.client), self.loop.time())
        last = self.cycle
        is_answered = last is None or last.response_complete
        if self._are_headers_complete:
            may_answer = last is not None and not last.response_started
        else:
            may_answer = is_answered
        if may_answer:
            self.transport.write(STATUS_LINE[status] + _NOTHING_MORE)
        if last is not None and not is_answered:
            last.disconnected = True
            last.message_event.set()
        self.pipeline.clear()
        self._linger()

"""Requests and their answers over UDP: what got lost is sent again (RFC 3261, chapter 17).

An endpoint is one telephone's: it keeps its transactions as long as it lives.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from lab.ports import LOOPBACK, free_port
from lab.sip.messages import Malformed, Request, Response, answer, parse

Place = tuple[str, int]
#: How many times T1 is waited for an answer (timers B, F and H).
_PATIENCE = 64


class NoAnswer(TimeoutError):
    """Nobody answered, although the message was sent again and again."""


@dataclass(frozen=True, slots=True)
class Timers:
    """After how many seconds a message is sent again: first `t1`, then doubled up to `t2`."""

    t1: float = 0.5
    t2: float = 4.0


class Endpoint(asyncio.DatagramProtocol):
    """A UDP socket that speaks SIP; `hear` is told of every new request, `confirm` of every ACK.

    `loses` is asked of each datagram that leaves whether it gets lost on its way.
    """

    def __init__(
        self,
        hear: Callable[["Served"], None],
        confirm: Callable[[Request], None],
        *,
        timers: Timers | None = None,
        loses: Callable[[bytes], bool] | None = None,
    ) -> None:
        self.place: Place = (LOOPBACK, free_port())
        self.timers = timers or Timers()
        self._hear = hear
        self._confirm = confirm
        self._loses = loses or (lambda _: False)
        self._asked: dict[tuple[str, str], Asked] = {}
        self._served: dict[tuple[str, str], Served] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=self.place, family=socket.AF_INET
        )

    async def close(self) -> None:
        """Send nothing any more, again or anew."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    def ask(self, request: Request, place: Place) -> "Asked":
        """Send a request; its answers come from what is returned."""
        asked = Asked(self, request, place)
        self._asked[request.branch, request.method] = asked
        self.do(asked.repeat())
        return asked

    def send(self, datagram: bytes, place: Place) -> None:
        if self._transport is not None and not self._loses(datagram):
            self._transport.sendto(datagram, place)

    def do(self, deed: Coroutine[Any, Any, None]) -> None:
        """Do something beside, until the endpoint is closed at the latest."""
        task = asyncio.create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def datagram_received(self, data: bytes, addr: Place) -> None:
        with contextlib.suppress(Malformed):  # what nobody can read nobody can answer
            message = parse(data)
            if isinstance(message, Response):
                self._answered(message)
            else:
                self._requested(message, addr)

    def error_received(self, exc: Exception) -> None:
        """The other side's socket is closed: that nobody answers is noticed all the same."""

    def _answered(self, response: Response) -> None:
        asked = self._asked.get((response.branch, response.cseq[1]))
        if asked is not None:
            asked.take(response)

    def _requested(self, request: Request, source: Place) -> None:
        method = "INVITE" if request.method == "ACK" else request.method
        before = self._served.get((request.branch, method))
        if request.method == "ACK":
            if before is not None:
                before.is_confirmed.set()
            self._confirm(request)
        elif before is not None:
            before.again()
        else:
            served = Served(self, request, source)
            self._served[request.branch, method] = served
            self._hear(served)


class Asked:
    """A request of ours (client transaction)."""

    def __init__(self, endpoint: Endpoint, request: Request, place: Place) -> None:
        self.request = request
        self.place = place
        self._endpoint = endpoint
        self._answers: asyncio.Queue[Response | None] = asyncio.Queue()
        self._has_answer = asyncio.Event()
        self._is_over = asyncio.Event()
        self._ack: tuple[bytes, Place] | None = None

    async def answer(self, timeout: float) -> Response:
        """The next answer; of the final ones only the first. Raises NoAnswer."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._answers.get()
        except TimeoutError:
            response = None
        if response is None:
            raise NoAnswer(f"no answer to {self.request.method} from {self.place}")
        return response

    async def final(self, timeout: float) -> Response:
        """The final answer, each answer on the way to it at most `timeout` seconds apart."""
        while not (response := await self.answer(timeout)).is_final:
            pass
        return response

    def confirm(self, ack: Request, place: Place) -> None:
        """Answer a success of INVITE with ACK, now and whenever it is repeated (13.2.2.4)."""
        self._ack = (ack.to_bytes(), place)
        self._endpoint.send(*self._ack)

    def take(self, response: Response) -> None:
        """An answer came."""
        self._has_answer.set()
        if response.is_final and self.request.method == "INVITE" and not response.is_success:
            self._ack = (self._refusal_seen(response).to_bytes(), self.place)
            self._endpoint.send(*self._ack)
        elif response.is_success and self._ack is not None:
            self._endpoint.send(*self._ack)
        if not self._is_over.is_set():
            self._answers.put_nowait(response)
        if response.is_final:
            self._is_over.set()

    async def repeat(self) -> None:
        """Send the request until it is answered: INVITE by anything, others finally."""
        is_invite = self.request.method == "INVITE"
        enough = self._has_answer if is_invite else self._is_over
        timers = self._endpoint.timers
        longest = _PATIENCE * timers.t1 if is_invite else timers.t2
        if not await _repeat(self._send, enough, timers, longest):
            self._answers.put_nowait(None)

    def _send(self) -> None:
        self._endpoint.send(self.request.to_bytes(), self.place)

    def _refusal_seen(self, response: Response) -> Request:
        """The ACK of an INVITE that did not succeed belongs to its transaction (17.1.1.3)."""
        request = self.request
        headers = [("Via", request.all("Via")[0]), ("Max-Forwards", "70")]
        headers += [("From", request.get("From")), ("To", response.get("To"))]
        headers += [("Call-ID", request.get("Call-ID")), ("CSeq", f"{request.cseq[0]} ACK")]
        headers += [("Route", route) for route in request.all("Route")]
        return Request(tuple(headers), b"", "ACK", request.uri)


class Served:
    """A request of somebody else (server transaction)."""

    def __init__(self, endpoint: Endpoint, request: Request, source: Place) -> None:
        self.request = request
        #: Set by the ACK of a final answer to INVITE.
        self.is_confirmed = asyncio.Event()
        self._endpoint = endpoint
        self._source = source
        self._last: Response | None = None

    @property
    def is_answered(self) -> bool:
        """Whether a final answer was given."""
        return self._last is not None and self._last.is_final

    def answer(self, status: int, reason: str, **more: Any) -> None:
        """Answer; what else an answer may have: see `lab.sip.messages.answer`."""
        self._last = answer(self.request, status, reason, **more)
        if self._last.is_final and self.request.method == "INVITE":
            self._endpoint.do(self._until_confirmed())
        else:
            self.again()

    def again(self) -> None:
        """The request was repeated: so is the answer."""
        if self._last is not None:
            self._endpoint.send(self._last.to_bytes(), self._source)

    async def _until_confirmed(self) -> None:
        timers = self._endpoint.timers
        await _repeat(self.again, self.is_confirmed, timers, timers.t2)


async def _repeat(
    send: Callable[[], None], enough: asyncio.Event, timers: Timers, longest: float
) -> bool:
    """Send at growing intervals until it is enough; whether it was, before patience ended."""
    wait, waited = timers.t1, 0.0
    while waited < _PATIENCE * timers.t1:
        send()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await enough.wait()
            return True
        waited += wait
        wait = min(2 * wait, longest)
    return False

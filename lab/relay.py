"""A UDP relay on loopback that loses, delays, doubles and reorders what passes.

Only what goes from the server to the client is treated so, and only RTP: DTLS, STUN and
RTCP pass unharmed, so a connection stays up however bad its sound gets.
"""

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from lab.ports import LOOPBACK

#: First byte of RTP and RTCP, and the second bytes that mean RTCP (RFC 7983, RFC 5761).
_MEDIA = range(128, 192)
_RTCP = range(192, 224)
_RTP_HEADER_BYTES = 12
_MAX_DATAGRAM_BYTES = 65_535
_BUFFER_BYTES = 1 << 20


def is_rtp(datagram: bytes) -> bool:
    """Whether it is a packet of sound, as far as one can tell from outside."""
    return len(datagram) >= _RTP_HEADER_BYTES and datagram[0] in _MEDIA and datagram[1] not in _RTCP


@dataclass(slots=True)
class Weather:
    """What happens to packets of sound on their way to the client.

    Fractions are chances from 0 to 1; the same seed makes the same choices in the same order.
    """

    lost: float = 0.0
    doubled: float = 0.0
    reordered: float = 0.0
    #: By how many seconds a reordered packet is held back.
    held_back: float = 0.03
    #: By how many seconds every packet is delayed.
    delay: float = 0.0
    seed: int = 1
    _chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def delays(self) -> list[float]:
        """After how many seconds the next packet arrives, once for each time that it does."""
        # Always three throws, so that one setting does not change the outcome of another.
        lost, doubled, reordered = (self._chance.random() for _ in range(3))
        if lost < self.lost:
            return []
        delay = self.delay + (self.held_back if reordered < self.reordered else 0.0)
        return [delay, delay] if doubled < self.doubled else [delay]


class Relay:
    """Takes datagrams of any number of clients at `port` to one server, and brings the answers.

    `counts` tells how many datagrams went `up`, `down`, and how many of RTP were `lost`,
    `doubled`, or `cut` with all the rest.
    """

    def __init__(self, port: int, server: tuple[str, int]) -> None:
        self.port = port
        self.server = server
        self.weather = Weather()
        self.is_cut = False
        self.counts: Counter[str] = Counter()
        self._paths: dict[tuple[str, int], socket.socket] = {}
        self._socket: socket.socket | None = None

    def open(self) -> Self:
        """Begin to relay on the running event loop."""
        self._socket = _datagram_socket()
        self._socket.bind((LOOPBACK, self.port))
        _watch(self._socket, self._take_up)
        return self

    def close(self) -> None:
        """Forget all clients and free the port."""
        for path in self._paths.values():
            _forget(path)
        self._paths.clear()
        if self._socket is not None:
            _forget(self._socket)
            self._socket = None

    def _take_up(self) -> None:
        assert self._socket is not None
        for datagram, client in _received(self._socket):
            path = self._paths.get(client) or self._path(client)
            if self.is_cut:
                self.counts["cut"] += 1
                continue
            self.counts["up"] += 1
            with contextlib.suppress(OSError):
                path.send(datagram)

    def _path(self, client: tuple[str, int]) -> socket.socket:
        """The socket that stands for one client before the server."""
        path = self._paths[client] = _datagram_socket()
        path.connect(self.server)
        _watch(path, lambda: self._bring_down(path, client))
        return path

    def _bring_down(self, path: socket.socket, client: tuple[str, int]) -> None:
        for datagram, _ in _received(path):
            if self.is_cut:
                self.counts["cut"] += 1
            elif is_rtp(datagram):
                self._expose(datagram, client)
            else:
                self._deliver(datagram, client)

    def _expose(self, datagram: bytes, client: tuple[str, int]) -> None:
        """Let the weather have its way with a packet of sound."""
        delays = self.weather.delays()
        self.counts["rtp"] += 1
        self.counts["lost"] += not delays
        self.counts["doubled"] += len(delays) > 1
        for delay in delays:
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, self._deliver, datagram, client)
            else:
                self._deliver(datagram, client)

    def _deliver(self, datagram: bytes, client: tuple[str, int]) -> None:
        # A delayed packet may come due after the relay was closed or cut.
        if self._socket is None or self.is_cut:
            return
        self.counts["down"] += 1
        with contextlib.suppress(OSError):
            self._socket.sendto(datagram, client)


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    return made


def _received(source: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """All that waits in a socket; a refusal (nobody listens there) counts as nothing."""
    datagrams = []
    with contextlib.suppress(OSError):
        while True:
            datagrams.append(source.recvfrom(_MAX_DATAGRAM_BYTES))
    return datagrams


def _watch(source: socket.socket, react: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_reader(source, react)


def _forget(source: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(source)
    source.close()

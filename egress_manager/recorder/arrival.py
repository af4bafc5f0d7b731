"""When a datagram came: the kernel knows, however long it waited for us to read it.

A process that stands still, or is busy, reads late. What comes meanwhile waits in the socket, and
each datagram keeps the moment at which it came: Linux tells that of the one that was read last
(socket(7), SIOCGSTAMP).
"""

import contextlib
import fcntl
import socket
import struct
import sys
import time
from typing import Any, Final

from egress_manager.recorder.clock import now

#: SIOCGSTAMPNS of Linux's asm-generic/sockios.h: a timespec of two longs.
_ASK: Final = 0x8907
_TIMESPEC: Final = struct.Struct("@ll")

#: A datagram that seems to be older, or not to have come yet, met a clock that was set. Seconds.
OLDEST: Final = 30.0

#: So much may wait in a socket: ten to thirty seconds of a call, by what a packet takes. Bytes.
ROOM: Final = 2 * 2**20
#: SO_RCVBUFFORCE, which the socket module does not name. Without the right to it, SO_RCVBUF gives
#: as much as net.core.rmem_max allows.
_FORCE: Final = 33


class Arrivals:
    """Of one socket (or None: one that can't be asked): when what was read last had come."""

    def __init__(self, sock: Any | None) -> None:
        self._asked = bytearray(_TIMESPEC.size)
        self._fd = -1 if sock is None or sys.platform != "linux" else int(sock.fileno())
        if self._fd >= 0:
            self.last()  # the kernel notes times from the first question on
            _give_room(self._fd)

    def last(self) -> float:
        """Seconds since 1970, by this process's clock; the present where nobody knows."""
        moment = now()
        if self._fd < 0:
            return moment
        try:
            fcntl.ioctl(self._fd, _ASK, self._asked)
        except OSError:  # nothing was read yet, or the socket is closed
            return moment
        seconds, nanoseconds = _TIMESPEC.unpack(self._asked)
        return arrived(moment, time.time() - seconds - nanoseconds / 1e9)


def arrived(read_at: float, age: float) -> float:
    """When something had come that was read at a time, and was so old then. Seconds."""
    return read_at - age if 0 < age < OLDEST else read_at


def _give_room(fd: int) -> None:
    with socket.socket(fileno=fd) as sock:
        try:
            for option in (_FORCE, socket.SO_RCVBUF):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, option, ROOM)
                    return
        finally:
            sock.detach()  # it is not ours to close

"""Ports of 127.0.0.1 on which nobody listens."""

import random
import socket

LOOPBACK = "127.0.0.1"
#: Below the kernel's ephemeral range (from 32768 on Linux): no outgoing connection of
#: anybody can take a server's port while that server restarts.
_RANGE = range(12_000, 32_000)
_ATTEMPTS = 200
_given: set[int] = set()


def free_port() -> int:
    """A port free for both TCP and UDP, and not given out by this process before."""
    # Not seeded: two processes that start together must not walk the same ports.
    chance = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = chance.choice(_RANGE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no free port found on {LOOPBACK} in {_ATTEMPTS} attempts")


def _is_free(port: int) -> bool:
    return _can_bind(port, socket.SOCK_STREAM) and _can_bind(port, socket.SOCK_DGRAM)


def _can_bind(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as attempt:
        if kind is socket.SOCK_STREAM:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

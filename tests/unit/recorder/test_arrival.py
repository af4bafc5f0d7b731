"""When a datagram came, whenever it is read."""

import socket
import sys
from collections.abc import Iterator

import pytest

from egress_manager.recorder.arrival import ROOM, Arrivals, arrived
from egress_manager.recorder.clock import now

#: What is read later is read at least so much later. Seconds.
LATER = 0.1
#: The two clocks are not read at the very same moment. Seconds.
CLOSE = 0.01

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        yield sock


@pytest.fixture
def theirs(ours: socket.socket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(ours.getsockname())
        yield sock


@on_linux
def test_datagrams_that_waited_are_as_old_as_they_are(
    ours: socket.socket, theirs: socket.socket
) -> None:
    arrivals, sent = Arrivals(ours), []
    _until_stamped(arrivals, ours, theirs)
    for word in (b"one", b"two", b"three"):
        before = now()
        theirs.send(word)
        sent.append((word, before, now()))
        while now() < before + LATER:
            pass
    for word, before, after in sent:
        assert ours.recv(100) == word
        assert before - CLOSE <= arrivals.last() <= after + CLOSE


def _until_stamped(arrivals: Arrivals, ours: socket.socket, theirs: socket.socket) -> None:
    """Linux begins to stamp datagrams some time after the first socket asked for it."""
    for _ in range(100):
        before = now()
        theirs.send(b"probe")
        while now() < before + LATER:
            pass
        ours.recv(100)
        if arrivals.last() < before + LATER / 2:
            return
    raise TimeoutError("the kernel stamps no datagrams")


@on_linux
def test_half_a_minute_of_a_call_finds_room(ours: socket.socket, theirs: socket.socket) -> None:
    Arrivals(ours)
    room = ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    with open("/proc/sys/net/core/rmem_max") as file:
        assert room >= min(ROOM, int(file.read()))
    theirs.send(b"it is still open, and ours")
    assert ours.recv(100) == b"it is still open, and ours"


def test_where_nobody_knows_it_is_the_present(ours: socket.socket) -> None:
    """Before anything was read, of no socket (as behind a TURN server), and of a closed one."""
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent, nobody, gone = Arrivals(ours), Arrivals(None), Arrivals(closed)
    closed.close()
    for arrivals in (silent, nobody, gone):
        before = now()
        assert before <= arrivals.last() <= now()


@pytest.mark.parametrize(("age", "came_at"), [(2.5, 997.5), (3600.0, 1000.0), (-3600.0, 1000.0)])
def test_a_clock_that_was_set_makes_nothing_old(age: float, came_at: float) -> None:
    assert arrived(1000.0, age) == came_at

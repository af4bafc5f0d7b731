"""The contract with aiortc and aioice: what `peer.py` relies on beyond their public interface.

Where one of these fails after an update, `Peer._tap` or `Peer._until_nominated` has lost its
footing; nothing else of ours uses anything private.
"""

import asyncio
import struct
import sys
import time
from importlib import metadata

import aioice
import pytest
import uvloop
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.sdp import candidate_to_sdp

from egress_manager.domain.quotas import DATAGRAMS
from egress_manager.errors import CaptureFailed
from egress_manager.recorder import peer as peer_module
from egress_manager.recorder.arrival import Arrivals
from egress_manager.recorder.peer import Peer
from egress_manager.recorder.sdp import Local, Offer

TIMEOUT = 10.0
#: Longer than anything takes on its way. Seconds.
HELD_UP = 0.6
RTP = struct.pack("!BBHII", 0x80, 111, 7, 960, 42) + b"\xf8\xff\xfe"
OVER_QUOTA = struct.pack("!BBHII", 0x80, 111, 6, 0, 42) + b"\xf8\xff\xfe"
REPORT = struct.pack("!BBH6I", 0x80, 200, 6, 42, 0, 0, 960, 1, 3)


class Server:
    """The other end, as LiveKit is one: it chooses the addresses and waits for our handshake."""

    def __init__(self) -> None:
        self.gatherer = RTCIceGatherer(iceServers=[])
        self.ice = RTCIceTransport(self.gatherer)
        self.ice._connection.ice_controlling = True
        self.dtls = RTCDtlsTransport(self.ice, [RTCCertificate.generateCertificate()])

    async def offer(self) -> Offer:
        await self.gatherer.gather()
        parameters = self.gatherer.getLocalParameters()
        prints = self.dtls.getLocalParameters().fingerprints
        sha256 = next(p for p in prints if p.algorithm == "sha-256")
        session = (
            f"fingerprint:{sha256.algorithm} {sha256.value}",
            f"ice-ufrag:{parameters.usernameFragment}",
            f"ice-pwd:{parameters.password}",
        )
        return Offer((), session)

    def candidates(self) -> list[str]:
        return ["candidate:" + candidate_to_sdp(c) for c in self.gatherer.getLocalCandidates()]

    async def accept(self, local: Local) -> None:
        algorithm, _, value = local.fingerprint.partition(" ")
        await self.ice.start(RTCIceParameters(local.ufrag, local.password))
        self.dtls._set_role("server")
        await self.dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm, value)]))

    async def close(self) -> None:
        await self.dtls.stop()
        await self.ice.stop()


class Heard:
    """What a peer has told."""

    def __init__(self) -> None:
        self.packets: list[tuple[bytes, float]] = []
        self.reports: list[bytes] = []
        self.lost = 0
        self.is_open = True
        self.changed = asyncio.Event()

    def peer(self) -> Peer:
        return Peer(
            [],
            admits=lambda data, moment: self.is_open,
            on_packet=lambda data, moment: self._note(self.packets.append((data, moment))),
            on_report=lambda data, moment: self._note(self.reports.append(data)),
            on_data=lambda data: None,
            on_lost=lambda: self._note(setattr(self, "lost", self.lost + 1)),
        )

    def _note(self, _: None) -> None:
        self.changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def connected(server: Server, peer: Peer) -> None:
    local = await peer.describe(await server.offer())
    for candidate in server.candidates():
        await peer.add_candidate(candidate)
    for text in local.candidates:
        await server.ice._connection.add_remote_candidate(aioice.Candidate.from_sdp(text))
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(server.accept(local), peer.connect())


async def packets_reports_and_the_end() -> None:
    heard, server = Heard(), Server()
    peer = heard.peer()
    try:
        await connected(server, peer)
        heard.is_open = False
        await server.dtls._send_rtp(OVER_QUOTA)
        await server.dtls._send_rtp(REPORT)
        await heard.until(lambda: bool(heard.reports))
        heard.is_open = True
        await server.dtls._send_rtp(RTP)
        await heard.until(lambda: bool(heard.packets))
        peer.forget(42)
        peer.forget(43)  # never heard of
        await server.close()
        await heard.until(lambda: heard.lost > 0)
    finally:
        await peer.close()
        await peer.close()
        await server.close()

    [(packet, moment)] = heard.packets
    assert packet == RTP
    assert heard.reports == [REPORT]
    assert peer.heard_at >= moment


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_packets_reports_and_the_end_of_a_connection_are_told(loop):
    """Over sockets and real SRTP, on both kinds of event loop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(packets_reports_and_the_end())


async def a_process_that_was_held_up() -> None:
    heard, server = Heard(), Server()
    peer = heard.peer()
    try:
        await connected(server, peer)
        await server.dtls._send_rtp(RTP)
        time.sleep(HELD_UP)  # noqa: ASYNC251 (nothing else goes on, as in a process that is stopped)
        await heard.until(lambda: bool(heard.packets))
        [(_, arrived)], read_at = heard.packets, peer.heard_at
        read_until = peer.read_until(read_at)
    finally:
        await peer.close()
        await server.close()

    assert read_at - arrived >= HELD_UP / 2
    assert read_until == pytest.approx(arrived, abs=0.01)
    assert peer.read_until(read_at + 2 * HELD_UP) == read_at + 2 * HELD_UP


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a datagram came")
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_reads_late_knows_that_more_may_wait(loop):
    """What came by then was read; after a moment without anything to read, all was."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(a_process_that_was_held_up())


async def test_a_connection_that_comes_up_as_it_is_closed_leaves_nothing_running():
    """ICE has just succeeded, and has not yet begun to ask for consent."""
    server, peer = Server(), Heard().peer()
    connecting = asyncio.create_task(connected(server, peer))
    try:
        async with asyncio.timeout(TIMEOUT):
            while not peer._ice._connection._nominated:
                await asyncio.sleep(0)
        await peer.close()
        asking = peer._ice._connection._query_consent_task
        is_asking = asking is not None and not asking.done()
    finally:
        connecting.cancel()
        await asyncio.wait([connecting])
        await peer.close()
        await server.close()

    assert not is_asking


async def test_a_flood_of_data_is_read_no_faster_than_its_quota():
    """What is not read is sent again, by SCTP; what brings ICE up is read whatever comes."""
    peer, passed = Heard().peer(), []
    read = peer._tapped(lambda data, addr: passed.append(data[0]), Arrivals(None))
    for _ in range(3 * DATAGRAMS):
        read(b"\x17data", ())
        read(b"\x00stun", ())

    assert DATAGRAMS <= passed.count(0x17) < 2 * DATAGRAMS
    assert passed.count(0x00) == 3 * DATAGRAMS


def test_the_version_is_the_one_that_this_was_read_in():
    """Another one needs `peer.py` read again beside its source, then this number changed."""
    assert metadata.version("aiortc") == "1.16.0"


async def test_the_private_names_are_there():
    """Each of them by the name and in the shape that `peer.py` uses."""
    peer = Heard().peer()
    connection = peer._ice._connection
    names = ("_protocols", "_nominated", "_check_list", "build_request", "remote_password")

    assert all(hasattr(connection, name) for name in names)
    assert peer._dtls._rx_srtp is None
    assert callable(peer._dtls._set_role)
    assert callable(peer._dtls._send_rtp)
    assert hasattr(aioice.ice.CandidatePair.State, "SUCCEEDED")
    assert hasattr(aioice.ice.StunProtocol, "send_stun")
    await peer.close()


async def test_datagrams_that_are_nobodys_harm_nothing():
    """Empty ones, short ones, and RTP before there are keys."""
    heard, server = Heard(), Server()
    peer = heard.peer()
    await peer.describe(await server.offer())
    for protocol in peer._ice._connection._protocols:
        for data in (b"", b"\x80", RTP, REPORT, b"\xff\xff", bytes(2000)):
            protocol.datagram_received(data, ("192.0.2.1", 9))
    await peer.close()
    await server.close()

    assert (heard.packets, heard.reports) == ([], [])


async def test_a_server_that_can_not_be_reached_is_a_failure_in_time(monkeypatch):
    """And nothing is left running behind it."""
    monkeypatch.setattr(peer_module, "CONNECT_TIMEOUT", 0.3)
    server, peer = Server(), Heard().peer()
    await peer.describe(await server.offer())
    await peer.add_candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host")

    with pytest.raises(CaptureFailed, match="firewall"):
        await peer.connect()
    await peer.close()
    await server.close()


async def test_connecting_to_nothing_is_a_failure():
    """An offer comes first."""
    peer = Heard().peer()

    with pytest.raises(CaptureFailed, match="offered nothing"):
        await peer.connect()
    await peer.close()

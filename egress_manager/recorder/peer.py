"""The media connection: ICE, DTLS and SRTP by aiortc, and the packets as they come off the wire.

Only aiortc's transports are used (the ORTC part of its public interface): no transceiver, no
receiver, so none of its jitter buffers, decoder threads or report tasks runs.

The one private hook stands in `_tap`: aioice hands every datagram that is not STUN to
`Connection.data_received`, which queues it for the DTLS transport. Ours takes RTP and RTCP from
there at once, through the DTLS transport's SRTP session, and leaves DTLS to the queue. LiveKit
reuses m-lines with new SSRCs, of which a receiver would never hear; and a queue, a task switch and
a coroutine a packet cost a third more. The version of aiortc is pinned, and
`tests/unit/recorder/test_peer.py` fails when the hook's footing changes.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceServer,
    RTCIceTransport,
    RTCSctpTransport,
)
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.sdp import Local, Offer

#: How long ICE and DTLS may take together. Seconds.
CONNECT_TIMEOUT: Final = 15.0

_certificate: RTCCertificate | None = None


def certificate() -> RTCCertificate:
    """This process's DTLS certificate: made once, since making one takes milliseconds."""
    global _certificate
    if _certificate is None:
        _certificate = RTCCertificate.generateCertificate()
    return _certificate


class Peer:
    """One receiving connection to the server.

    `on_packet` gets each RTP packet, decrypted; `on_report` each RTCP compound packet; `on_data`
    each data message. They are called from the event loop, must be quick and must not raise.
    """

    def __init__(
        self,
        ice_servers: Sequence[RTCIceServer],
        *,
        on_packet: Callable[[bytes], None],
        on_report: Callable[[bytes], None],
        on_data: Callable[[bytes], None],
    ) -> None:
        self._gatherer = RTCIceGatherer(iceServers=list(ice_servers))
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [certificate()])
        self._sctp = RTCSctpTransport(self._dtls)
        self._on_packet = on_packet
        self._on_report = on_report
        self._on_data = on_data
        self._remote: tuple[RTCIceParameters, RTCDtlsParameters] | None = None
        self._sending: set[asyncio.Future[None]] = set()
        self._tap()
        self._sctp.on("datachannel", self._listen)

    async def describe(self, offer: Offer) -> Local:
        """What to answer to an offer; the first one's ICE and DTLS parameters are remembered."""
        await self._gatherer.gather()
        if self._remote is None:
            self._remote = _remote_parameters(offer)
        ours = self._gatherer.getLocalParameters()
        print_of = next(
            f for f in self._dtls.getLocalParameters().fingerprints if f.algorithm == "sha-256"
        )
        return Local(
            ufrag=ours.usernameFragment,
            password=ours.password,
            fingerprint=f"{print_of.algorithm} {print_of.value}",
            candidates=[candidate_to_sdp(c) for c in self._gatherer.getLocalCandidates()],
        )

    async def add_candidate(self, candidate: str) -> None:
        """One more address of the server (`candidate:…` of its trickle messages)."""
        await self._ice.addRemoteCandidate(candidate_from_sdp(candidate.removeprefix("candidate:")))

    async def connect(self) -> None:
        """Bring up ICE, DTLS and the data channel. Raises `CaptureFailed` when they don't come."""
        if self._remote is None:
            raise CaptureFailed("LiveKit has offered nothing to connect to")
        ice, dtls = self._remote
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._ice.start(ice)
                if self._ice.state != "completed":
                    raise CaptureFailed("no way to LiveKit's media ports: check the firewall (ICE)")
                self._dtls._set_role("client")
                await self._dtls.start(dtls)
                if self._dtls.state != "connected":
                    raise CaptureFailed("LiveKit's media connection can't be secured (DTLS)")
                await self._sctp.start(RTCSctpCapabilities(maxMessageSize=65536), 5000)
        except TimeoutError as error:
            raise CaptureFailed("LiveKit's media connection did not come up in time") from error

    @property
    def is_connected(self) -> bool:
        """Whether packets can flow."""
        return bool(self._dtls.state == "connected" and self._ice.state == "completed")

    def send_report(self, packet: bytes) -> None:
        """Send one RTCP packet; nothing happens where the connection is gone."""
        sending = asyncio.ensure_future(self._send(packet))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Close everything; harmless to repeat."""
        await self._sctp.stop()
        await self._dtls.stop()
        await self._ice.stop()

    async def _send(self, packet: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._dtls._send_rtp(packet)

    def _tap(self) -> None:
        """Take RTP and RTCP where aioice hands datagrams over (see the module's words)."""
        connection, dtls = self._ice._connection, self._dtls
        queued, on_packet, on_report = (
            connection.data_received,
            self._on_packet,
            self._on_report,
        )

        def data_received(data: bytes, component: int) -> None:
            if not 127 < data[0] < 192:  # RFC 7983: 128..191 is RTP or RTCP
                queued(data, component)
                return
            session = dtls._rx_srtp
            if session is None:
                return
            try:
                if 192 <= data[1] <= 223:  # RFC 5761, section 4: these are RTCP packet types
                    on_report(session.unprotect_rtcp(data))
                else:
                    on_packet(session.unprotect(data))
            except pylibsrtp.Error:
                return  # not from the server, or seen before: SRTP says it is not to be trusted

        connection.data_received = data_received

    def _listen(self, channel: object) -> None:
        channel.on("message", self._on_data)  # type: ignore[attr-defined]


def _remote_parameters(offer: Offer) -> tuple[RTCIceParameters, RTCDtlsParameters]:
    algorithm, _, value = offer.value("fingerprint").partition(" ")
    ice = RTCIceParameters(
        usernameFragment=offer.value("ice-ufrag"),
        password=offer.value("ice-pwd"),
        iceLite="ice-lite" in offer.session,
    )
    return ice, RTCDtlsParameters([RTCDtlsFingerprint(algorithm=algorithm, value=value)])

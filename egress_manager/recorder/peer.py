"""The media connection: ICE, DTLS and SRTP by aiortc, and the packets as they come off the wire.

Only aiortc's transports are used (the ORTC part of its public interface): no transceiver, no
receiver, so none of its jitter buffers, decoder threads or report tasks runs.

Two things are private, and stand in this module only:

- `_tap`: aioice tries to read every datagram as STUN, then queues it for the DTLS transport. Ours
  takes RTP and RTCP as they leave the socket, through the DTLS transport's SRTP session. LiveKit
  reuses m-lines with new SSRCs, of which a receiver would never hear; and an exception, a queue, a
  task switch and a coroutine a packet cost a third more.
- `_until_nominated`: LiveKit's ICE agent chooses an address when it is asked on one that works,
  else at its next look, up to 200 ms later. So it is asked until it has chosen.

The version of aiortc is pinned, and `tests/unit/recorder/test_peer.py` fails when the footing of
either changes.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

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

from egress_manager.domain.quotas import DATAGRAMS, DATAGRAMS_A_SECOND, Bucket
from egress_manager.errors import CaptureFailed
from egress_manager.recorder.arrival import Arrivals
from egress_manager.recorder.clock import now
from egress_manager.recorder.sdp import Local, Offer

#: How long ICE and DTLS may take together. Seconds.
CONNECT_TIMEOUT: Final = 15.0
#: How often to look whether the server has chosen an address; it is asked at every fourth look.
LOOK_EVERY: Final = 0.004
#: After so many looks there is no hurry any more.
HURRY: Final = 250
#: Who has read something so lately may have more to read; who reads late, for as long as it is
#: late. Seconds.
READING: Final = 0.25
#: How long the end of ICE's own work may be waited for. Seconds.
CLOSE_TIMEOUT: Final = 1.0

_certificate: RTCCertificate | None = None


def certificate() -> RTCCertificate:
    """This process's DTLS certificate: made once, since making one takes milliseconds."""
    global _certificate
    if _certificate is None:
        _certificate = RTCCertificate.generateCertificate()
    return _certificate


class Peer:
    """One receiving connection to the server.

    `heard_at` is when a datagram was read last, and `lag` how long before that it had come, in
    seconds: more than a moment where this process was held up. `on_packet` gets each RTP packet,
    decrypted, with the moment of its arrival, if `admits` had said so of it as it came; `on_report`
    each RTCP compound packet likewise; `on_data` each data message; `on_lost` is called when the
    connection, once up, is closed by the server or gone. They are called from the event loop and
    must be quick.
    """

    def __init__(
        self,
        ice_servers: Sequence[RTCIceServer],
        *,
        admits: Callable[[bytes, float], bool],
        on_packet: Callable[[bytes, float], None],
        on_report: Callable[[bytes, float], None],
        on_data: Callable[[object], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._gatherer = RTCIceGatherer(iceServers=list(ice_servers))
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [certificate()])
        self._sctp = RTCSctpTransport(self._dtls)
        self._admits = admits
        self._on_packet = on_packet
        self._datagrams = Bucket(DATAGRAMS_A_SECOND, DATAGRAMS)
        self._on_report = on_report
        self._on_data = on_data
        self._on_lost = on_lost
        self._remote: tuple[RTCIceParameters, RTCDtlsParameters] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Future[None]] = set()
        self.heard_at, self.lag = now(), 0.0
        self._sctp.on("datachannel", self._listen)
        self._dtls.on("statechange", self._state_changed)

    async def describe(self, offer: Offer) -> Local:
        """What to answer to an offer; the first one's ICE and DTLS parameters are remembered."""
        if self._remote is None:
            self._remote = _remote_parameters(offer)
            await self._gatherer.gather()
            self._tap()
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
                await self._until_nominated(ice)
                self._dtls._set_role("client")
                await self._dtls.start(dtls)
                if self._dtls.state != "connected":
                    raise CaptureFailed("LiveKit's media connection can't be secured (DTLS)")
                await self._sctp.start(RTCSctpCapabilities(maxMessageSize=65536), 5000)
        except TimeoutError as error:
            raise CaptureFailed("no way to LiveKit's media ports: check the firewall") from error

    def read_until(self, moment: float) -> float:
        """Everything that came by then was read; `moment` is now.

        Where datagrams are read late, more of them wait behind the last one. Those that come over
        TCP tell no time, and are never late.
        """
        is_reading = moment - self.heard_at < max(READING, self.lag)
        return moment - self.lag if is_reading else moment

    def send_report(self, packet: bytes) -> None:
        """Send one RTCP packet; nothing happens where the connection is gone."""
        sending = asyncio.ensure_future(self._send(packet))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def forget(self, ssrc: int) -> None:
        """This SSRC sends no more: let go of what SRTP keeps of it."""
        if self._dtls._rx_srtp is not None:
            with contextlib.suppress(pylibsrtp.Error):  # it never sent anything
                self._dtls._rx_srtp.remove_stream(ssrc)

    async def close(self) -> None:
        """Close everything; harmless to repeat."""
        await self._sctp.stop()
        await self._dtls.stop()
        await self._ice.stop()
        if self._checking is not None:
            await asyncio.wait([self._checking], timeout=CLOSE_TIMEOUT)
            # ICE that came up as it was being closed has begun to ask for consent, for ever.
            await self._ice._connection.close()

    async def _until_nominated(self, ice: RTCIceParameters) -> None:
        """Returns when the server has chosen an address pair (see the module's words)."""
        connection = self._ice._connection
        self._checking = asyncio.create_task(self._ice.start(ice))
        for look in itertools.count(1):
            if connection._nominated:
                return
            if self._checking.done():
                raise CaptureFailed("no way to LiveKit's media ports: check the firewall (ICE)")
            if look % 4 == 0:
                self._ask_for_nomination(connection)
            await asyncio.sleep(LOOK_EVERY if look < HURRY else 5 * LOOK_EVERY)

    def _ask_for_nomination(self, connection: Any) -> None:
        """Check every pair that works once more; the answers are of no interest."""
        for pair in connection._check_list:
            if pair.state is pair.State.SUCCEEDED:
                request = connection.build_request(pair, nominate=False)
                request.add_message_integrity(connection.remote_password.encode())
                pair.protocol.send_stun(request, pair.remote_addr)

    async def _send(self, packet: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._dtls._send_rtp(packet)

    def _tap(self) -> None:
        """Take RTP and RTCP from each socket (see the module's words)."""
        for protocol in self._ice._connection._protocols:
            arrivals = Arrivals(protocol.transport.get_extra_info("socket"))
            protocol.datagram_received = self._tapped(protocol.datagram_received, arrivals)

    def _tapped(
        self, pass_on: Callable[[bytes, tuple[Any, ...]], None], arrivals: Arrivals
    ) -> Callable[[bytes, tuple[Any, ...]], None]:
        dtls, admits = self._dtls, self._admits
        on_packet, on_report = self._on_packet, self._on_report

        def datagram_received(data: bytes, addr: tuple[Any, ...]) -> None:
            if len(data) < 2:
                return  # nobody's, and DTLS would stumble over an empty one
            moment = arrivals.last()
            self.heard_at = now()
            self.lag = self.heard_at - moment
            if not 127 < data[0] < 192:  # RFC 7983: 128..191 is RTP or RTCP, 20..63 DTLS
                if not 19 < data[0] < 64 or self._datagrams.take(1, moment):
                    pass_on(data, addr)
                return
            session = dtls._rx_srtp
            if session is None:
                return
            is_report = 192 <= data[1] <= 223  # RFC 5761, section 4: these are RTCP packet types
            if not is_report and not admits(data, moment):
                return
            try:
                plain = session.unprotect_rtcp(data) if is_report else session.unprotect(data)
            except (pylibsrtp.Error, ValueError):
                return  # not from the server, seen before, or too long: not to be trusted
            (on_report if is_report else on_packet)(plain, moment)

        return datagram_received

    def _listen(self, channel: Any) -> None:
        channel.on("message", self._on_data)

    def _state_changed(self) -> None:
        if self._dtls.state == "closed":
            self._on_lost()


def _remote_parameters(offer: Offer) -> tuple[RTCIceParameters, RTCDtlsParameters]:
    algorithm, _, value = offer.value("fingerprint").partition(" ")
    ice = RTCIceParameters(
        usernameFragment=offer.value("ice-ufrag"),
        password=offer.value("ice-pwd"),
        iceLite="ice-lite" in offer.session,
    )
    return ice, RTCDtlsParameters([RTCDtlsFingerprint(algorithm=algorithm, value=value)])

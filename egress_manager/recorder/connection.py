"""One stay of ours in a room: the signal connection and the media connection, and what they bring.

It lives from joining to the loss of either; the attendance that owns it begins another when it is
lost, and keeps this one's media until the other's has come up.
"""

import asyncio
import contextlib
import json
import random
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import aiohttp
from aiortc import RTCIceServer
from livekit.protocol import models, rtc

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.ice_tcp import bridge_candidate
from egress_manager.recorder.peer import Peer
from egress_manager.recorder.rtp import nack, read_packet, read_reports
from egress_manager.recorder.sdp import read_offer, write_answer
from egress_manager.recorder.signalling import Signalling, signal
from egress_manager.recorder.stream import Stream

#: Packets of an SSRC that no offer has named yet are held for the offer: so many of each.
UNCLAIMED: Final = 50
#: How long a cancelled task may take to end. Seconds.
LEAVE_TIMEOUT: Final = 2.0
#: UDP may try alone for this long before TCP candidates are tried too. Seconds.
UDP_FIRST: Final = 0.5


class Audience(Protocol):
    """Who wants to hear what a connection brings. No verb raises."""

    @property
    def capture(self) -> Capture | None:
        """Where packets go now."""
        ...

    def joined(self, connection: "Connection", join: rtc.JoinResponse) -> None: ...

    def updated(self, participants: Sequence[models.ParticipantInfo]) -> None: ...

    def media_up(self, connection: "Connection") -> None: ...

    def digit(self, identity: str, digit: str) -> None: ...


class Connection:
    """`run()` joins and returns the reason when it is over; `close()` ends the media as well."""

    def __init__(self, audience: Audience, identity: str, *, use_turn: bool) -> None:
        self.identity = identity
        self.has_media = False
        self.streams: dict[int, Stream] = {}
        self._audience = audience
        self._use_turn = use_turn
        self._unclaimed: dict[int, deque[tuple[bytes, float]]] = {}
        self._peer: Peer | None = None
        self._media: asyncio.Task[None] | None = None
        self._signalling: Signalling | None = None
        self._bridges: list[asyncio.DatagramTransport] = []
        self._bridging: list[asyncio.Task[None]] = []
        self._ssrc = random.getrandbits(32)

    async def run(self, session: aiohttp.ClientSession, url: str, token: str) -> str:
        """Join and serve until the server lets go of us, or media never come; says why.

        Raises `CaptureFailed`, or `LiveKitRefused`.
        """
        async with signal(session, url, token) as signalling:
            self._signalling = signalling
            async for message in signalling.messages():
                reason = await self._serve(message, signalling)
                if reason or self._media_failed():
                    return reason or "media_failed"
        return "signal_lost"

    async def leave(self) -> None:
        """Tell the server that we go; the signal connection ends with it."""
        if self._signalling is not None:
            try:
                await self._signalling.leave()
            except CaptureFailed:
                return

    async def close(self) -> None:
        """End the media connection; harmless to repeat."""
        for stream in self.streams.values():
            stream.close("connection_closed")
        tasks = [task for task in (self._media, *self._bridging) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_TIMEOUT)
        if self._peer is not None:
            await self._peer.close()
        for bridge in self._bridges:
            bridge.close()

    def tick(self, moment: float) -> None:
        """Now and then: ask for what is missing, let go of what waits too long."""
        capture = self._audience.capture
        for stream in self.streams.values():
            self._ask(stream, moment)
            stream.tick(moment, capture)

    def drain(self) -> None:
        """Let go of all that is held back for packets that are missing."""
        for stream in self.streams.values():
            stream.drain(self._audience.capture)

    async def _serve(self, message: rtc.SignalResponse, signalling: Signalling) -> str:
        """Act on one message of the server; the reason where it ends the connection."""
        match message.WhichOneof("message"):
            case "join":
                self._peer = self._make_peer(message.join)
                self._audience.joined(self, message.join)
            case "update":
                self._audience.updated(message.update.participants)
            case "offer":
                await self._answer(message.offer, signalling)
            case "trickle":
                await self._add_candidate(message.trickle)
            case "leave":
                return "server_said_" + models.DisconnectReason.Name(message.leave.reason).lower()
        return ""

    def _make_peer(self, join: rtc.JoinResponse) -> Peer:
        servers = [
            RTCIceServer(urls=list(s.urls), username=s.username, credential=s.credential)
            for s in join.ice_servers
            if self._use_turn and any(url.startswith("turn") for url in s.urls)
        ]
        return Peer(servers, on_packet=self._packet, on_report=self._report, on_data=self._data)

    async def _answer(self, description: rtc.SessionDescription, signalling: Signalling) -> None:
        if self._peer is None:
            return
        offer = read_offer(description.sdp)
        for ssrc, (participant_sid, track_sid) in offer.owners().items():
            self._claim(ssrc, participant_sid, track_sid)
        local = await self._peer.describe(offer)
        await signalling.answer(write_answer(offer, local), description.id)
        if self._media is None:
            self._media = asyncio.create_task(self._connect(self._peer))

    async def _connect(self, peer: Peer) -> None:
        await peer.connect()
        self.has_media = True
        self._audience.media_up(self)

    def _media_failed(self) -> bool:
        return self._media is not None and self._media.done() and not self.has_media

    async def _add_candidate(self, trickle: rtc.TrickleRequest) -> None:
        if trickle.target != rtc.SignalTarget.SUBSCRIBER or self._peer is None:
            return
        candidate = str(json.loads(trickle.candidateInit).get("candidate", ""))
        if " tcp " in candidate.lower():
            self._bridging.append(asyncio.create_task(self._bridge(candidate, self._peer)))
        elif candidate:
            await self._peer.add_candidate(candidate)

    async def _bridge(self, candidate: str, peer: Peer) -> None:
        """Try a TCP candidate, where UDP has not made it by then."""
        await asyncio.sleep(UDP_FIRST)
        if self.has_media:
            return
        with contextlib.suppress(CaptureFailed):
            bridged, transport = await bridge_candidate(candidate)
            self._bridges.append(transport)
            await peer.add_candidate(bridged)

    def _claim(self, ssrc: int, participant_sid: str, track_sid: str) -> None:
        """An offer says whose an SSRC is: take what has come of it already."""
        if ssrc in self.streams:
            return
        stream = self.streams[ssrc] = Stream(ssrc, participant_sid, track_sid)
        for data, arrived in self._unclaimed.pop(ssrc, ()):
            if packet := read_packet(data):
                stream.take(packet, arrived, self._audience.capture)

    def _packet(self, data: bytes) -> None:
        packet = read_packet(data)
        if packet is None:
            return
        arrived = now()
        stream = self.streams.get(packet.ssrc)
        if stream is None:
            waiting = self._unclaimed.setdefault(packet.ssrc, deque(maxlen=UNCLAIMED))
            waiting.append((data, arrived))
            return
        stream.take(packet, arrived, self._audience.capture)
        self._ask(stream, arrived)

    def _ask(self, stream: Stream, moment: float) -> None:
        """Ask the server again for what is missing of a stream."""
        missing = stream.missing(moment)
        if missing and self._peer is not None and self.has_media:
            self._peer.send_report(nack(self._ssrc, stream.ssrc, missing))

    def _report(self, data: bytes) -> None:
        arrived = now()
        for report in read_reports(data):
            stream = self.streams.get(report.ssrc)
            if stream is not None:
                stream.report(report, arrived)

    def _data(self, data: object) -> None:
        if not isinstance(data, bytes):
            return
        packet = models.DataPacket()
        try:
            packet.ParseFromString(data)
        except ValueError:
            return
        if packet.WhichOneof("value") == "sip_dtmf":
            self._audience.digit(packet.participant_identity, packet.sip_dtmf.digit)

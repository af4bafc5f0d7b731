"""One stay of ours in a room: the signal connection and the media connection, and what they bring.

It lives from joining to the loss of either; the attendance that owns it begins another when it is
lost, and keeps this one's media until the other's has come up.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import aiohttp
from aiortc import RTCIceServer
from livekit.protocol import models, rtc

from egress_manager.domain.captures import TrackChanged
from egress_manager.domain.quotas import key_of
from egress_manager.errors import CaptureFailed
from egress_manager.recorder.capture import Capture
from egress_manager.recorder.clock import now
from egress_manager.recorder.ice_tcp import bridge_candidate
from egress_manager.recorder.knocking import Turn, Turns, joined
from egress_manager.recorder.peer import Peer
from egress_manager.recorder.rtp import nack, read_packet, read_reports
from egress_manager.recorder.sdp import read_offer, write_answer
from egress_manager.recorder.signalling import Signalling, name_of
from egress_manager.recorder.stream import Stream
from egress_manager.recorder.streams import Streams

log = logging.getLogger(__name__)

#: How long a cancelled task may take to end. Seconds.
LEAVE_TIMEOUT: Final = 1.0
#: UDP may try alone for this long before TCP candidates are tried too. Seconds.
UDP_FIRST: Final = 0.5
#: A server that closes the media on purpose says why on the signal connection, maybe a little
#: later; who rejoins before that opens again a room that was just deleted. Seconds.
EXPLAIN: Final = 0.25
#: Media must have come up this long after we began to join. Seconds.
MEDIA_TIMEOUT: Final = 20.0
#: The direct way may take this long where the server offers to relay; then relaying is tried.
DIRECT_TIMEOUT: Final = 3.0
#: LiveKit sends a sign of life every two seconds where it sends nothing else (ICE); after this
#: long without any datagram, the way to it is broken. Seconds.
SILENT: Final = 6.0
#: From one look to the next it is never longer, while this process is awake. Seconds.
AWAKE: Final = 0.25
#: A stream that flowed and then says nothing for this long, unmuted, is deaf. Seconds.
DEAF: Final = 6.0


class Audience(Protocol):
    """Who wants to hear what a connection brings. No verb raises."""

    @property
    def capture(self) -> Capture | None:
        """Where packets go now."""
        ...

    def joined(self, connection: "Connection", join: rtc.JoinResponse) -> None:
        """We are in; the server says who is there."""
        ...

    def room_known(self, room_sid: str) -> None:
        """The server says which room this is."""
        ...

    def updated(self, participants: Sequence[models.ParticipantInfo]) -> None:
        """Somebody came, changed or left."""
        ...

    def media_up(self, connection: "Connection") -> None:
        """Packets can flow."""
        ...

    def flowing(self, connection: "Connection", track_sid: str) -> None:
        """A track's first packet has come over this connection."""
        ...

    def digit(self, identity: str, digit: str) -> None:
        """A caller pressed a key; an empty one is none."""
        ...


class Connection:
    """`run()` joins and returns the reason when it is over; `close()` ends the media as well."""

    def __init__(self, audience: Audience, identity: str = "", *, use_turn: bool) -> None:
        self.identity = identity
        self.has_media = False
        self.media_up_at = float("inf")
        self.awake_since = 0.0  # until then this process did nothing for a while
        self.streams = Streams(lambda track_sid: audience.flowing(self, track_sid))
        self._audience = audience
        self._use_turn = use_turn
        self._media_timeout = MEDIA_TIMEOUT
        self._peer: Peer | None = None
        self._media: asyncio.Task[None] | None = None
        self._signalling: Signalling | None = None
        self._turn: Turn | None = None
        self._bridges: list[asyncio.DatagramTransport] = []
        self._bridging: list[asyncio.Task[None]] = []
        self._ssrc = random.getrandbits(32)
        self._began_at = self._ticked_at = now()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(
        self,
        session: aiohttp.ClientSession,
        url: str,
        make_pass: Callable[[], tuple[str, str]],
        turns: Turns,
    ) -> str:
        """Join and serve until `end`, or until the server or the network end it; says why.

        `make_pass` makes an identity and its token, for each attempt to join; see `knocking`.
        Raises `CaptureFailed` where the server can't be reached, `LiveKitRefused`.
        """
        async with joined(session, url, make_pass, turns) as welcome:
            self.identity, self._signalling = welcome.identity, welcome.signalling
            self._turn = welcome.turn
            listening = asyncio.create_task(self._listen(welcome.signalling))
            try:
                return await self._over
            finally:
                listening.cancel()
                await asyncio.wait([listening], timeout=LEAVE_TIMEOUT)

    def end(self, reason: str) -> None:
        """Have `run` return; the media goes on until `close`. Harmless to repeat."""
        if not self._over.done():
            self._over.set_result(reason)

    async def leave(self) -> None:
        """Tell the server that we go, and end."""
        if self._signalling is not None:
            with contextlib.suppress(CaptureFailed):
                await self._signalling.leave()
        self.end("left")

    async def close(self) -> None:
        """End the media connection; harmless to repeat."""
        self.end("closed")
        self.has_media = False
        self.streams.close()
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
        """Now and then: ask for what is missing, let go of what waits too long, look for life."""
        if moment - self._ticked_at > AWAKE:
            self.awake_since = moment
        self._ticked_at = moment
        for ssrc in self.streams.tick(self.read_until(moment), self._audience.capture):
            if self._peer is not None:
                self._peer.forget(ssrc)
        self._ask(moment)
        if not self.has_media:
            if moment - self._began_at > self._media_timeout:
                self.end("no_media")
        elif self._peer is not None and self._is_silent(self._peer, moment):
            self._media_lost("media_silent")

    def deaf(self, tracks: Mapping[str, TrackChanged], moment: float) -> set[str]:
        """Participants of whom a stream that flowed has stopped though its track is there, unmuted.

        None while we have no media, or `run` is about to return anyway.
        """
        read_until = self.read_until(moment)

        def deaf(stream: Stream) -> bool:
            track = tracks.get(stream.track_sid)
            return (
                track is not None
                and not track.is_muted
                and stream.heard_at is not None
                and read_until - max(stream.heard_at, self.awake_since) > DEAF
            )

        if self._over.done() or not self.has_media:
            return set()
        return {stream.participant_sid for stream in self.streams if deaf(stream)}

    def read_until(self, moment: float) -> float:
        """Everything that came by then was read; `moment` is now."""
        return moment if self._peer is None else self._peer.read_until(moment)

    def _is_silent(self, peer: Peer, moment: float) -> bool:
        """Whether nothing came, though this process was there to read it."""
        return moment - max(peer.heard_at, self.awake_since) > SILENT

    # The signal connection

    async def _listen(self, signalling: Signalling) -> None:
        """Act on what the server says until it says no more."""
        reason = "signal_lost"
        try:
            async for message in signalling.messages():
                await self._heed(message, signalling)
        except CaptureFailed as error:
            reason = str(error)
        except Exception:
            # A library's error, not ours; another connection is tried all the same.
            log.exception("signal_failed")
        finally:
            self.end(reason)

    async def _heed(self, message: rtc.SignalResponse, signalling: Signalling) -> None:
        """Act on one message; one that can't be understood is passed over."""
        kind = message.WhichOneof("message")
        try:
            await self._serve(message, signalling)
        except CaptureFailed:
            raise
        except Exception as error:
            # Whatever is wrong with one message, the packets of this room keep coming.
            log.warning("message_passed_over", extra={"kind": kind, "detail": repr(error)})

    async def _serve(self, message: rtc.SignalResponse, signalling: Signalling) -> None:
        match message.WhichOneof("message"):
            case "join":
                self._peer = self._make_peer(message.join)
                self._audience.joined(self, message.join)
            case "update":
                self._audience.updated(message.update.participants)
            case "room_update":
                self._audience.room_known(message.room_update.room.sid)
            case "offer":
                await self._answer(message.offer, signalling)
            case "trickle":
                await self._add_candidate(message.trickle)
            case "leave":
                reason = message.leave.reason
                self.end("server_said_" + name_of(models.DisconnectReason, reason).lower())

    async def _answer(self, description: rtc.SessionDescription, signalling: Signalling) -> None:
        if self._peer is None:
            raise CaptureFailed("LiveKit offered media before it let us in")
        offer = read_offer(description.sdp)
        self.streams.offered(offer.owners(), self._audience.capture)
        local = await self._peer.describe(offer)
        await signalling.answer(write_answer(offer, local), description.id)
        if self._media is None:
            self._media = asyncio.create_task(self._connect(self._peer))

    async def _add_candidate(self, trickle: rtc.TrickleRequest) -> None:
        if trickle.target != rtc.SignalTarget.SUBSCRIBER or self._peer is None:
            return
        candidate = str(json.loads(trickle.candidateInit).get("candidate", ""))
        if " tcp " in candidate.lower():
            self._bridging.append(asyncio.create_task(self._bridge(candidate, self._peer)))
        elif candidate:
            await self._peer.add_candidate(candidate)

    # The media connection

    def _make_peer(self, join: rtc.JoinResponse) -> Peer:
        servers = [
            RTCIceServer(urls=list(s.urls), username=s.username, credential=s.credential)
            for s in join.ice_servers
            if any(url.startswith("turn") for url in s.urls)
        ]
        if servers and not self._use_turn:
            self._media_timeout = DIRECT_TIMEOUT
        return Peer(
            servers if self._use_turn else [],
            admits=self._admits,
            on_packet=self._packet,
            on_report=self._report,
            on_data=self._data,
            on_lost=self._media_closed,
        )

    def _media_closed(self) -> None:
        """The server closed the media: it may be about to say why, and whether to come back."""
        asyncio.get_running_loop().call_later(EXPLAIN, self._media_lost, "media_lost")

    async def _connect(self, peer: Peer) -> None:
        try:
            await peer.connect()
        except CaptureFailed as error:
            self.end(str(error))
            return
        except Exception:
            # A library's error, not ours; another connection is tried all the same.
            log.exception("media_failed")
            self.end("media_failed")
            return
        finally:
            if self._turn is not None:
                self._turn.end()
        self.has_media, self.media_up_at = True, now()
        self._audience.media_up(self)

    async def _bridge(self, candidate: str, peer: Peer) -> None:
        """Try a TCP candidate, where UDP has not made it by then."""
        await asyncio.sleep(UDP_FIRST)
        if self.has_media:
            return
        with contextlib.suppress(CaptureFailed):
            bridged, transport = await bridge_candidate(candidate)
            self._bridges.append(transport)
            await peer.add_candidate(bridged)

    def _media_lost(self, reason: str) -> None:
        self.has_media = False
        self.end(reason)

    def _admits(self, data: bytes, arrived: float) -> bool:
        """Whether a packet that is still encrypted is to be read."""
        return self.streams.admits(data, arrived, self._audience.capture)

    def _packet(self, data: bytes, arrived: float) -> None:
        packet = read_packet(data)
        if packet is None or self._peer is None:
            return
        if self.streams.take(packet, arrived, self._audience.capture) and self.has_media:
            missing = self.streams.missing_of(packet.ssrc, self._peer.heard_at)
            if missing:
                self._peer.send_report(nack(self._ssrc, packet.ssrc, missing))

    def _ask(self, moment: float) -> None:
        """Ask the server again for what is missing of streams."""
        if self._peer is None or not self.has_media:
            return
        for ssrc, missing in self.streams.missing(moment):
            self._peer.send_report(nack(self._ssrc, ssrc, missing))

    def _report(self, data: bytes, arrived: float) -> None:
        for report in read_reports(data):
            self.streams.report(report, arrived)

    def _data(self, data: object) -> None:
        """A data message; phone keys are of interest."""
        if not isinstance(data, bytes):
            return
        packet = models.DataPacket()
        try:
            packet.ParseFromString(data)
        except Exception as error:  # protobuf's own, of which there are several
            log.warning("data_passed_over", extra={"detail": repr(error)})
            return
        if packet.WhichOneof("value") == "sip_dtmf":
            pressed = packet.sip_dtmf
            self._audience.digit(packet.participant_identity, key_of(pressed.digit, pressed.code))

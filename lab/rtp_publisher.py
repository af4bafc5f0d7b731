"""A publisher that puts RTP packets on the wire itself: any timestamps, any order, any framing.

    async with RtpPublisher(livekit, "call-1", "sip_+15550100", kind="sip") as caller:
        track = caller.track
        await track.play(encoded(speech(2.0)))      # a packet each 20 ms, as they are spoken
        track.leap(0.5)                             # half a second of timestamps; no time goes by
        await track.play(encoded(speech(2.0)), ahead=0.3)

SDKs pace and number what they send, so nothing odd can be sent with them. Here a test decides what
each packet says of itself and when it leaves. Signalling is LiveKit's protobufs over a WebSocket;
ICE, DTLS and SRTP are aiortc's.
"""

import asyncio
import contextlib
import json
import random
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import aiohttp
import av
import numpy as np
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCSctpTransport,
)
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp
from livekit.protocol import models, rtc
from numpy.typing import NDArray

from lab.sounds import RATE
from lab.tokens import Kind, Rooms, token

JOIN_TIMEOUT: Final = 20.0
LEAVE_TIMEOUT: Final = 2.0
PING_EVERY: Final = 5.0
#: How often `play` sends a sender report. Seconds.
REPORT_EVERY: Final = 1.0
#: The payload type of Opus in our offers.
OPUS: Final = 111
#: The port of SCTP in our offers, and the largest message that the server takes. Bytes.
SCTP_PORT: Final = 5000
MESSAGE: Final = 65_536
#: Ticks of 1/48000 s in the usual packet of 20 ms.
FRAME: Final = 960
#: Seconds from 1900 (NTP) to 1970 (Unix).
_NTP_EPOCH: Final = 2_208_988_800
_SENDER_REPORT: Final = 200
_ENCRYPTION: Final = (models.Encryption.NONE, models.Encryption.GCM)


def encoded(
    pcm: NDArray[np.int16], *, bits: int = 32_000, frame: int = FRAME, music: bool = False
) -> list[bytes]:
    """Opus packets of `frame` ticks each: of (n,) mono or (n, 2) stereo samples at 48 kHz.

    `bits` is the rate in bit/s. `music` keeps stereo as it is at moderate rates.
    """
    channels = 1 if pcm.ndim == 1 else 2
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.format = RATE, "s16"
    codec.layout = "stereo" if channels == 2 else "mono"
    codec.bit_rate = bits
    codec.options = {
        "frame_duration": str(1000 * frame / RATE),
        "application": "audio" if music else "voip",
    }
    codec.open()
    flat = np.ascontiguousarray(pcm, np.int16).reshape(-1)
    flat = np.concatenate([flat, np.zeros(-len(flat) % (frame * channels), np.int16)])
    packets: list[bytes] = []
    for at in range(0, len(flat), frame * channels):
        samples = flat[at : at + frame * channels].reshape(1, -1)
        part = av.AudioFrame.from_ndarray(samples, format="s16", layout=codec.layout.name)
        part.sample_rate, part.pts = RATE, at // channels
        packets += map(bytes, codec.encode(part))
    return packets + [bytes(packet) for packet in codec.encode(None)]


class RtpTrack:
    """One audio track. Public fields are what its next packet will say; change them at will.

    `sequence` and `timestamp` count as RTP's do, unwrapped; `packets` and `octets` are the totals
    of its sender reports.
    """

    def __init__(self, publisher: "RtpPublisher", sid: str) -> None:
        self.sid = sid
        self.ssrc = random.randrange(1, 1 << 31)
        self.sequence = random.randrange(1 << 15)
        self.timestamp = random.randrange(1 << 31)
        self.packets = self.octets = 0
        self._publisher = publisher

    def leap(self, seconds: float) -> None:
        """Let the timestamps leap, ahead or back."""
        self.timestamp += round(seconds * RATE)

    async def send(self, payload: bytes, ticks: int = FRAME, *, marker: bool = False) -> None:
        """Send one packet at once, and count on by one packet and `ticks`."""
        header = struct.pack(
            "!BBHII",
            0x80,
            OPUS | (0x80 if marker else 0),
            self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        await self._publisher.send(header + payload)
        self.sequence += 1
        self.timestamp += ticks
        self.packets += 1
        self.octets += len(payload)

    async def report(self, at: float | None = None) -> None:
        """Send a sender report: the next timestamp belongs to `at` (Unix seconds; now)."""
        ntp = (time.time() if at is None else at) + _NTP_EPOCH
        body = struct.pack(
            "!IIIIII",
            self.ssrc,
            int(ntp),
            int(ntp % 1 * 2**32),
            self.timestamp & 0xFFFFFFFF,
            self.packets,
            self.octets & 0xFFFFFFFF,
        )
        await self._publisher.send(struct.pack("!BBH", 0x80, _SENDER_REPORT, 6) + body)

    async def play(
        self,
        packets: Sequence[bytes],
        *,
        frame: int = FRAME,
        ahead: float = 0.0,
        pace: float = 1.0,
        reports: bool = True,
    ) -> float:
        """Send packets as they are spoken; the moment at which the first one left (Unix seconds).

        The first `ahead` seconds leave at once, and all that follow so much early. `pace`: a packet
        takes so many times as long as it says. Returns when the last has been spoken.
        """
        began, spoke_at = time.monotonic(), time.time()
        reported_at = -REPORT_EVERY
        for number, packet in enumerate(packets):
            due = number * frame / RATE * pace
            await _until(began + max(0.0, due - ahead))
            if reports and due - reported_at >= REPORT_EVERY:
                await self.report(spoke_at + due)
                reported_at = due
            await self.send(packet, frame, marker=number == 0)
        await _until(began + len(packets) * frame / RATE * pace)
        return spoke_at


class RtpPublisher:
    """Joins with `async with`, publishes one audio track, and leaves.

    `sends_data`: it can send data messages as well. `claims_encryption`: it says of its track that
    it is encrypted, whatever it sends.
    """

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        identity: str,
        *,
        kind: Kind = "standard",
        attributes: Mapping[str, str] | None = None,
        stereo: bool = False,
        sends_data: bool = False,
        claims_encryption: bool = False,
    ) -> None:
        self.identity = identity
        self._sends_data = sends_data
        self._claims_encryption = claims_encryption
        # Who may subscribe is active only when its connection for that is up: we have none.
        self._pass = token(
            rooms, room, identity, kind=kind, attributes=attributes, subscribes=False
        )
        self._url = rooms.url
        self._stereo = stereo
        self._certificate = RTCCertificate.generateCertificate()
        self._answers: asyncio.Queue[rtc.SessionDescription] = asyncio.Queue()
        self._published: asyncio.Queue[str] = asyncio.Queue()
        self._candidates: asyncio.Queue[str] = asyncio.Queue()
        self._stack = contextlib.AsyncExitStack()
        self.track = RtpTrack(self, "")

    async def __aenter__(self) -> "RtpPublisher":
        async with self._stack:
            async with asyncio.timeout(JOIN_TIMEOUT):
                await self._join()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._ask(leave=rtc.LeaveRequest())
        await self._stack.aclose()

    async def mute(self, *, muted: bool = True) -> None:
        """Have the server mark the track as muted; packets may go on all the same."""
        await self._ask(mute=rtc.MuteTrackRequest(sid=self.track.sid, muted=muted))

    async def describe(
        self, *, name: str = "", metadata: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        """Change what the room knows of this participant."""
        update = rtc.UpdateParticipantMetadata(
            name=name, metadata=metadata, attributes=dict(attributes or {})
        )
        await self._ask(update_metadata=update)

    def send_data(self, packet: models.DataPacket) -> None:
        """Send a data message to everybody in the room; nothing while others wait to leave."""
        if self._channel.readyState == "open" and self._channel.bufferedAmount < MESSAGE:
            self._channel.send(packet.SerializeToString())

    async def send(self, packet: bytes) -> None:
        """Put one RTP or RTCP packet on the wire as it is."""
        await self._dtls._send_rtp(packet)

    async def _join(self) -> None:
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        query = {"access_token": self._pass, "auto_subscribe": "0", "protocol": "15", "sdk": "go"}
        self._socket = await session.ws_connect(f"{self._url}/rtc", params=query)
        self._stack.push_async_callback(self._socket.close)
        for deed in (self._listen(), self._ping()):
            task = asyncio.create_task(deed)
            self._stack.push_async_callback(_ended, task)
        request = rtc.AddTrackRequest(
            cid="audio",
            name="audio",
            type=models.AUDIO,
            source=models.MICROPHONE,
            disable_red=True,
            stereo=self._stereo,
            encryption=_ENCRYPTION[self._claims_encryption],
        )
        await self._ask(add_track=request)
        self.track = RtpTrack(self, await self._published.get())
        await self._connect()

    async def _connect(self) -> None:
        gatherer = RTCIceGatherer([])
        await gatherer.gather()
        self._ice = RTCIceTransport(gatherer)
        self._ice._connection.ice_controlling = True
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        self._sctp = RTCSctpTransport(self._dtls, SCTP_PORT)
        self._stack.push_async_callback(self._hang_up)
        offer = "\r\n".join(self._offer(gatherer)) + "\r\n"
        await self._ask(offer=rtc.SessionDescription(type="offer", sdp=offer))
        answer = (await self._answers.get()).sdp.splitlines()
        for line in answer:
            if line.startswith("a=candidate:"):
                await self._reach(line.removeprefix("a=candidate:"))
        self._stack.push_async_callback(_ended, asyncio.create_task(self._trickle()))
        self._dtls._set_role("server" if _value(answer, "setup") == "active" else "client")
        await self._ice.start(
            RTCIceParameters(
                usernameFragment=_value(answer, "ice-ufrag"),
                password=_value(answer, "ice-pwd"),
                iceLite="a=ice-lite" in answer,
            )
        )
        algorithm, _, value = _value(answer, "fingerprint").partition(" ")
        await self._dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(algorithm, value)]))
        if self._dtls.state != "connected":
            raise ConnectionError("the server's media port can't be reached")
        if self._sends_data:
            await self._open_channel()

    async def _open_channel(self) -> None:
        """Open the data channel on which LiveKit hears reliable messages."""
        await self._sctp.start(RTCSctpCapabilities(MESSAGE), SCTP_PORT)
        self._channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label="_reliable"))
        opened = asyncio.Event()
        self._channel.on("open", opened.set)
        await opened.wait()

    def _offer(self, gatherer: RTCIceGatherer) -> Iterator[str]:
        """The lines of an SDP offer with one audio track that we send."""
        ice = gatherer.getLocalParameters()
        prints = self._dtls.getLocalParameters().fingerprints
        ours = next(found for found in prints if found.algorithm == "sha-256")
        stereo = ";stereo=1;sprop-stereo=1" if self._stereo else ""
        yield from ("v=0", "o=- 7 2 IN IP4 127.0.0.1", "s=-", "t=0 0")
        bundle = "a=group:BUNDLE 0 1" if self._sends_data else "a=group:BUNDLE 0"
        yield from (bundle, "a=msid-semantic: WMS")
        yield from (f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", "c=IN IP4 127.0.0.1", "a=mid:0")
        yield from ("a=sendonly", "a=rtcp-mux", "a=setup:actpass")
        yield from (f"a=ice-ufrag:{ice.usernameFragment}", f"a=ice-pwd:{ice.password}")
        yield f"a=fingerprint:{ours.algorithm} {ours.value}"
        yield f"a=rtpmap:{OPUS} opus/48000/2"
        yield f"a=fmtp:{OPUS} minptime=10;useinbandfec=1{stereo}"
        yield f"a=rtcp-fb:{OPUS} nack"
        yield "a=msid:stream audio"
        yield f"a=ssrc:{self.track.ssrc} cname:rtp"
        yield f"a=ssrc:{self.track.ssrc} msid:stream audio"
        for candidate in gatherer.getLocalCandidates():
            yield f"a=candidate:{candidate_to_sdp(candidate)}"
        yield "a=end-of-candidates"
        if self._sends_data:
            yield from ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 127.0.0.1")
            yield from ("a=mid:1", "a=setup:actpass", f"a=sctp-port:{SCTP_PORT}")
            yield f"a=max-message-size:{MESSAGE}"
            yield from (f"a=ice-ufrag:{ice.usernameFragment}", f"a=ice-pwd:{ice.password}")
            yield f"a=fingerprint:{ours.algorithm} {ours.value}"

    async def _ask(self, **what: Any) -> None:
        await self._socket.send_bytes(rtc.SignalRequest(**what).SerializeToString())

    async def _listen(self) -> None:
        """Sort what the server says."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            response = rtc.SignalResponse.FromString(message.data)
            match response.WhichOneof("message"):
                case "answer":
                    self._answers.put_nowait(response.answer)
                case "track_published":
                    self._published.put_nowait(response.track_published.track.sid)
                case "trickle":
                    found = json.loads(response.trickle.candidateInit).get("candidate", "")
                    self._candidates.put_nowait(found.removeprefix("candidate:"))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            await self._ask(ping=int(time.time() * 1000))

    async def _trickle(self) -> None:
        while True:
            await self._reach(await self._candidates.get())

    async def _reach(self, candidate: str) -> None:
        """One more address of the server, if it is one that we can use."""
        if candidate.split()[2:3] == ["udp"]:
            found = candidate_from_sdp(candidate)
            found.sdpMid = "0"
            await self._ice.addRemoteCandidate(found)

    async def _hang_up(self) -> None:
        for stop in (self._sctp.stop, self._dtls.stop, self._ice.stop):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT):
                    await stop()


async def _until(moment: float) -> None:
    """Wait until a moment of the monotonic clock."""
    if (rest := moment - time.monotonic()) > 0:
        await asyncio.sleep(rest)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        await task


def _value(lines: Sequence[str], name: str) -> str:
    """The value of an SDP attribute; empty if there is none."""
    prefix = f"a={name}:"
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), "")

"""A phone of our own, for test calls over WebRTC (`Phone`).

It joins as livekit-sip brings a caller into a room: kind SIP, ringing, then active. aiortc sends,
LiveKit's publisher connection receives; nothing is received, so the recorder's private hooks into
aiortc are not needed here.
"""

import asyncio
import contextlib
import fractions
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import aiohttp
import av
import numpy as np
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import rtc

from egress_manager.audio import chirp
from egress_manager.audio.decode import Sound
from egress_manager.domain.captures import TICKS
from egress_manager.domain.checks import Heard
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import CaptureFailed, LiveKitRefused
from egress_manager.recorder.ice_tcp import bridge_candidate
from egress_manager.recorder.signalling import Signalling, signal

#: From joining until sound can be sent. Seconds.
CONNECT_TIMEOUT: Final = 20.0
#: UDP may try alone for this long before TCP is tried too. Seconds.
UDP_FIRST: Final = 0.5
#: How long the end of a connection may be waited for. Seconds.
CLOSE_TIMEOUT: Final = 2.0
#: Silence behind the sound, so that hanging up does not cut it. Frames of 20 ms.
TAIL: Final = 15

#: A frame of 20 ms. Samples.
_FRAME: Final = TICKS // 50
_SILENCE: Final = np.zeros((1, _FRAME), np.int16)

#: A number that nobody has (the 555-01xx numbers are for fiction).
NUMBER: Final = "+15550100"

#: Room name, identity and attributes -> a token.
Token = Callable[[str, str, Mapping[str, str]], str]


class ChirpingPhone:
    """`Phone`, at livekit-server's address (ws or wss)."""

    def __init__(self, url: str, token: Token) -> None:
        self._url = url
        self._token = token

    @contextlib.asynccontextmanager
    async def call(self, room_name: str) -> AsyncIterator["OpenLine"]:
        attributes = {
            "sip.callID": f"SCL_{secrets.token_hex(6)}",
            "sip.callStatus": "ringing",
            "sip.phoneNumber": NUMBER,
        }
        token = self._token(room_name, f"sip_{NUMBER}", attributes)
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                connecting = signal(session, self._url, token)
                line = OpenLine(await stack.enter_async_context(connecting))
            except (CaptureFailed, LiveKitRefused) as error:
                raise CheckFailed(Trouble.CALL_NOT_PLACED, why=str(error)) from error
            stack.push_async_callback(line.hang_up)
            await line.answered()
            yield line

    def listen(self, file: bytes) -> Heard:
        try:
            left, right = chirp.read(file)
        except av.FFmpegError as error:
            raise CheckFailed(Trouble.FILE_UNREADABLE, why=type(error).__name__) from error
        wanted = chirp.chirp()
        return Heard(
            left=chirp.likeness(left, wanted),
            right=chirp.likeness(right, wanted),
            right_dbfs=chirp.loudest(right),
            plays_sec=len(left) / TICKS,
        )


class OpenLine:
    """`Line`: a caller who is in the room until `hang_up`."""

    def __init__(self, signalling: Signalling) -> None:
        self.server = ""
        self._signalling = signalling
        self._microphone = Microphone()
        self._peer: RTCPeerConnection | None = None
        self._bridges: list[asyncio.DatagramTransport] = []
        self._tasks = {asyncio.create_task(self._listen())}
        self._up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answered(self) -> None:
        """Wait until sound can be sent, and stop ringing. Raises `CheckFailed`."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._up
        except TimeoutError as error:
            raise CheckFailed(Trouble.CALL_WITHOUT_MEDIA) from error
        await self._signalling.set_attributes({"sip.callStatus": "active"})

    async def play(self) -> float:
        """Play the sound once; how long it is, in seconds."""
        await self._microphone.play(chirp.chirp())
        return chirp.SECONDS

    async def hang_up(self) -> None:
        """Leave, and close everything."""
        with contextlib.suppress(CaptureFailed):
            await self._signalling.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT)
        if self._peer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._peer.close(), CLOSE_TIMEOUT)
        for bridge in self._bridges:
            bridge.close()
        self._up.cancel()

    async def _listen(self) -> None:
        why = "livekit-server closed the signal connection"
        try:
            async for message in self._signalling.messages():
                await self._heed(message)
        except CaptureFailed as error:
            why = str(error)
        except Exception as error:  # a library's, not ours
            why = type(error).__name__
        if not self._up.done():
            # Who is in and sends nothing is shown the door: it is not the signal that failed.
            trouble = Trouble.CALL_WITHOUT_MEDIA if self.server else Trouble.CALL_NOT_PLACED
            self._up.set_exception(CheckFailed(trouble, why=why))

    async def _heed(self, message: rtc.SignalResponse) -> None:
        match message.WhichOneof("message"):
            case "join":
                await self._offer(message.join)
            case "answer" if self._peer is not None:
                answer = RTCSessionDescription(message.answer.sdp, "answer")
                await self._peer.setRemoteDescription(answer)
            case "trickle" if message.trickle.target == rtc.SignalTarget.PUBLISHER:
                await self._meet(json.loads(message.trickle.candidateInit))

    async def _offer(self, join: rtc.JoinResponse) -> None:
        """Offer the microphone."""
        self.server = join.server_info.version or join.server_version
        servers = [
            RTCIceServer(urls=list(s.urls), username=s.username, credential=s.credential)
            for s in join.ice_servers
            if any(url.startswith("turn") for url in s.urls)
        ]
        self._peer = peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        peer.on("connectionstatechange", self._changed)
        peer.addTransceiver(self._microphone, direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        await self._signalling.add_track(self._microphone.id)
        await self._signalling.offer(peer.localDescription.sdp)

    async def _meet(self, described: Mapping[str, object]) -> None:
        """One of the server's addresses; one for TCP is tried where UDP takes long."""
        candidate = str(described.get("candidate", "")).removeprefix("candidate:")
        if " tcp " in candidate.lower():
            self._tasks.add(asyncio.create_task(self._bridge(candidate)))
        elif candidate:
            await self._add(candidate)

    async def _bridge(self, candidate: str) -> None:
        await asyncio.sleep(UDP_FIRST)
        if self._up.done():
            return
        with contextlib.suppress(CaptureFailed):
            bridged, transport = await bridge_candidate(candidate)
            self._bridges.append(transport)
            await self._add(bridged.removeprefix("candidate:"))

    async def _add(self, candidate: str) -> None:
        if self._peer is not None:
            address = candidate_from_sdp(candidate)
            address.sdpMLineIndex = 0
            await self._peer.addIceCandidate(address)

    def _changed(self) -> None:
        state = self._peer.connectionState if self._peer is not None else ""
        if self._up.done():
            return
        if state == "connected":
            self._up.set_result(None)
        elif state == "failed":
            self._up.set_exception(CheckFailed(Trouble.CALL_WITHOUT_MEDIA))


class Microphone(AudioStreamTrack):  # type: ignore[misc]
    """Sends silence in real time, and what it is told to play."""

    def __init__(self) -> None:
        super().__init__()
        self._frames: deque[np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = deque()
        self._played = asyncio.Event()
        self._began_at: float | None = None
        self._sent = 0

    async def play(self, sound: Sound) -> None:
        """Returns when the last of it was sent."""
        self._played.clear()
        pcm = (sound * 32767).astype(np.int16)
        self._frames.extend(pcm[at : at + _FRAME][None] for at in range(0, len(pcm), _FRAME))
        self._frames.extend([_SILENCE] * TAIL)
        await self._played.wait()

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms, when their time has come."""
        loop = asyncio.get_running_loop()
        if self._began_at is None:
            self._began_at = loop.time()
        due = self._began_at + self._sent * _FRAME / TICKS
        await asyncio.sleep(due - loop.time())
        if not self._frames:
            self._played.set()
        samples = self._frames.popleft() if self._frames else _SILENCE
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = TICKS, self._sent * _FRAME
        frame.time_base = fractions.Fraction(1, TICKS)
        self._sent += 1
        return frame

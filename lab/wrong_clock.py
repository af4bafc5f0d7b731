"""A phone whose own clock is wrong: what its sender reports say of the time is off by hours.

The usual SDK takes the machine's clock, so this one is built of aiortc, whose senders can be told
another time. Everything else is as with any caller: kind SIP, one Opus track.

    async with WrongClock(livekit, "call-1", number="+15550100", error=3600.0) as phone:
        await phone.say(chirp(3))
"""

import asyncio
import contextlib
import json
import time
from fractions import Fraction
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    rtcrtpsender,
)
from aiortc import clock as true_clock
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc

from lab.sounds import PCM, RATE
from lab.tokens import Rooms, token

TIMEOUT: Final = 15.0
_PING_EVERY: Final = 5.0
_FRAME: Final = RATE // 50
_QUERY: Final = {"auto_subscribe": "0", "protocol": "15", "sdk": "python", "version": "1.0"}


class WrongClock:
    """A caller who is answered at once; `error` is how far its clock is ahead, in seconds."""

    def __init__(self, rooms: Rooms, room: str, *, number: str, error: float) -> None:
        self.number = number
        self._rooms = rooms
        self._room = room
        self._error = error
        self._voice = _Voice()
        self._session = aiohttp.ClientSession()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connected = asyncio.Event()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def say(self, pcm: PCM) -> float:
        """Say it in real time; returns the wall-clock moment (s) at which it began."""
        async with asyncio.timeout(TIMEOUT + len(pcm) / RATE):
            return await self._voice.say(pcm)

    async def hang_up(self) -> None:
        """Leave the room; harmless to repeat."""
        if self._socket is not None and not self._socket.closed:
            with contextlib.suppress(ConnectionError):
                await self._send(rtc.SignalRequest(leave=rtc.LeaveRequest()))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT)
        await self._peer.close()
        await self._session.close()
        rtcrtpsender.clock = true_clock

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._join()
        except BaseException:
            await self.hang_up()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.hang_up()

    async def _join(self) -> None:
        ahead = round(self._error) << 32
        rtcrtpsender.clock = SimpleNamespace(
            current_ntp_time=lambda: true_clock.current_ntp_time() + ahead,
            current_datetime=true_clock.current_datetime,
        )
        attributes = {
            "sip.callID": f"SCL_wrong_{time.time_ns()}",
            "sip.callStatus": "active",
            "sip.phoneNumber": self.number,
        }
        identity = f"sip_{self.number}"
        pass_ = token(self._rooms, self._room, identity, kind="sip", attributes=attributes)
        self._socket = await self._session.ws_connect(
            f"{self._rooms.url}/rtc", params=_QUERY | {"access_token": pass_}
        )
        self._tasks = [
            asyncio.create_task(self._listen(self._socket)),
            asyncio.create_task(self._ping()),
        ]
        self._peer.on("connectionstatechange", self._connection_changed)
        await self._offer()
        await self._connected.wait()

    def _connection_changed(self) -> None:
        if self._peer.connectionState == "connected":
            self._connected.set()

    async def _offer(self) -> None:
        request = rtc.AddTrackRequest(
            cid=self._voice.id, name="voice", type=models.AUDIO, source=models.MICROPHONE
        )
        await self._send(rtc.SignalRequest(add_track=request))
        self._peer.addTrack(self._voice)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        sdp = self._peer.localDescription.sdp
        await self._send(
            rtc.SignalRequest(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=1))
        )

    async def _send(self, request: rtc.SignalRequest) -> None:
        assert self._socket is not None
        await self._socket.send_bytes(request.SerializeToString())

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        early: list[str] = []
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                return
            response = rtc.SignalResponse.FromString(message.data)
            match response.WhichOneof("message"):
                case "answer":
                    answer = RTCSessionDescription(response.answer.sdp, "answer")
                    await self._peer.setRemoteDescription(answer)
                    for candidate in early:
                        await self._add(candidate)
                case "trickle" if response.trickle.target == rtc.SignalTarget.PUBLISHER:
                    candidate = json.loads(response.trickle.candidateInit)["candidate"]
                    if self._peer.remoteDescription is None:
                        early.append(candidate)
                    else:
                        await self._add(candidate)

    async def _ping(self) -> None:
        """The server hangs up on who does not say anything."""
        while True:
            await asyncio.sleep(_PING_EVERY)
            await self._send(rtc.SignalRequest(ping=round(time.time() * 1000)))

    async def _add(self, text: str) -> None:
        if text:
            candidate = candidate_from_sdp(text.removeprefix("candidate:"))
            candidate.sdpMid, candidate.sdpMLineIndex = "0", 0
            await self._peer.addIceCandidate(candidate)


class _Voice(MediaStreamTrack):  # type: ignore[misc]
    """Silence, and what is to be said, 20 ms at a time in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._words = np.zeros(0, np.int16)
        self._began_at: asyncio.Future[float] | None = None
        self._finished = asyncio.Event()
        self._start = 0.0
        self._frames = 0

    async def say(self, pcm: PCM) -> float:
        self._finished.clear()
        self._began_at = asyncio.get_running_loop().create_future()
        self._words = np.asarray(pcm, np.int16)
        await self._finished.wait()
        return await self._began_at

    async def recv(self) -> av.AudioFrame:
        if not self._start:
            self._start = time.monotonic()
        await asyncio.sleep(max(0.0, self._start + self._frames * 0.02 - time.monotonic()))
        piece, self._words = self._words[:_FRAME], self._words[_FRAME:]
        if len(piece) and self._began_at is not None and not self._began_at.done():
            self._began_at.set_result(time.time())
        if not len(self._words):
            self._finished.set()
        sound = np.zeros((1, _FRAME), np.int16)
        sound[0, : len(piece)] = piece
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, self._frames * _FRAME
        frame.time_base = Fraction(1, RATE)
        self._frames += 1
        return frame

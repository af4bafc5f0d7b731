"""The sound of a telephone call: one UDP socket that sends and gets RTP."""

import asyncio
import socket
from collections import deque

from lab.microphone import Speeches, Utterance, frames, ticks
from lab.ports import LOOPBACK, free_port
from lab.sip import g711, rtp, sdp
from lab.sounds import PCM

_SILENCE = bytes([g711.SILENCE]) * rtp.SAMPLES


class Media(asyncio.DatagramProtocol):
    """Sends every 20 ms once it is told where to: what it is to say, else silence."""

    def __init__(self) -> None:
        self.ours = sdp.Sound(LOOPBACK, free_port())
        #: The keys that the other side has pressed.
        self.keys = ""
        self._theirs: sdp.Sound | None = None
        self._speeches = Speeches(rtp.PACKET_FOR)
        self._pressed: deque[tuple[bool, bytes]] = deque()
        self._packets: list[rtp.Packet] = []
        self._key_ends: set[int] = set()
        self._is_over = False
        self._transport: asyncio.DatagramTransport | None = None
        self._pump: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Hear from now on."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(self.ours.host, self.ours.port), family=socket.AF_INET
        )

    def begin(self, theirs: sdp.Sound) -> None:
        """Send from now on."""
        self._theirs = theirs
        if self._pump is None:
            self._pump = asyncio.create_task(self._send(), name="media")

    async def say(self, pcm: PCM) -> Utterance:
        """Say it after all that was to be said before; it waits until the line is open."""
        if len(pcm) == 0:
            raise ValueError("nothing to say")
        if self._is_over:
            raise ConnectionError("the call is over")
        return await self._speeches.add(frames(g711.narrow(pcm), rtp.SAMPLES), len(pcm))

    def press(self, keys: str) -> None:
        """Press keys, one after another; while one is held nothing is said."""
        for key in keys:
            self._pressed += rtp.pressed(key)

    def heard(self) -> PCM:
        """All that came so far, at 48 kHz; silence where packets are missing."""
        return g711.widen(rtp.placed(self._packets))

    def end(self) -> None:
        """Send nothing any more; whoever still says something gets a ConnectionError."""
        self._is_over = True
        if self._pump is not None:
            self._pump.cancel()
        self._speeches.fall_silent()

    async def close(self) -> None:
        """Hear nothing any more."""
        self.end()
        if self._pump is not None:
            await asyncio.wait({self._pump})
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = rtp.parse(data)
        if packet is None:
            return
        if packet.payload_type == sdp.PCMU:
            self._packets.append(packet)
        elif packet.payload_type == self.ours.events and packet.timestamp not in self._key_ends:
            key = rtp.released(packet.payload)
            self.keys += key
            self._key_ends |= {packet.timestamp} if key else set()

    def error_received(self, exc: Exception) -> None:
        """The other side has closed its socket before ours: no matter."""

    async def _send(self) -> None:
        stream = rtp.Stream()
        async for number in ticks(rtp.PACKET_FOR):
            packet = self._next(stream, is_first=number == 0)
            if self._transport is not None and self._theirs is not None:
                self._transport.sendto(packet.to_bytes(), (self._theirs.host, self._theirs.port))

    def _next(self, stream: rtp.Stream, *, is_first: bool) -> rtp.Packet:
        if self._pressed:
            return stream.key(self._events, *self._pressed.popleft())
        pcm = self._speeches.next()
        payload = _SILENCE if pcm is None else g711.encode(pcm)
        return stream.next(sdp.PCMU, payload, is_marked=is_first)

    @property
    def _events(self) -> int:
        """The payload type that the other side gave keys."""
        if self._theirs is None or self._theirs.events is None:
            raise RuntimeError("the other side takes no keys")
        return self._theirs.events

"""LiveKit's WebSocket: we say who we are, the server says who is there and offers media.

Messages are LiveKit's protobufs (`livekit_rtc.proto`). We are a client of protocol 15 whose
subscriber connection is the primary one: the server offers as soon as we have joined.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from livekit.protocol import models, rtc

from egress_manager.errors import CaptureFailed, LiveKitRefused

log = logging.getLogger(__name__)

#: How long the server may take to accept the WebSocket, and to say its first word. Seconds.
CONNECT_TIMEOUT: Final = 5.0
#: How long a message of ours may take to leave. Seconds.
SEND_TIMEOUT: Final = 5.0
#: How long the server may take to agree that a WebSocket is closed. Seconds.
CLOSE_TIMEOUT: Final = 0.5
#: Ask for a sign of life this often. Seconds.
PING_INTERVAL: Final = 5.0
#: The signal connection counts as lost when so many in a row got no answer. What is counted is not
#: time, for a process that stood still has not read its answers.
MOST_UNANSWERED: Final = 2

_OVER: Final = {
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
}
_QUERY: Final = {"auto_subscribe": "1", "protocol": "15", "sdk": "python", "version": "1.0"}


class Signalling:
    """One signal connection. Iterate `messages()`; it ends when the connection does."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, first: rtc.SignalResponse | None = None
    ) -> None:
        self._socket = socket
        self._first = first
        self._pinged_at, self._unanswered = time.monotonic(), 0

    async def messages(self) -> AsyncIterator[rtc.SignalResponse]:
        """What the server says, until it hangs up or falls silent.

        A message that can't be read is passed over. Raises `CaptureFailed` where a ping of ours
        can't leave.
        """
        if self._first is not None:
            yield self._first
        while True:
            message = await self._received()
            if not await self._is_alive():
                return
            if message is None:
                continue
            if message.type in _OVER:
                return
            if (response := _response(message)) is not None:
                yield response

    async def _received(self) -> aiohttp.WSMessage | None:
        """The next message, or None when none comes for a while."""
        try:
            message = await self._socket.receive(timeout=PING_INTERVAL)
        except TimeoutError:
            return None
        self._unanswered = 0
        return message

    async def _is_alive(self) -> bool:
        """Whether the server answers, as far as is known; now and then it is asked."""
        if time.monotonic() - self._pinged_at < PING_INTERVAL:
            return True
        if self._unanswered >= MOST_UNANSWERED:
            return False
        self._pinged_at = time.monotonic()
        self._unanswered += 1
        await self.ping()
        return True

    async def ping(self) -> None:
        """Ask for a sign of life."""
        await self._send(rtc.SignalRequest(ping=int(time.time() * 1000)))

    async def answer(self, sdp: str, offer_id: int) -> None:
        """Answer the subscriber offer of that id."""
        description = rtc.SessionDescription(type="answer", sdp=sdp, id=offer_id)
        await self._send(rtc.SignalRequest(answer=description))

    async def add_track(self, track_id: str) -> None:
        """Announce a microphone; `track_id` is what it is called in the offer that follows."""
        track = rtc.AddTrackRequest(
            cid=track_id, type=models.TrackType.AUDIO, source=models.TrackSource.MICROPHONE
        )
        await self._send(rtc.SignalRequest(add_track=track))

    async def offer(self, sdp: str) -> None:
        """Offer to send: the publisher's connection, which only we offer."""
        description = rtc.SessionDescription(type="offer", sdp=sdp)
        await self._send(rtc.SignalRequest(offer=description))

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Change some of our attributes; everybody in the room sees it."""
        change = rtc.UpdateParticipantMetadata(attributes=attributes)
        await self._send(rtc.SignalRequest(update_metadata=change))

    async def close(self) -> None:
        """Close the connection, whether the server agrees or not; harmless to repeat."""
        await self._socket.close()

    async def leave(self) -> None:
        """Say goodbye; the server forgets us at once."""
        await self._send(rtc.SignalRequest(leave=rtc.LeaveRequest()))

    async def _send(self, request: rtc.SignalRequest) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._socket.send_bytes(request.SerializeToString())
        except (ConnectionError, aiohttp.ClientError, TimeoutError) as error:
            raise CaptureFailed("the signal connection to LiveKit is gone") from error


def name_of(enum: Any, value: int) -> str:
    """The name of a protobuf enum's value; its number where a newer server has one more."""
    try:
        return str(enum.Name(value))
    except ValueError:
        return str(value)


def _response(message: aiohttp.WSMessage) -> rtc.SignalResponse | None:
    """What the server said, or None where it can't be understood."""
    response = rtc.SignalResponse()
    try:
        response.ParseFromString(message.data)
    except Exception as error:  # protobuf's own, of which there are several, or a text message
        log.warning("signal_passed_over", extra={"detail": repr(error)})
        return None
    return response


@asynccontextmanager
async def signal(session: aiohttp.ClientSession, url: str, token: str) -> AsyncIterator[Signalling]:
    """A signal connection for as long as the block lasts; see `connect`."""
    signalling = await connect(session, url, token)
    try:
        yield signalling
    finally:
        await signalling.close()


async def connect(session: aiohttp.ClientSession, url: str, token: str) -> Signalling:
    """A signal connection to the server at `url` (ws or wss), on which it has said something.

    Raises `LiveKitRefused` where the token is not good enough, `CaptureFailed` where the server
    does not answer in time. The caller closes it.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            socket = await session.ws_connect(
                url.rstrip("/") + "/rtc",
                params=_QUERY,
                headers={"Authorization": f"Bearer {token}"},
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
            )
            return Signalling(socket, await _first_word(socket))
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (401, 403):
            raise LiveKitRefused("LiveKit refused the recorder's token: check the key") from error
        raise CaptureFailed(f"LiveKit answered {error.status} to the recorder") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise CaptureFailed("LiveKit's signal connection can't be reached") from error


async def _first_word(socket: aiohttp.ClientWebSocketResponse) -> rtc.SignalResponse | None:
    """The first message, or None when it can't be understood; whoever does not get it hangs up."""
    try:
        message = await socket.receive()
    except BaseException:
        await socket.close()
        raise
    if message.type in _OVER:
        await socket.close()
        raise CaptureFailed("LiveKit closed the signal connection at once")
    return _response(message)

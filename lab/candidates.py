"""ICE candidates in signalling messages, so changed that media can only take our way."""

import json
from dataclasses import dataclass
from typing import Literal

from livekit.protocol.rtc import SignalRequest, SignalResponse

Transport = Literal["udp", "tcp", "relay"]
_CANDIDATE_LINE = "a=candidate:"


@dataclass(frozen=True, slots=True)
class Detour:
    """Which candidates the two sides learn of each other.

    The client learns the server's of one transport: UDP ones with the address of our relay,
    TCP ones as they are. The server learns none of the client's, or it would find a way
    around the relay; it answers to wherever the client's checks come from. With `relay` all is as
    with UDP, but the server learns the candidates that a TURN server gave the client.
    """

    transport: Transport
    host: str
    port: int

    def to_client(self, data: bytes) -> bytes | None:
        """A server's message as the client shall see it; None when nothing is left of it."""
        response = SignalResponse.FromString(data)
        match response.WhichOneof("message"):
            case "offer":
                response.offer.sdp = self._sdp(response.offer.sdp)
            case "answer":
                response.answer.sdp = self._sdp(response.answer.sdp)
            case "trickle":
                init = self._init(response.trickle.candidateInit)
                if init is None:
                    return None
                response.trickle.candidateInit = init
            case _:
                return data
        changed: bytes = response.SerializeToString()
        return changed

    def to_server(self, data: bytes) -> bytes | None:
        """A client's message as the server shall see it; None when it must not."""
        request = SignalRequest.FromString(data)
        match request.WhichOneof("message"):
            case "offer":
                request.offer.sdp = self._of_client(request.offer.sdp)
            case "answer":
                request.answer.sdp = self._of_client(request.answer.sdp)
            case "trickle":
                return None
            case _:
                return data
        changed: bytes = request.SerializeToString()
        return changed

    def _of_client(self, sdp: str) -> str:
        """A client's SDP, with the candidates that the server may know."""
        lines = sdp.splitlines(keepends=True)
        return "".join(line for line in lines if self._may_pass(line))

    def _may_pass(self, line: str) -> bool:
        is_relayed = self.transport == "relay" and " typ relay" in line
        return is_relayed or not line.startswith(_CANDIDATE_LINE)

    def _sdp(self, text: str) -> str:
        lines = (self._line(line) for line in text.splitlines(keepends=True))
        return "".join(line for line in lines if line is not None)

    def _line(self, line: str) -> str | None:
        if not line.startswith(_CANDIDATE_LINE):
            return line
        moved = self._candidate(line.removeprefix("a="))
        return None if moved is None else f"a={moved}"

    def _init(self, text: str) -> str | None:
        init = json.loads(text)
        if not init.get("candidate"):
            return text
        moved = self._candidate(init["candidate"])
        return None if moved is None else json.dumps(init | {"candidate": moved})

    def _candidate(self, text: str) -> str | None:
        """One candidate, moved if need be; None when the client must not know it."""
        # candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE …
        words = text.split(" ")
        transport = words[2].lower()
        if transport != ("udp" if self.transport == "relay" else self.transport):
            return None
        if transport == "udp":
            words[4:6] = [self.host, str(self.port)]
        return " ".join(words)

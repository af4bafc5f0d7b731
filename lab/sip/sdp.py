"""Offers and answers of sound: G.711 mu-law, and keys as telephone events (RFC 8866, 3264)."""

import secrets
from dataclasses import dataclass

#: The payload type of G.711 mu-law is fixed (RFC 3551).
PCMU = 0
#: Ours for telephone events (RFC 4733); the other side may have another.
EVENTS = 101


class NoSound(ValueError):
    """A description without sound that we could send and understand; says why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Where somebody wants to get sound, and as which payload type keys (None: not at all)."""

    host: str
    port: int
    events: int | None = EVENTS

    def to_bytes(self) -> bytes:
        """The description, as offer or as answer."""
        types, version = [str(PCMU)], secrets.randbelow(2**31)
        attributes = [f"rtpmap:{PCMU} PCMU/8000"]
        if self.events is not None:
            types.append(str(self.events))
            attributes += [f"rtpmap:{self.events} telephone-event/8000", f"fmtp:{self.events} 0-15"]
        lines = [
            "v=0",
            f"o=- {version} {version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {' '.join(types)}",
            *(f"a={attribute}" for attribute in (*attributes, "ptime:20", "sendrecv")),
        ]
        return "\r\n".join([*lines, ""]).encode()


def parse(body: bytes) -> Sound:
    """The first sound that a description has. Raises NoSound."""
    host, lines = "", iter(body.decode(errors="replace").splitlines())
    for line in lines:
        if line.startswith("m=audio "):
            return _media(line, list(lines), host)
        if line.startswith("c="):
            host = _host(line)
    raise NoSound("no audio in the description")


def _media(line: str, rest: list[str], host: str) -> Sound:
    port, _, *types = line.removeprefix("m=audio ").split()
    for detail in rest:
        if detail.startswith("m="):
            break
        if detail.startswith("c="):
            host = _host(detail)
    if str(PCMU) not in types:
        raise NoSound(f"no PCMU among the payload types {' '.join(types)}")
    if port == "0" or not port.isdecimal() or not host:
        raise NoSound(f"nowhere to send to: {host}:{port}")
    return Sound(host, int(port), _events(rest, types))


def _events(lines: list[str], types: list[str]) -> int | None:
    """The payload type of telephone events."""
    for line in lines:
        number, _, codec = line.removeprefix("a=rtpmap:").partition(" ")
        if codec.lower().startswith("telephone-event/8000") and number in types:
            return int(number)
    return None


def _host(line: str) -> str:
    return line.rpartition(" ")[2].split("/")[0]

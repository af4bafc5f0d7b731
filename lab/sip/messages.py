"""SIP messages: read from datagrams and written into them (RFC 3261, chapter 7).

Header names are kept in their long form, values as they came, unfolded.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

VERSION: Final = "SIP/2.0"
Headers = tuple[tuple[str, str], ...]

#: Short names that a header may come by (7.3.3 and the registry of header fields).
_LONG: Final = {
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "s": "Subject",
    "t": "To",
    "v": "Via",
}
#: Headers of which several may stand in one line with commas between them.
_LISTS: Final = {"allow", "contact", "record-route", "route", "supported", "via"}
_NEEDED: Final = ("Via", "From", "To", "Call-ID", "CSeq")


class Malformed(ValueError):
    """Not a SIP message; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Message:
    """What requests and responses have in common."""

    headers: Headers
    body: bytes = b""

    def get(self, name: str) -> str:
        """The first header of that name; empty when there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """All headers of that name, in order; lists are taken apart."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        if name.lower() not in _LISTS:
            return values
        return [part for value in values for part in split_list(value)]

    @property
    def branch(self) -> str:
        """What names the transaction: of the topmost Via."""
        return parameter(self.get("Via"), "branch")

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method."""
        number, _, method = self.get("CSeq").partition(" ")
        return int(number), method.strip()

    def _written(self, first_line: str) -> bytes:
        length = ("Content-Length", str(len(self.body)))
        lines = [f"{name}: {value}" for name, value in (*self.headers, length)]
        return "\r\n".join([first_line, *lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Request(Message):
    """INVITE, ACK, BYE, CANCEL, OPTIONS and others."""

    method: str = ""
    uri: str = ""

    def to_bytes(self) -> bytes:
        return self._written(f"{self.method} {self.uri} {VERSION}")


@dataclass(frozen=True, slots=True)
class Response(Message):
    """An answer: provisional below 200, else final."""

    status: int = 0
    reason: str = ""

    def to_bytes(self) -> bytes:
        return self._written(f"{VERSION} {self.status} {self.reason}")

    @property
    def is_final(self) -> bool:
        return self.status >= 200

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def parse(datagram: bytes) -> Request | Response:
    """The message in a datagram; what follows its length is no part of it (18.3).

    Raises Malformed.
    """
    head, gap, body = datagram.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not gap:
        raise Malformed("no empty line after the headers")
    try:
        first, *lines = head.decode().split("\r\n")
    except UnicodeDecodeError as error:
        raise Malformed("headers are not UTF-8") from error
    headers = tuple(_headers(lines))
    named = {name.lower() for name, _ in headers}
    if missing := [name for name in _NEEDED if name.lower() not in named]:
        raise Malformed(f"without {', '.join(missing)}")
    message = _begun(first, headers, _cut(headers, body))
    _check_cseq(message)
    return message


def answer(
    request: Request,
    status: int,
    reason: str,
    *,
    tag: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Response:
    """A response to a request (8.2.6): Via, From, Call-ID and CSeq are the request's.

    `tag` is ours in To, where the request has none.
    """
    told = dict(headers or {})
    to = request.get("To")
    if tag and not parameter(to, "tag"):
        to = f"{to};tag={tag}"
    copied = [("Via", via) for via in request.all("Via")]
    copied += [("Record-Route", route) for route in request.all("Record-Route")]
    copied += [("From", request.get("From")), ("To", to)]
    copied += [(name, request.get(name)) for name in ("Call-ID", "CSeq")]
    return Response((*copied, *told.items()), body, status, reason)


def parameter(value: str, name: str) -> str:
    """A parameter of a header: of `<sip:x@y;lr>;tag=1` `tag`, but not `lr`; empty without one."""
    outside = value.rpartition(">")[2] if "<" in value else value
    for part in outside.split(";")[1:]:
        key, _, content = part.partition("=")
        if key.strip().lower() == name:
            return content.strip().strip('"')
    return ""


def uri_in(value: str) -> str:
    """The address in a header: of `"A" <sip:a@b>;tag=1` it is `sip:a@b`."""
    if "<" in value:
        return value.partition("<")[2].partition(">")[0]
    return value.split(";")[0].strip()


def user_of(uri: str) -> str:
    """The user in an address, such as a number; empty without one."""
    user, at, _ = uri.partition(":")[2].partition("@")
    return user.split(";")[0] if at else ""


def host_of(uri: str) -> tuple[str, int]:
    """Host and port in an address; 5060 where it names none. Raises Malformed."""
    rest = uri.partition(":")[2].rpartition("@")[2]
    host, _, port = rest.split(";")[0].split("?")[0].partition(":")
    if not host or (port and not port.isdecimal()):
        raise Malformed(f"no host and port in {uri!r}")
    return host, int(port or 5060)


def split_list(value: str) -> list[str]:
    """Parts with commas between them, but for commas within quotes and angle brackets."""
    parts, depth, is_quoted = [""], 0, False
    for letter in value:
        is_quoted ^= letter == '"'
        depth += 0 if is_quoted else (letter == "<") - (letter == ">")
        if letter == "," and not depth and not is_quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _headers(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Names and values; a line that begins with a blank goes on with the one before (7.3.1)."""
    found: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and found:
            name, value = found.pop()
            found.append((name, f"{value} {line.strip()}"))
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise Malformed(f"not a header: {line!r}")
        name = name.strip()
        found.append((_LONG.get(name.lower(), name), value.strip()))
    return found


def _cut(headers: Headers, body: bytes) -> bytes:
    """As much of the body as Content-Length says."""
    said = next((value for name, value in headers if name.lower() == "content-length"), None)
    if said is None:
        return body
    if not said.isdecimal():
        raise Malformed(f"Content-Length is {said!r}")
    if int(said) > len(body):
        raise Malformed(f"{len(body)} bytes of a body of {said}")
    return body[: int(said)]


def _begun(first: str, headers: Headers, body: bytes) -> Request | Response:
    one, _, rest = first.partition(" ")
    two, _, three = rest.partition(" ")
    headers = tuple(header for header in headers if header[0].lower() != "content-length")
    if one == VERSION and len(two) == 3 and two.isdecimal():
        return Response(headers, body, int(two), three)
    if three == VERSION and one.isupper() and two:
        return Request(headers, body, one, two)
    raise Malformed(f"not a first line: {first!r}")


def _check_cseq(message: Request | Response) -> None:
    number, _, method = message.get("CSeq").partition(" ")
    if not number.isdecimal() or not method.strip():
        raise Malformed(f"CSeq is {message.get('CSeq')!r}")
    if isinstance(message, Request) and message.method != method.strip():
        raise Malformed(f"{message.method} whose CSeq says {method.strip()}")

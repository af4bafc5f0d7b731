"""What two telephones agreed on when a call was answered (RFC 3261, chapter 12)."""

import secrets
from dataclasses import dataclass, replace

from lab.sip.messages import (
    VERSION,
    Headers,
    Request,
    Response,
    host_of,
    parameter,
    uri_in,
)
from lab.sip.transactions import Place

ALLOWED = "INVITE, ACK, BYE, CANCEL, OPTIONS"
#: Every branch of RFC 3261 begins so.
_COOKIE = "z9hG4bK"


def new_tag() -> str:
    """A tag or a Call-ID that nobody else has."""
    return secrets.token_hex(8)


def via(place: Place) -> str:
    """A Via with a new branch; answers come back to where the request came from (RFC 3581)."""
    host, port = place
    return f"{VERSION}/UDP {host}:{port};branch={_COOKIE}{new_tag()};rport"


def invite(caller: str, called: str, ours: Place, theirs: Place, offer: bytes) -> Request:
    """The request for a call between two numbers."""
    here, there = ":".join(map(str, ours)), ":".join(map(str, theirs))
    headers = (
        ("Via", via(ours)),
        ("Max-Forwards", "70"),
        ("From", f"<sip:{caller}@{here}>;tag={new_tag()}"),
        ("To", f"<sip:{called}@{there}>"),
        ("Call-ID", f"{new_tag()}@{ours[0]}"),
        ("CSeq", "1 INVITE"),
        ("Contact", f"<sip:{caller}@{here}>"),
        ("Allow", ALLOWED),
        ("Content-Type", "application/sdp"),
    )
    return Request(headers, offer, "INVITE", f"sip:{called}@{there}")


def cancel(asked: Request) -> Request:
    """Take back an INVITE that is not answered yet (9.1)."""
    kept = ("Via", "Max-Forwards", "From", "To", "Call-ID", "Route")
    headers = [(name, value) for name in kept for value in asked.all(name)[:1]]
    headers.append(("CSeq", f"{asked.cseq[0]} CANCEL"))
    return Request(tuple(headers), b"", "CANCEL", asked.uri)


@dataclass(frozen=True, slots=True)
class Dialog:
    """Who talks to whom; `target` is the address of the other one's telephone."""

    call_id: str
    local: str
    remote: str
    target: str
    route: tuple[str, ...]
    number: int

    @classmethod
    def of_caller(cls, asked: Request, response: Response) -> "Dialog":
        """As the caller sees it, whose INVITE was answered."""
        return cls(
            asked.get("Call-ID"),
            asked.get("From"),
            response.get("To"),
            uri_in(response.get("Contact")) or asked.uri,
            tuple(reversed(response.all("Record-Route"))),
            asked.cseq[0],
        )

    @classmethod
    def of_called(cls, asked: Request, tag: str) -> "Dialog":
        """As the one sees it who was called, and chose the tag."""
        return cls(
            asked.get("Call-ID"),
            f"{asked.get('To')};tag={tag}",
            asked.get("From"),
            uri_in(asked.get("Contact")),
            tuple(asked.all("Record-Route")),
            0,
        )

    @property
    def next_hop(self) -> Place:
        """Where to send requests: to the first proxy that wants to see them, or straight."""
        return host_of(uri_in(self.route[0]) if self.route else self.target)

    def later(self) -> "Dialog":
        """The dialog at its next request."""
        return replace(self, number=self.number + 1)

    def request(self, method: str, ours: Place) -> Request:
        """A request within the dialog: ACK has the number of its INVITE."""
        headers: Headers = (
            ("Via", via(ours)),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self.route),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self.number} {method}"),
        )
        return Request(headers, b"", method, self.target)

    def has(self, request: Request) -> bool:
        """Whether a request of the other side belongs to it."""
        return (
            request.get("Call-ID") == self.call_id
            and parameter(request.get("To"), "tag") == parameter(self.local, "tag")
            and parameter(request.get("From"), "tag") == parameter(self.remote, "tag")
        )

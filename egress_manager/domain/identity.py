"""Which LiveKit a database belongs to, and which database a recordings directory belongs to.

Two services that share a database have to share the LiveKit: each asks its own who is in a call,
and takes whoever is not listed for gone. Two databases can't share a directory: each would take the
other's captures for its own. So the first process that works on a database, or on a directory,
leaves a mark there, and every later one compares.

An address can change for good reasons, and two LiveKits can have the same one (`ws://livekit:7880`
in two Compose projects). A key can be replaced, and two LiveKits can have the same one (`devkey`).
So both have to be known; what is new has to be proven by a LiveKit itself: that it knows the old
key, too, and that a room which is opened at one address is listed at the other.
"""

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

#: This many addresses of one LiveKit are remembered, the newest.
MOST_ADDRESSES: Final = 20

#: All names of this host for itself.
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})

#: The port of each scheme, and the scheme of its API.
_PORTS: Final = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_HTTP: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class LiveKitIdentity:
    """A LiveKit, one server or a cluster.

    `credential` is a token without any right, signed with an API key of it: whoever has the key
    makes the same one, and a server tells whether it knows the key. `addresses` are the URLs at
    which it was reached, the newest last.
    """

    credential: str
    addresses: tuple[str, ...]

    def is_at(self, address: str) -> bool:
        """Whether it was reached there before, by whichever scheme."""
        return _place(address) in map(_place, self.addresses)

    def with_(self, other: "LiveKitIdentity") -> "LiveKitIdentity":
        """The same LiveKit, with the newest key and all addresses."""
        new = tuple(address for address in other.addresses if not self.is_at(address))
        return replace(other, addresses=(*self.addresses, *new)[-MOST_ADDRESSES:])


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """A database by its random `id`; `livekit` is None until a LiveKit has answered a process."""

    id: str
    livekit: LiveKitIdentity | None = None


def address_of(url: str) -> str:
    """The URL of LiveKit's API, however it was written: lower case, the default port left out.

    All loopback addresses are the same one.
    """
    parts = urlsplit(url)
    scheme, host = _HTTP.get(parts.scheme, parts.scheme), parts.hostname or ""
    host = "localhost" if host in _LOOPBACK else host
    host = f"[{host}]" if ":" in host else host
    port = parts.port if parts.port != _PORTS.get(scheme) else None
    return f"{scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _place(address: str) -> str:
    """An address without its scheme."""
    return address.partition("://")[2]


def of_another_livekit(name: str, known: LiveKitIdentity, own: LiveKitIdentity, why: str) -> str:
    """What to say to a process whose LiveKit is not the database's."""
    return (
        f"the database {name} belongs to another LiveKit, at {' and '.join(known.addresses)}: "
        f"{why}. On one database two LiveKits would end each other's calls. Set another MONGO_DB "
        f"for the LiveKit at {own.addresses[-1]}; or, if it is the same LiveKit or takes the place "
        "of the other, stop all processes and run: egress-manager adopt livekit --yes"
    )


def of_another_database(directory: str, name: str, owner: str, own: str) -> str:
    """What to say to a process whose recordings directory is that of another database."""
    return (
        f"the recordings directory {directory} belongs to the database with the id {owner}, and "
        f"{name} is another one ({own}): each would take the other's captures for its own. Set "
        f"another RECORDINGS_DIR; or, if {name} takes the place of the other, stop all processes "
        "and run: egress-manager adopt recordings --yes"
    )

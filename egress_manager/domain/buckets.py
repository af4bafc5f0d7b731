"""Storage of S3's kind that LiveKit Egress writes to by itself, and the objects in it.

An object is known by its address. LiveKit says one of its own making (livekit/storage, s3.go): it
is always of https, whatever the endpoint is, with the path percent-encoded; earlier versions took
the endpoint as it is and encoded nothing. So host, bucket and key are compared, and no scheme.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote

#: Where a bucket is whose storage is Amazon's own.
AMAZON: Final = "https://s3.amazonaws.com"

#: What stands as it is in the path of a URL (RFC 3986, section 3.3).
_PLAIN: Final = "/:@!$&'()*+,;="


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the key to it; `endpoint` is empty where the storage is Amazon's own."""

    name: str
    region: str = ""
    endpoint: str = ""
    access_key: str = ""
    secret: str = field(default="", repr=False)

    def address(self, key: str) -> str:
        """Where the object of that key is: a URL by which the storage can be asked for it."""
        return f"{self.endpoint or AMAZON}/{self.name}/{quote(key, safe=_PLAIN)}"

    def key(self, address: str) -> str | None:
        """The key of the object at that address; None where it is none of this bucket."""
        scheme, _, rest = address.partition("://")
        if scheme.lower() not in ("http", "https"):
            return None
        host, _, path = rest.partition("/")
        for own_host, beginning in self._places:
            key = path.removeprefix(beginning)
            if host.lower() == own_host.lower() and path.startswith(beginning):
                return unquote(key) if _is_plain(unquote(key)) else None
        return None

    @property
    def _places(self) -> tuple[tuple[str, str], ...]:
        """Hosts that have the bucket, and what paths to its objects begin with.

        Jobs that others have asked for may have the bucket's name in the host.
        """
        host = (self.endpoint or AMAZON).partition("://")[2]
        return (host, f"{self.name}/"), (f"{self.name}.{host}", "")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of a bucket. `etag` is another one when somebody has written it anew."""

    key: str
    size_bytes: int
    etag: str
    written_at: datetime


def _is_plain(key: str) -> bool:
    """Whether it is a path downwards: others have no name that every storage understands."""
    return not {"", ".", ".."} & set(key.split("/"))

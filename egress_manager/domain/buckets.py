"""Storage of S3's kind that LiveKit Egress writes to by itself, and the objects in it.

An object is known by the address that LiveKit gives (livekit/storage, s3.go). LiveKit puts it
together without quoting anything, so what stands behind the bucket's own address is the key.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

#: Where a bucket is whose storage is Amazon's own.
AMAZON: Final = "https://s3.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the key to it; `endpoint` is empty where the storage is Amazon's own."""

    name: str
    region: str = ""
    endpoint: str = ""
    access_key: str = ""
    secret: str = field(default="", repr=False)

    def address(self, key: str) -> str:
        """Where the object of that key is, as LiveKit says it of what we ask for."""
        return f"{self.endpoint or AMAZON}/{self.name}/{key}"

    def key(self, address: str) -> str | None:
        """The key of the object at that address; None where it is none of this bucket."""
        for beginning in (self.address(""), *self._others):
            key = address.removeprefix(beginning)
            if key != address:
                return key if _is_plain(key) else None
        return None

    @property
    def _others(self) -> tuple[str, ...]:
        """The same bucket, as jobs say it that others have asked for."""
        return () if self.endpoint else (f"https://{self.name}.s3.amazonaws.com/",)


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

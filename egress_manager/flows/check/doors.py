"""The doors that checks go through: the same servers as everywhere, asked more exactly.

Every verb raises `CheckFailed` with the trouble it met. They need no fakes: what checks are for is
how real servers fail.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from egress_manager.domain.checks import Database, Folder, Heard, Knock
from egress_manager.domain.policy import Policy
from egress_manager.ports import Clock


class LiveKitServer(Protocol):
    """livekit-server, asked from outside."""

    async def knock(self) -> Knock:
        """Whether it answers at all, without a key."""
        ...

    async def rooms(self) -> int:
        """How many rooms are open: the first question that needs the key."""
        ...

    async def direct_rooms(self) -> Sequence[str] | None:
        """The rooms that dispatch rules of the direct kind name; None where there is no SIP."""
        ...

    async def open_room(self, name: str, *, empty_for: int) -> None:
        """Open a room, which closes by itself when it was empty for so many seconds."""
        ...

    async def close_room(self, name: str) -> None:
        """Close it; harmless where it is closed already."""
        ...

    async def start_egress(self, room_name: str) -> str:
        """Have LiveKit Egress begin to record an empty room; the id of its job."""
        ...

    async def stop_egress(self, egress_id: str) -> None:
        """Have it end; harmless where it has."""
        ...


class Redis(Protocol):
    """The Redis of the settings."""

    async def ping(self) -> str:
        """Its version."""
        ...


class Store(Protocol):
    """The MongoDB that is used, opened when it is first asked."""

    async def write(self) -> Database:
        """Write, read again and delete, as durably as everything is written."""
        ...

    async def heard_of(self, event: str, room_name: str, since: datetime) -> bool:
        """Whether a webhook of that name about that room came into the inbox since then."""
        ...


class Disk(Protocol):
    """The recordings directory."""

    def write(self) -> Folder:
        """Write a file to the disk, rename it and remove it, wherever recorders do."""
        ...


class Storage(Protocol):
    """The bucket that LiveKit Egress writes to."""

    async def write(self) -> str:
        """Write an object, read it and delete it; where the bucket is."""
        ...


class Service(Protocol):
    """The running service, asked over HTTP as by any client."""

    @property
    def url(self) -> str:
        """Where it is asked."""
        ...

    async def is_there(self) -> None:
        """Whether Egress Manager answers. Raises `CheckFailed` with SERVICE_AWAY."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """What `GET /health` says, be it well or ill."""
        ...

    async def newest(self, path: str, room_name: str) -> Mapping[str, Any] | None:
        """The newest of `/calls` or `/recordings` in that room, or None.

        Raises `CheckFailed` with API_KEY_REFUSED where the API does not open.
        """
        ...

    async def audio(self, recording_id: str) -> bytes:
        """The mix."""
        ...


class Line(Protocol):
    """A call of ours that goes on."""

    @property
    def server(self) -> str:
        """The version of livekit-server, as it says itself."""
        ...

    async def play(self) -> float:
        """Play the known sound once; how long it is, in seconds."""
        ...


class Phone(Protocol):
    """Calls like somebody on a telephone, and knows its own sound again."""

    def call(self, room_name: str) -> AbstractAsyncContextManager[Line]:
        """A caller in that room, who sends silence until told to play, and hangs up at the end.

        Raises `CheckFailed` with CALL_NOT_PLACED or CALL_WITHOUT_MEDIA.
        """
        ...

    def listen(self, file: bytes) -> Heard:
        """What of the sound is in a file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDoors:
    """Everything that checks ask, and what the settings say; what is not set up is None.

    `phone` is None where no test call is wanted. `summary` is what the settings come to in a few
    words.
    """

    clock: Clock
    livekit: LiveKitServer
    redis: Redis | None
    store: Store
    disk: Disk
    storage: Storage | None
    service: Service
    phone: Phone | None
    policy: Policy
    finds_standing_rooms: bool
    database: str
    summary: str

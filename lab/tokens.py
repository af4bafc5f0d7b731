"""Who may join a room, and as what."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Protocol

from livekit import api

from lab import discretion

Kind = Literal["standard", "ingress", "egress", "sip", "agent"]
_VALID_FOR = timedelta(hours=6)


class Rooms(Protocol):
    """Where rooms are and the key that opens them: a `LiveKit`, a `Wire`, an `Address`."""

    @property
    def url(self) -> str:
        """ws://host:port"""

    @property
    def api_key(self) -> str: ...

    @property
    def api_secret(self) -> str: ...


def sip_port(rooms: Rooms) -> int | None:
    """Where telephones call, if livekit-sip is beside the server; through a `Wire` they don't."""
    port: int | None = getattr(rooms, "sip_port", None)
    return port


def token(
    rooms: Rooms,
    room: str,
    identity: str,
    *,
    kind: Kind = "standard",
    name: str = "",
    attributes: Mapping[str, str] | None = None,
    subscribes: bool = True,
) -> str:
    """What lets somebody join `room`, publish, subscribe and change its own attributes."""
    discretion.concerns(room, identity, name, *dict(attributes or {}).values())
    grants = api.VideoGrants(
        room_join=True, room=room, can_subscribe=subscribes, can_update_own_metadata=True
    )
    made: str = (
        api.AccessToken(rooms.api_key, rooms.api_secret)
        .with_identity(identity)
        .with_name(name)
        .with_kind(kind)
        .with_attributes(dict(attributes or {}))
        .with_grants(grants)
        .with_ttl(_VALID_FOR)
        .to_jwt()
    )
    return made

"""LiveKit's rooms, asked for over its API (ports `Rooms` and `Trunks`)."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import aiohttp
from livekit import api
from livekit.protocol import models

from egress_manager.domain.incoming import Kind, Participant, Room
from egress_manager.errors import EgressManagerError, LiveKitRefused, LiveKitUnavailable

#: How long a question may take. Seconds.
TIMEOUT: Final = 5.0

#: Twirp codes that mean: not with this key, or not this way (twitchtv.github.io/twirp/docs/errors).
_REFUSALS: Final = frozenset({"unauthenticated", "permission_denied", "bad_route"})

#: What a server without Redis says of everything that concerns SIP.
_NO_SIP: Final = "sip not connected"


class LiveKitRooms:
    """Asks livekit-server; open it in the event loop it is used in."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._api: Callable[[], api.LiveKitAPI] = lambda: api.LiveKitAPI(
            url, api_key, api_secret, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        )
        self._open: api.LiveKitAPI | None = None

    async def rooms(self) -> Sequence[Room]:
        async with self._asking() as livekit:
            listed = await livekit.room.list_rooms(api.ListRoomsRequest())
        return [Room(room.name, room.sid) for room in listed.rooms]

    async def participants(self, room_name: str) -> Sequence[Participant]:
        try:
            async with self._asking() as livekit:
                listed = await livekit.room.list_participants(
                    api.ListParticipantsRequest(room=room_name)
                )
        except LiveKitRefused as error:
            if getattr(error.__cause__, "code", "") == "not_found":
                return []
            raise
        return [
            participant_of(info)
            for info in listed.participants
            if info.state != models.ParticipantInfo.DISCONNECTED
        ]

    async def direct_rooms(self) -> Sequence[str]:
        try:
            async with self._asking() as livekit:
                listed = await livekit.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
        except LiveKitUnavailable as error:
            if _NO_SIP in getattr(error.__cause__, "message", ""):
                return []
            raise
        names = (item.rule.dispatch_rule_direct.room_name for item in listed.items)
        return sorted({name for name in names if name})

    async def aclose(self) -> None:
        """Close the HTTP session."""
        if self._open is not None:
            await self._open.aclose()

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[api.LiveKitAPI]:
        """The API; its errors become ours."""
        if self._open is None:
            self._open = self._api()
        try:
            yield self._open
        except api.TwirpError as error:
            raise _ours(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LiveKitUnavailable("livekit-server does not answer") from error


def _ours(error: api.TwirpError) -> EgressManagerError:
    if error.code in _REFUSALS or error.status in (401, 403):
        return LiveKitRefused("LiveKit refused the API key: check LIVEKIT_API_KEY and _SECRET")
    if error.code in ("unavailable", "deadline_exceeded", "internal", "unknown"):
        return LiveKitUnavailable(f"livekit-server answered {error.code}")
    return LiveKitRefused(f"livekit-server answered {error.code}")


def participant_of(info: models.ParticipantInfo) -> Participant:
    """LiveKit's participant in our words."""
    kinds = models.ParticipantInfo.Kind
    kind = kinds.Name(info.kind) if info.kind in kinds.values() else ""  # newer than we know
    joined = info.joined_at_ms / 1000 if info.joined_at_ms else info.joined_at
    return Participant(
        sid=info.sid,
        identity=info.identity,
        name=info.name,
        kind=Kind(kind) if kind in Kind.__members__ else Kind.OTHER,
        metadata=info.metadata,
        attributes=dict(info.attributes),
        joined_at=datetime.fromtimestamp(joined, UTC) if joined else None,
        is_recorder=kind == "EGRESS" or info.permission.recorder,
    )

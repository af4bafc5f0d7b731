"""LiveKit's rooms, asked for over its API (ports `Rooms` and `Trunks`)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from livekit import api
from livekit.protocol import models

from egress_manager.adapters.livekit_api import LiveKitApi
from egress_manager.domain.incoming import Kind, Participant, Room, Track
from egress_manager.errors import LiveKitRefused, LiveKitUnavailable

#: What a server without Redis says of everything that concerns SIP.
_NO_SIP: Final = "sip not connected"

#: What LiveKit says when no server has the participant, or none answers within 3 s.
_NOBODY_HAS_IT: Final = "no response from servers"
#: A server that is busy may not answer in time: it is asked this often.
ASKED: Final = 2

#: A time of joining before or after these is none: nothing can be reckoned with it.
_EARLIEST, _LATEST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2200))


class LiveKitRooms(LiveKitApi):
    """Rooms, who is in them, and what of SIP is asked all the time."""

    async def rooms(self) -> Sequence[Room]:
        async with self.asking() as livekit:
            listed = await livekit.room.list_rooms(api.ListRoomsRequest())
        return [Room(room.name, room.sid) for room in listed.rooms]

    async def participants(self, room_name: str) -> Sequence[Participant]:
        try:
            async with self.asking() as livekit:
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

    async def carries(self, room_name: str, identity: str) -> bool:
        for _ in range(ASKED):
            if await self._is_carried(room_name, identity):
                return True
        return False

    async def _is_carried(self, room_name: str, identity: str) -> bool:
        # A change of subscriptions goes to the server that carries the participant, past Redis's
        # keys; this one names no track, and changes nothing.
        nothing = api.UpdateSubscriptionsRequest(room=room_name, identity=identity)
        try:
            async with self.asking() as livekit:
                await livekit.room.update_subscriptions(nothing)
        except LiveKitRefused:
            return False
        except LiveKitUnavailable as error:
            if _NOBODY_HAS_IT in getattr(error.__cause__, "message", ""):
                return False
            raise
        return True

    async def direct_rooms(self) -> Sequence[str]:
        try:
            async with self.asking() as livekit:
                listed = await livekit.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
        except LiveKitUnavailable as error:
            if _NO_SIP in getattr(error.__cause__, "message", ""):
                return []
            raise
        names = (item.rule.dispatch_rule_direct.room_name for item in listed.items)
        return sorted({name for name in names if name})


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
        joined_at=datetime.fromtimestamp(joined, UTC) if _EARLIEST < joined < _LATEST else None,
        is_recorder=kind == "EGRESS" or info.permission.recorder,
        tracks=tuple(_track_of(t) for t in info.tracks if t.type == models.TrackType.AUDIO),
    )


def _track_of(info: models.TrackInfo) -> Track:
    return Track(
        info.sid,
        info.name,
        info.mime_type.lower() or "audio/opus",
        is_muted=info.muted,
        is_encrypted=info.encryption != models.Encryption.NONE,
    )

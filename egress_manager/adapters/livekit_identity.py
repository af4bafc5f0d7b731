"""Asks livekit-server whether it knows a key, and whether another address leads to it, too."""

import asyncio
import contextlib
import secrets
from typing import Final

import aiohttp
from livekit import api

from egress_manager.adapters.livekit_api import TIMEOUT, LiveKitApi
from egress_manager.adapters.livekit_tokens import credential_token
from egress_manager.domain.identity import LiveKitIdentity, address_of
from egress_manager.errors import LiveKitRefused, LiveKitUnavailable

#: The rooms in which nobody ever is; they close by themselves after so many seconds.
ROOM: Final = "egress-manager-same"
EMPTY_TIMEOUT_SEC: Final = 10
#: No agent has this name: without one, every agent that waits for rooms would be sent there.
NO_AGENT: Final = "egress-manager-nobody"
#: A cluster may need a moment to list a new room.
LOOKS: Final = 3
LOOK_AGAIN_SEC: Final = 0.3

_LIST_ROOMS: Final = "/twirp/livekit.RoomService/ListRooms"


class LiveKitIdentityProof:
    """`LiveKitProof` of one URL and one key."""

    def __init__(self, url: str, api_key: str, api_secret: str) -> None:
        self._url, self._key = url, (api_key, api_secret)

    @property
    def own(self) -> LiveKitIdentity:
        return LiveKitIdentity(credential_token(*self._key), (address_of(self._url),))

    async def knows(self, credential: str) -> bool:
        """A key that is known but has no right is refused by the API itself, in JSON.

        Another one is refused before, in plain text.
        """
        headers = {"Authorization": f"Bearer {credential}"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self._url}{_LIST_ROOMS}", json={}, headers=headers) as answer,
            ):
                if answer.status >= 500:
                    raise LiveKitUnavailable(f"livekit-server answered {answer.status}")
                return answer.content_type == "application/json"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise LiveKitUnavailable("livekit-server does not answer") from error

    async def is_reached_at(self, address: str) -> bool:
        name = f"{ROOM}-{secrets.token_hex(8)}"
        here, there = LiveKitApi(self._url, *self._key), LiveKitApi(address, *self._key)
        async with contextlib.aclosing(here), contextlib.aclosing(there):
            async with here.asking() as livekit:
                await livekit.room.create_room(_empty_room(name))
            try:
                return await _is_listed(name, there)
            finally:
                with contextlib.suppress(LiveKitUnavailable, LiveKitRefused):
                    async with here.asking() as livekit:
                        await livekit.room.delete_room(api.DeleteRoomRequest(room=name))


def _empty_room(name: str) -> api.CreateRoomRequest:
    nobody = api.RoomAgentDispatch(agent_name=NO_AGENT)
    return api.CreateRoomRequest(name=name, empty_timeout=EMPTY_TIMEOUT_SEC, agents=[nobody])


async def _is_listed(name: str, there: LiveKitApi) -> bool:
    with contextlib.suppress(LiveKitUnavailable, LiveKitRefused):
        for _ in range(LOOKS):
            async with there.asking() as livekit:
                found = await livekit.room.list_rooms(api.ListRoomsRequest(names=[name]))
            if found.rooms:
                return True
            await asyncio.sleep(LOOK_AGAIN_SEC)
    return False

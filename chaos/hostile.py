"""Participants that do everything they can to cost other calls something."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from chaos.house import House
from lab.hostile import HostilePublisher

#: Who calls into a room of its own, and who is a guest in the first call's (see `calls.Call`).
NUMBER: Final = "+15556660"
ROOM: Final = "room-hostile"
GUESTS_ROOM: Final = "room-0"
#: Packets of sound a second, and how often the other tricks are done. More would be too much for
#: livekit-server, which has to tell everybody, on the two cores of all.
RATE: Final = 200
OFTEN: Final = 10.0
#: Longer than any call lasts. Seconds.
AS_LONG_AS_CALLS: Final = 600.0
#: What a guest does: nothing that is heard, since the words of the call are to be found.
SILENT: Final = ("dtmf", "metadata", "name")


@contextlib.asynccontextmanager
async def publishers(house: House) -> AsyncIterator[None]:
    """All tricks at once in a room of one's own, those without sound in the first call's room."""
    about = {
        "sip.callID": f"SCL_{ROOM}",
        "sip.callStatus": "active",
        "sip.phoneNumber": NUMBER,
        "sip.trunkPhoneNumber": "+15557650000",
    }
    caller = HostilePublisher(house.livekit, ROOM, f"sip_{NUMBER}", kind="sip", attributes=about)
    guest = HostilePublisher(house.livekit, GUESTS_ROOM, "mallory")
    async with caller, guest:
        attacks = [
            asyncio.create_task(each)
            for each in (
                caller.attack(seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN),
                guest.attack(*SILENT, seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN),
            )
        ]
        try:
            yield
        finally:
            for attack in attacks:
                attack.cancel()
            await asyncio.gather(*attacks, return_exceptions=True)

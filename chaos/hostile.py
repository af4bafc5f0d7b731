"""Participants and clients that do everything they can to cost calls something."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from chaos.house import House
from lab.hostile_clients import HostileClients
from lab.hostile_publishers import HostilePublishers

#: The room of the first call, in which one of them is a guest (see `calls.Call`).
GUESTS_ROOM: Final = "room-0"
#: How long clients are hostile. Seconds.
BESET: Final = 10.0
#: How long publishers may take to leave. Seconds.
GOES_WITHIN: Final = 20.0


@contextlib.asynccontextmanager
async def clients(house: House) -> AsyncIterator[None]:
    """All that clients without a key can think of."""
    async with HostileClients(house.manager.port):
        yield


@contextlib.asynccontextmanager
async def publishers(house: House) -> AsyncIterator[None]:
    """All tricks at once in a room of one's own, those without sound in the first call's room."""
    async with HostilePublishers(house.livekit, GUESTS_ROOM) as hostile:
        yield
        await hostile.stop(GOES_WITHIN)

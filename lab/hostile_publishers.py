"""Participants that mean harm: one with a call of its own, one a guest in somebody else's.

    async with HostilePublishers(livekit, guests_room="call-1"): ...

They are a process of their own, so that they do not cost the phones of a test any time.

    python -m lab.hostile_publishers URL GUESTS_ROOM READY
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from lab import programs
from lab.hostile import HostilePublisher
from lab.plans import Address
from lab.processes import Server
from lab.servers import API_KEY, API_SECRET, LiveKit

#: Who calls into a room of its own.
NUMBER: Final = "+15556660"
ROOM: Final = "room-hostile"
#: Packets of sound a second, and how often the other tricks are done. More would be too much for
#: livekit-server: it forwards each change to every participant, on the same two cores.
RATE: Final = 100
OFTEN: Final = 5.0
#: Longer than any call lasts. Seconds.
AS_LONG_AS_CALLS: Final = 600.0
#: What a guest does: nothing that is heard, since the words of the call are to be found, and
#: nothing that is dear for its phones.
SILENT: Final = ("dtmf", "name")


class HostilePublishers(Server):
    """The process: all tricks at once in a room of its own, those without sound in another one."""

    name = "hostile-publishers"

    def __init__(self, livekit: LiveKit, guests_room: str) -> None:
        super().__init__()
        self._livekit = livekit
        self._guests_room = guests_room
        self._ready = self.directory / "ready"

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "lab.hostile_publishers"]
        return [*module, self._livekit.url, self._guests_room, str(self._ready)]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(programs.ROOT)}

    async def answers(self) -> bool:
        return self._ready.exists()


async def _attack(url: str, guests_room: str, ready: Path) -> None:
    """Attack until SIGTERM comes; the file appears when both are in."""
    address = Address(url, API_KEY, API_SECRET)
    about = {
        "sip.callID": f"SCL_{ROOM}",
        "sip.callStatus": "active",
        "sip.phoneNumber": NUMBER,
        "sip.trunkPhoneNumber": "+15557650000",
    }
    caller = HostilePublisher(address, ROOM, f"sip_{NUMBER}", kind="sip", attributes=about)
    guest = HostilePublisher(address, guests_room, "mallory")
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    async with caller, guest:
        tasks = [
            asyncio.create_task(caller.attack(seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN)),
            asyncio.create_task(
                guest.attack(*SILENT, seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN)
            ),
        ]
        await asyncio.to_thread(ready.touch)
        await ends.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # then both leave in good order


if __name__ == "__main__":
    _, _url, _guests_room, _ready = sys.argv
    asyncio.run(_attack(_url, _guests_room, Path(_ready)))

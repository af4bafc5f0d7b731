"""Participants and clients that do everything they can to cost calls something.

They are processes of their own, so that they do not cost the phones of the suite any time.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Final

from chaos.house import House
from lab.hostile import HostilePublisher
from lab.hostile_clients import HostileClients
from lab.plans import Address
from lab.programs import ROOT
from lab.servers import API_KEY, API_SECRET

#: Who calls into a room of its own, and who is a guest in the first call's (see `calls.Call`).
NUMBER: Final = "+15556660"
ROOM: Final = "room-hostile"
GUESTS_ROOM: Final = "room-0"
#: Packets of sound a second, and how often the other tricks are done. More would be too much for
#: livekit-server: it forwards each change to every participant, on the same two cores.
RATE: Final = 100
OFTEN: Final = 5.0
#: Longer than any call lasts. Seconds.
AS_LONG_AS_CALLS: Final = 600.0
#: What a guest does: nothing that is heard, since the words of the call are to be found, and
#: nothing that is dear for its phones.
SILENT: Final = ("dtmf", "name")
#: What the process says when both are in, and how long it may take to come and to go. Seconds.
READY: Final = b"ready\n"
COMES_WITHIN: Final = 40.0
GOES_WITHIN: Final = 20.0


#: How long clients are hostile. Seconds.
BESET: Final = 10.0


@contextlib.asynccontextmanager
async def clients(house: House) -> AsyncIterator[None]:
    """All that clients without a key can think of."""
    async with HostileClients(house.manager.port):
        yield


@contextlib.asynccontextmanager
async def publishers(house: House) -> AsyncIterator[None]:
    """All tricks at once in a room of one's own, those without sound in the first call's room."""
    command = (sys.executable, "-m", "chaos.hostile", house.livekit.url)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(COMES_WITHIN):
            if await process.stdout.readline() != READY:
                raise ConnectionError("the hostile publishers did not come in")
        yield
    finally:
        process.stdin.close()  # they leave in good order
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOES_WITHIN):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def attack(url: str) -> None:
    """Attack until stdin is closed."""
    address = Address(url, API_KEY, API_SECRET)
    about = {
        "sip.callID": f"SCL_{ROOM}",
        "sip.callStatus": "active",
        "sip.phoneNumber": NUMBER,
        "sip.trunkPhoneNumber": "+15557650000",
    }
    caller = HostilePublisher(address, ROOM, f"sip_{NUMBER}", kind="sip", attributes=about)
    guest = HostilePublisher(address, GUESTS_ROOM, "mallory")
    async with caller, guest:
        tasks = [
            asyncio.create_task(each)
            for each in (
                caller.attack(seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN),
                guest.attack(*SILENT, seconds=AS_LONG_AS_CALLS, rate=RATE, often=OFTEN),
            )
        ]
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1]))

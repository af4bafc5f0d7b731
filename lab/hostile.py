"""A participant that sends what it likes: every trick by which one may cost others something.

    async with HostilePublisher(livekit, "call-1", "mallory") as mallory:
        await mallory.attack(seconds=20, rate=500)              # all tricks at once
        await mallory.attack("leap", seconds=5, rate=1000)      # one

A trick that sends packets decides what each says of itself; the others change what the room knows
of the participant, or send data.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from itertools import count
from typing import Final

from livekit.protocol import models

from lab.rtp_publisher import FRAME, RtpPublisher, RtpTrack, encoded
from lab.sounds import RATE, speech
from lab.tokens import Kind, Rooms

#: Of the tricks that send packets each has its turn for so many.
TURN: Final = 100
#: Packets leave in bursts of so long. Seconds.
BURST: Final = 0.01
#: How often the others are done. A second.
OFTEN: Final = 50
#: How large a text is. Bytes: what LiveKit takes at most is 64,000.
METADATA: Final = 60_000
DIGIT: Final = 15_000
#: Numbers that leap by more are another sender's (`reception.RESTART` is 3000).
NUMBERS: Final = 2900


def _leap(track: RtpTrack) -> None:
    """Timestamps leap ahead by a quarter of an hour."""
    track.leap(1000.0)


def _back(track: RtpTrack) -> None:
    """They leap back."""
    track.leap(-3.0)


def _creep(track: RtpTrack) -> None:
    """They leap by less than begins a file."""
    track.leap(1.88)


def _stand(track: RtpTrack) -> None:
    """They stand still."""
    track.timestamp -= FRAME


def _count(track: RtpTrack) -> None:
    """Numbers leap, and timestamps with them as if all between had been lost."""
    track.sequence += NUMBERS - 1
    track.leap((NUMBERS - 1) * FRAME / RATE)


def _number(track: RtpTrack) -> None:
    """Numbers leap alone."""
    track.sequence += NUMBERS - 1


def _flood(track: RtpTrack) -> None:
    """Nothing is odd but how much it is."""


#: Tricks that send packets: what is done to a track before each.
PACKETS: Final[Mapping[str, Callable[[RtpTrack], None]]] = {
    "leap": _leap,
    "back": _back,
    "creep": _creep,
    "stand": _stand,
    "count": _count,
    "number": _number,
    "flood": _flood,
}


class HostilePublisher(RtpPublisher):
    """`sent` counts the packets of sound that left."""

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        identity: str,
        *,
        kind: Kind = "standard",
        attributes: Mapping[str, str] | None = None,
        claims_encryption: bool = False,
    ) -> None:
        super().__init__(
            rooms,
            room,
            identity,
            kind=kind,
            attributes=attributes,
            sends_data=True,
            claims_encryption=claims_encryption,
        )
        self.sent = 0
        self._sound = encoded(speech(2.0))

    async def attack(self, *tricks: str, seconds: float, rate: int, often: float = OFTEN) -> None:
        """Do these tricks, or all, for so long.

        `rate` is packets of sound a second, `often` how often a second the others are done. It is
        over sooner if the server throws it out.
        Raises `KeyError` for a trick that it does not know.
        """
        others: Mapping[str, Callable[[int], Awaitable[None]]] = {
            "dtmf": self._press,
            "metadata": self._boast,
            "name": self._rename,
            "mute": self._flap,
        }
        wanted = tricks or (*PACKETS, *others)
        bad = [PACKETS[trick] for trick in wanted if trick in PACKETS]
        async with asyncio.TaskGroup() as group:
            if bad:
                group.create_task(_until_thrown_out(self._send(bad, seconds, rate)))
            for trick in wanted:
                if trick not in PACKETS:
                    deeds = _repeat(others[trick], seconds, often)
                    group.create_task(_until_thrown_out(deeds))

    async def _send(
        self, tricks: list[Callable[[RtpTrack], None]], seconds: float, rate: int
    ) -> None:
        first = self.sent
        async for passed in _passing(seconds, BURST):
            while self.sent - first < passed * rate:
                tricks[self.sent // TURN % len(tricks)](self.track)
                await self.track.send(self._sound[self.sent % len(self._sound)])
                self.sent += 1

    async def _press(self, number: int) -> None:
        """A key of the phone that is a book, or one that is none."""
        digit = "7" * DIGIT if number % 2 else "7"
        pressed = models.SipDTMF(code=7, digit=digit)
        self.send_data(models.DataPacket(sip_dtmf=pressed))

    async def _boast(self, number: int) -> None:
        await self.describe(metadata=f"{number:06}" * (METADATA // 6))

    async def _rename(self, number: int) -> None:
        await self.describe(name=f"{number:04}" * 60, attributes={f"a{number % 9}": str(number)})

    async def _flap(self, number: int) -> None:
        await self.mute(muted=bool(number % 2))


async def _until_thrown_out(deeds: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(ConnectionError):
        await deeds


async def _repeat(deed: Callable[[int], Awaitable[None]], seconds: float, often: float) -> None:
    numbers = count()
    async for _ in _passing(seconds, 1 / often):
        await deed(next(numbers))


async def _passing(seconds: float, every: float) -> AsyncIterator[float]:
    """How many seconds have passed, again and again until all have."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        yield passed
        await asyncio.sleep(every)

"""Phones, agents and browsers that take part in calls.

Where livekit-sip is beside the server (see `lab.livekit_sip`), a `Phone` is a telephone that
calls through it, else a participant that does what livekit-sip was seen to do: it joins and
publishes while it rings, is answered when somebody else's sound is in the room, and leaves when
it hangs up. Whoever needs what no telephone can have asks for a `SipParticipant`.

    async with Phone(livekit, "call-1", number="+15550100", says=chirp(5)) as phone:
        await phone.answered()
        await phone.hang_up()
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import aiohttp
from livekit import rtc

from lab import livekit_sip
from lab.actors import WAIT_TIMEOUT, Actor, Happening
from lab.participants import PLAIN, Manner, Participant
from lab.ports import LOOPBACK
from lab.sip_phone import RING_TIMEOUT, SipPhone
from lab.sounds import PCM
from lab.tokens import Rooms, sip_port

__all__ = [
    "Agent",
    "Answer",
    "Browser",
    "Happening",
    "Manner",
    "Participant",
    "Phone",
    "SipParticipant",
]

TRUNK_NUMBER = "+15557650000"
_DTMF = "0123456789*#ABCD"


class Answer(StrEnum):
    """What makes a phone stop ringing."""

    #: Another participant's audio track, as with livekit-sip.
    ON_VOICE = "on_voice"
    #: Nothing: it is answered as soon as it is in the room.
    AT_ONCE = "at_once"
    #: Only a call of `answer()`.
    NEVER = "never"


class Browser(Participant):
    """A person in a browser: kind STANDARD."""


class Agent(Participant):
    """A voice agent: kind AGENT; the room does not stay open for it."""

    kind = "agent"


class Phone(Actor):
    """A caller. `number` is theirs, `called` ours; nothing is sent before the call is answered.

    Which kind of phone it is, is decided here and nowhere else.
    """

    number: str
    room_name: str

    def __new__(cls, rooms: Rooms, *_: Any, **__: Any) -> "Phone":
        kind: type[Phone] = cls
        if cls is Phone:
            kind = SipParticipant if sip_port(rooms) is None else Telephone
        return Actor.__new__(kind)

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        *,
        number: str,
        called: str = TRUNK_NUMBER,
        says: PCM | None = None,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def answered(self, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until somebody answered."""
        return await self.reached("answered", timeout)

    async def hang_up(self) -> None:
        """End the call as the caller does."""
        raise NotImplementedError

    async def send_dtmf(self, digits: str) -> None:
        """Press keys; they travel as data, not as sound."""
        raise NotImplementedError


class Telephone(SipPhone, Phone):
    """A telephone that calls into a room through livekit-sip."""

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        *,
        number: str,
        called: str = TRUNK_NUMBER,
        says: PCM | None = None,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        SipPhone.__init__(self, number, says=says, on_happening=on_happening)
        self.rooms = rooms
        self.room_name = room
        self._called = called
        self._rule: str | None = None

    async def join(self) -> None:
        """Call; returns when it rings. Raises CallRefused and NoAnswer."""
        port = sip_port(self.rooms)
        if port is None:
            raise RuntimeError("there is no livekit-sip beside this server")
        await super().join()
        self._rule = await livekit_sip.lead(self.rooms, self.number, self.room_name)
        await self.dial(self._called, (LOOPBACK, port))
        self._do(self._forget_once_answered())

    async def leave(self) -> None:
        """Hang up; nobody else's call is led by our rule."""
        try:
            await super().leave()
        finally:
            await self._forget()

    async def _forget_once_answered(self) -> None:
        """It has led the call; as long as it is there it makes the room a fixed one."""
        await self.answered(RING_TIMEOUT)
        await self._forget()

    async def _forget(self) -> None:
        # A server that a test has killed leads nobody anywhere.
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            if self._rule is not None:
                await livekit_sip.forget(self.rooms, self._rule)
            self._rule = None


class SipParticipant(Participant, Phone):
    """A caller as livekit-sip brings one into a room: a participant of kind SIP.

    It can do what no telephone can: be called otherwise, have attributes and manners of its own,
    be answered by nobody, unpublish its track.
    """

    kind = "sip"

    def __init__(
        self,
        rooms: Rooms,
        room: str,
        *,
        number: str,
        called: str = TRUNK_NUMBER,
        identity: str | None = None,
        call_id: str | None = None,
        answer: Answer = Answer.ON_VOICE,
        attributes: Mapping[str, str] | None = None,
        says: PCM | None = None,
        manner: Manner = PLAIN,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        self.number = number
        self.call_id = call_id or f"SCL_{secrets.token_hex(6)}"
        self._answer = answer
        Participant.__init__(
            self,
            rooms,
            room,
            identity=identity or f"sip_{number}",
            name=f"Phone {number}",
            attributes=self._sip_attributes(called) | dict(attributes or {}),
            says=says,
            manner=manner,
            on_happening=on_happening,
        )

    async def answer(self) -> None:
        """Stop ringing: the call is active, the line is open, the first words are said."""
        if self.first("answered") is not None:
            return
        self.note("answered")
        await self.set_attributes({"sip.callStatus": "active"})
        await self._begin()

    async def hang_up(self) -> None:
        """End the call as the caller does."""
        await self.set_attributes({"sip.callStatus": "hangup"})
        await self.leave()

    async def send_dtmf(self, digits: str) -> None:
        """Press keys; they travel as data, not as sound."""
        for digit in digits:
            async with asyncio.timeout(WAIT_TIMEOUT):
                await self.room.local_participant.publish_dtmf(code=_DTMF.index(digit), digit=digit)
            self.note("dtmf", digit=digit)

    async def _arrived(self) -> None:
        if self._answer is Answer.AT_ONCE:
            await self.answer()
        elif self._answer is Answer.ON_VOICE:
            self._do(self._answer_on_voice())

    async def _answer_on_voice(self) -> None:
        """Listeners first, then a look at who was there before, so that no track is missed."""
        voice = asyncio.Event()

        def published(publication: Any, _: Any) -> None:
            if publication.kind == rtc.TrackKind.KIND_AUDIO:
                voice.set()

        self.room.on("track_published", published)
        for other in self.room.remote_participants.values():
            for publication in other.track_publications.values():
                published(publication, other)
        await voice.wait()
        await self.answer()

    def _sip_attributes(self, called: str) -> dict[str, str]:
        return {
            "sip.callID": self.call_id,
            "sip.callStatus": "ringing",
            "sip.phoneNumber": self.number,
            "sip.trunkPhoneNumber": called,
        }

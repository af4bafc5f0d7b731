"""Phones, agents and browsers that take part in calls.

A phone does what livekit-sip was seen to do: it joins and publishes while it rings, is
answered when somebody else's sound is in the room, and leaves when it hangs up.

    async with Phone(livekit, "call-1", number="+15550100", says=chirp(5)) as phone:
        await phone.answered()
        await phone.hang_up()
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from livekit import rtc

from lab.actors import WAIT_TIMEOUT, Happening
from lab.participants import PLAIN, Manner, Participant
from lab.sounds import PCM
from lab.tokens import Rooms

__all__ = ["Agent", "Answer", "Browser", "Happening", "Manner", "Participant", "Phone"]

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


class Phone(Participant):
    """A caller as livekit-sip brings one into a room: kind SIP.

    `number` is the caller's, `called` ours. It sends nothing before it is answered.
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
        super().__init__(
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

    async def answered(self, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until somebody answered."""
        return await self.reached("answered", timeout)

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

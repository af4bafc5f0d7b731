"""Calls that go through all stages while things break, and remember what they said."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx2

from chaos.house import House
from chaos.schedule import EGRESS, Stage
from egress_manager.domain.captures import FOLDER, Story
from egress_manager.recorder.journal import read_story
from lab import sounds
from lab.phones import Agent, SipParticipant
from lab.sounds import PCM

#: What is said, none like another.
WORDS: Final[dict[str, PCM]] = {
    "first": sounds.chirp(1.5),
    "second": sounds.chirp(1.5, low=3400, high=400),
    "third": sounds.chirp(1.5, low=400, high=1700),
    "answer": sounds.chirp(1.5, low=3200, high=1900),
}
#: What the agent says; the rest are the caller's.
AGENTS: Final = ("answer",)
#: It rings so long, is talked, and is muted. Seconds.
RINGS, TALKS, MUTES = 1.0, 2.0, 1.0
#: With so many pages since, all that was said before is on the disk.
_PAGES: Final = 2
#: A patient caller waits so long until what it said is kept; after that it is not. Seconds.
KEPT_WITHIN: Final = 40.0
#: A caller of whom nothing is kept breathes in this rhythm. Seconds.
_BREATH: Final = 0.2
#: So long the first call watches for its rendering and verifying. Seconds.
_WATCHES: Final = 5.0
#: Nothing that a call does takes longer; what does was broken. Seconds.
_CALL_TIMEOUT: Final = 150.0

#: The states of a recording that are final.
FINAL: Final = frozenset({"verified", "rejected", "unheard", "failed", "aborted"})
#: The states in which a stage has come, or is over.
_VERIFYING: Final = ("rendered", "repaired", *FINAL)
_RENDERING: Final = ("captured", *_VERIFYING)

Reached = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Said:
    """Something that was said, from and to (seconds since 1970).

    `is_owed`: the recorder had told that it is on the disk, so nothing excuses its loss.
    """

    name: str
    began: float
    ended: float
    is_owed: bool = False


@dataclass(slots=True)
class Told:
    """What a call's own phone can tell of it. Moments in seconds since 1970."""

    identity: str
    number: str
    room: str
    joined_at: float | None = None
    left_at: float | None = None
    said: list[Said] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


class Call:
    """One call; a patient one waits until faults are healed, and what it said is kept."""

    def __init__(self, house: House, number: int, *, is_patient: bool) -> None:
        self.house = house
        self.is_patient = is_patient
        digits = f"+1555{number:04d}"
        self.told = Told(f"sip_{digits}", digits, f"room-{number}")
        self.phone = SipParticipant(house.livekit, self.told.room, number=digits)
        self.agent = Agent(house.livekit, self.told.room, identity=f"agent-{number}")

    async def run(self, reached: Reached, healed: Callable[[], Awaitable[None]]) -> None:
        """From ringing to hung up; what breaks ends it early, and is written down."""
        try:
            async with asyncio.timeout(_CALL_TIMEOUT):
                await self._ring(reached)
                await self._talk(reached, healed)
        except Exception as error:  # the SDK raises what it likes when its server is gone
            self.told.troubles.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            await self._leave()
        await reached(Stage.HUNG_UP)

    async def watch(self, reached: Reached) -> None:
        """See its recording being made, and listened to."""
        await self._until_state(*_RENDERING)
        await reached(Stage.RENDERING)
        await self._until_state(*_VERIFYING)
        await reached(Stage.VERIFYING)

    async def _ring(self, reached: Reached) -> None:
        await self.phone.join()
        joined = self.phone.first("joined")
        self.told.joined_at = joined.at if joined else None
        await reached(Stage.RINGING)
        await asyncio.sleep(RINGS)
        await self.agent.join()
        await self.phone.answered()
        await reached(Stage.ANSWERED)

    async def _talk(self, reached: Reached, healed: Callable[[], Awaitable[None]]) -> None:
        await self._ready(healed)
        await self._say("first", "answer")
        await reached(Stage.TALKING)
        await self.phone.say(sounds.speech(TALKS))
        await self._ready(healed)
        await self._say("second")
        self.phone.mute()
        await reached(Stage.MUTED)
        await asyncio.sleep(MUTES)
        self.phone.unmute()
        await self._ready(healed)
        await self._say("third")

    async def _ready(self, healed: Callable[[], Awaitable[None]]) -> None:
        """Who is patient speaks when nothing is broken, and somebody records."""
        if not self.is_patient:
            return
        await healed()
        is_in = self.phone.first("left") is None
        if is_in and not await self._kept() and self.house.kind != EGRESS:
            self.told.troubles.append(f"nothing was kept for {KEPT_WITHIN:g} s")

    async def _say(self, name: str, answer: str | None = None) -> None:
        talk = [self._speak(self.phone, name)]
        if answer:
            talk.append(self._speak(self.agent, answer))
        said = await asyncio.gather(*talk)
        is_owed = self.is_patient and await self._kept()
        for each in said:
            # Only the caller's pages were looked at.
            owed = is_owed and each.name not in AGENTS
            self.told.said.append(Said(each.name, each.began, each.ended, owed))

    async def _speak(self, who: SipParticipant | Agent, name: str) -> Said:
        utterance = await who.say(WORDS[name])
        return Said(name, utterance.started_at, utterance.ended_at)

    async def _kept(self) -> bool:
        """Wait until what was sent up to now is on the disk; whether it is."""
        if self.house.kind == EGRESS:
            await asyncio.sleep(_BREATH)
            return False
        before = await asyncio.to_thread(self._pages)
        deadline = time.monotonic() + KEPT_WITHIN
        while await asyncio.to_thread(self._pages) < before + _PAGES:
            if time.monotonic() > deadline or self.phone.first("left") is not None:
                return False
            await asyncio.sleep(_BREATH)
        return True

    def _pages(self) -> int:
        """How many pages of the caller's sound journals tell of."""
        captures = (self.house.manager.recordings / FOLDER).glob("*")
        return sum(_pages_of(self.told.identity, read_story(capture)) for capture in captures)

    async def _leave(self) -> None:
        for deed in (self.phone.hang_up, self.phone.leave, self.agent.leave):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_BREATH + 10):
                    await deed()
        left = self.phone.first("left")
        self.told.left_at = left.at if left else time.time()

    async def _until_state(self, *states: str) -> None:
        deadline = time.monotonic() + _WATCHES
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                found = await self.house.manager.recordings_of(caller_number=self.told.number)
                if any(recording["state"] in states for recording in found):
                    return
            await asyncio.sleep(_BREATH / 10)


def _pages_of(identity: str, story: Story) -> int:
    who = {sid for sid, person in story.participants.items() if person.identity == identity}
    stretches = story.stretches.values()
    return sum(len(each.pages) for each in stretches if each.began.participant_sid in who)

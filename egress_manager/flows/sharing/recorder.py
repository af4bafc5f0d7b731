"""The built-in recorder of all processes together (port `Recorder`): a room is captured by one.

Whoever hears of a caller claims the room, and captures it if nobody else who lives does. In each
process that captures, `mind` looks after what all of them hold: what a dead one held is taken over,
what a leaving one holds is joined before that one leaves.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from egress_manager.domain.claims import ROOM, Claim
from egress_manager.domain.incoming import EgressReported, Room
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import RoomView
from egress_manager.errors import (
    EgressManagerError,
    LiveKitRefused,
    LiveKitUnavailable,
    StoreUnavailable,
)
from egress_manager.flows.sharing.membership import Membership
from egress_manager.ports import Calls, Order, Recorder, Rooms

log = logging.getLogger(__name__)

#: Who leaves waits so long for others to be in its rooms. Seconds.
HAND_OVER: Final = 6.0
#: How often it looks whether they are.
HAND_OVER_LOOKS: Final = 60
#: A store that takes longer for one such look tells nobody that rooms are to be had. Seconds.
LOOK_TIMEOUT: Final = 2.0
#: What was begun may take this long to end when it is cancelled. Seconds.
END_TIMEOUT: Final = 0.5


class Capturing(Recorder, Protocol):
    """A recorder of this process that can be told to leave single rooms."""

    @property
    def rooms(self) -> Collection[str]:
        """The rooms that it is in, or on its way to."""
        ...

    def hears_all(self, room_name: str) -> bool:
        """Whether all that is said there reaches it."""
        ...

    def leave(self, room_name: str, reason: str) -> None:
        """Leave a room soon, keeping all that has come."""
        ...

    def unattended(self) -> int:
        """In how many rooms somebody is to be recorded and has not been heard for too long."""
        ...


@dataclass(slots=True)
class SharedRecorder:
    """`Recorder` for all processes; `local` is None in one that does not capture."""

    membership: Membership
    local: Capturing | None
    rooms: Rooms
    calls: Calls
    engine: Engine = Engine.BUILTIN
    _asked: dict[str, int] = field(default_factory=dict)
    _idle: set[str] = field(default_factory=set)
    _errands: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def attend(self, room_name: str, participant_sid: str = "") -> None:
        """See to it that some process captures the room; returns at once."""
        if self.local is not None and (room_name in self.local.rooms or self._needs_nobody):
            await self.local.attend(room_name, participant_sid)
        elif not self.membership.is_anothers(ROOM + room_name):
            self._begin(room_name, self._attend(room_name, participant_sid))

    async def stand(self, room_name: str) -> None:
        """See to it that some process is in the room for as long as anybody is."""
        if self.local is not None and (room_name in self.local.rooms or self._needs_nobody):
            await self.local.stand(room_name)
        elif not self.membership.is_anothers(ROOM + room_name):
            self._begin(room_name, self._stand(room_name))

    async def keep(self, room_name: str, recording_id: str) -> str | None:
        """Keep what is said there, if it is this process that captures the room, or can be."""
        if self.local is None:
            await self.membership.ask(ROOM + room_name)
            return None
        if self.membership.is_anothers(ROOM + room_name) or not await self._is_ours(room_name):
            return None
        return await self.local.keep(room_name, recording_id)

    async def let_go(self, room_name: str, recording_id: str) -> None:
        """This recording needs the room no more."""
        if self.local is not None:
            await self.local.let_go(room_name, recording_id)

    def kept_for(self, room_name: str) -> Collection[str]:
        """The recordings for which this process keeps the room."""
        return self.local.kept_for(room_name) if self.local is not None else ()

    async def leave_alone(self, room_name: str, participant_sid: str) -> None:
        """Nothing is captured for this stay alone."""
        if self.local is not None:
            await self.local.leave_alone(room_name, participant_sid)

    async def order(self, order: Order) -> None:
        """Be in the room: all that is said there is kept."""
        await self.attend(order.room_name)

    async def stop(self, egress_id: str) -> None:
        """Nothing to do: it leaves with the last caller."""

    async def jobs(self, room_name: str | None = None) -> Sequence[EgressReported]:
        """None: what it sees it tells at once."""
        return ()

    def attends(self, room_name: str) -> bool:
        """Whether any process captures the room, or is on its way."""
        here = self.local is not None and self.local.attends(room_name)
        return here or self.membership.is_anothers(ROOM + room_name)

    def view(self, room_name: str) -> RoomView | None:
        """Who is in a room that any process attends; only its own captures does a process see."""
        here = self.local.view(room_name) if self.local is not None else None
        if not self.membership.is_anothers(ROOM + room_name):
            return here
        return replace(here or RoomView(Room(room_name)), is_complete=False)

    @property
    def _needs_nobody(self) -> bool:
        """Whether no other process lives: then the claim can wait, and a caller need not."""
        return self.membership.is_surely_alone and not self.membership.me.is_leaving

    @property
    def is_busy(self) -> bool:
        """Whether this process is in a room, or on its way."""
        return self.local is not None and bool(self.local.rooms)

    # What each process does again and again

    async def mind(self) -> None:
        """Look at all claims once: take over, hand over, let go.

        Raises `StoreUnavailable`.
        """
        if self.local is not None:
            self._note(self.local.unattended())
        await self.membership.look()
        if self.local is None:
            return
        claims = dict(self.membership.held)
        for claim in claims.values():
            if claim.name.startswith(ROOM):
                await self._mind(claim, claim.name.removeprefix(ROOM), self.local)
        self._asked = {name: n for name, n in self._asked.items() if name in self.membership.held}
        for room_name in set(self.local.rooms) - {claim.removeprefix(ROOM) for claim in claims}:
            await self.membership.win(ROOM + room_name)  # begun while the store was away

    def _note(self, unattended: int) -> None:
        """In how many rooms nobody is heard who is to be recorded; the others are shown it too."""
        before = self.membership.me.unattended
        if unattended and not before:
            log.warning("rooms_not_attended", extra={"rooms": unattended})
        elif before and not unattended:
            log.info("rooms_attended_again", extra={"rooms": before})
        self.membership.me = replace(self.membership.me, unattended=unattended)

    async def hand_over(self) -> None:
        """Before this process ends: let others be in its rooms first, where there are others."""
        if self.local is None or not self.membership.others:
            return
        self.membership.begin_leaving()
        for _ in range(HAND_OVER_LOOKS):
            try:
                async with asyncio.timeout(LOOK_TIMEOUT):
                    await self.mind()
            except (EgressManagerError, TimeoutError) as error:
                log.warning("not_handed_over", extra={"why": type(error).__name__})
                return
            if not self.local.rooms:
                return
            await asyncio.sleep(HAND_OVER / HAND_OVER_LOOKS)
        log.warning("not_handed_over", extra={"rooms": len(self.local.rooms)})

    async def settle(self) -> None:
        """Wait for what was begun."""
        await asyncio.gather(*self._errands.values(), return_exceptions=True)

    async def aclose(self) -> None:
        """End what was begun."""
        for errand in self._errands.values():
            errand.cancel()
        if self._errands:
            await asyncio.wait(self._errands.values(), timeout=END_TIMEOUT)

    async def _mind(self, claim: Claim, room_name: str, local: Capturing) -> None:
        if claim.holder == self.membership.me.id:
            await self._mind_ours(claim, room_name, local)
        elif self.membership.is_free(claim):
            if self.membership.takes_on and await self.membership.win(claim.name):
                await self._take_over(room_name, local)
        elif self.membership.me.is_leaving and claim.is_ready:
            local.leave(room_name, "handed_over")

    async def _take_over(self, room_name: str, local: Capturing) -> None:
        """Go where another one was, or was asked to go; to join a closed room would open it.

        A list is empty as well when LiveKit's Redis lost its keys: then the server that carries the
        room is asked for the callers who were there last. That takes seconds if they are gone.
        """
        with suppress(LiveKitUnavailable, LiveKitRefused):  # in doubt it is open
            if not await self.rooms.participants(room_name):
                self._begin(room_name, self._attend_if_carried(room_name))
                return
        log.info("room_taken_over", extra={"room_name": room_name})
        await local.attend(room_name)

    async def _attend_if_carried(self, room_name: str) -> None:
        with suppress(LiveKitUnavailable, StoreUnavailable):  # the next list tells
            for call in await self.calls.going_on(room_name):
                if await self.rooms.carries(room_name, call.identity):
                    log.info("room_taken_over", extra={"room_name": room_name})
                    await self._attend(room_name, "")
                    return

    async def _mind_ours(self, claim: Claim, room_name: str, local: Capturing) -> None:
        if self._asked.get(claim.name, claim.asked) != claim.asked:
            await local.attend(room_name)
        self._asked[claim.name] = claim.asked
        was_idle = claim.name in self._idle
        self._idle.discard(claim.name)
        if room_name not in local.rooms:
            if was_idle:  # just won, it is about to be in use
                await self.membership.let_go(claim.name)
            else:
                self._idle.add(claim.name)
        elif not claim.is_ready and local.hears_all(room_name):
            await self.membership.claims.set_ready(claim)

    async def _attend(self, room_name: str, participant_sid: str) -> None:
        if await self._is_ours(room_name) and self.local is not None:
            await self.local.attend(room_name, participant_sid)

    async def _stand(self, room_name: str) -> None:
        if await self._is_ours(room_name) and self.local is not None:
            await self.local.stand(room_name)

    async def _is_ours(self, room_name: str) -> bool:
        """Whether this process is to capture it. Where the store can't tell, it does."""
        name = ROOM + room_name
        if self.membership.is_blind and self.local is not None:
            return not self.membership.me.is_leaving
        try:
            if self.local is not None and self.membership.takes_on:
                return await self.membership.win(name)
            await self.membership.ask(name)
        except StoreUnavailable:
            return self.local is not None
        return False

    def _begin(self, room_name: str, errand: Coroutine[Any, Any, None]) -> None:
        """One errand for a room at a time; the next news of it begin another."""
        running = self._errands.get(room_name)
        if running is not None and not running.done():
            errand.close()
            return
        self._errands = {room: task for room, task in self._errands.items() if not task.done()}
        self._errands[room_name] = asyncio.create_task(errand)

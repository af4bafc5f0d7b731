"""This process among the others: it says that it lives, knows who else does, and holds claims."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from egress_manager.domain.claims import (
    NOBODY,
    WORK,
    Claim,
    Presence,
    Pulses,
    felt,
    lapsed,
    others_who_record,
    takes_on,
    to_be_had,
)
from egress_manager.errors import EgressManagerError, StoreUnavailable
from egress_manager.flows.sharing.doors import Claims, Signs

log = logging.getLogger(__name__)

#: How long a claim may take before it is done without: a capture must not wait. Seconds.
CLAIM_TIMEOUT: Final = 0.5
#: How much the last turn counts for the lag: one that was held up does not make it full.
SMOOTHING: Final = 0.3
#: Who was alone for so long is surely alone. Seconds.
ALONE_FOR: Final = 5.0
#: A process that has lapsed for so long is forgotten. Seconds.
FORGET_AFTER: Final = 60.0


@dataclass(slots=True)
class Membership:
    """What this process knows of all of them. `look` is to be called again and again.

    `moment` is the watch that beats are judged by: monotonic, seconds. With a `lag` over `most_lag`
    (seconds) this process is full.
    """

    me: Presence
    claims: Claims
    signs: Signs
    moment: Callable[[], float] = time.monotonic
    pulses: Pulses = field(default_factory=dict)
    held: Mapping[str, Claim] = field(default_factory=dict)
    at_work: set[str] = field(default_factory=set)
    is_blind: bool = False
    most_lag: float = 0.25
    lag: float = 0.0
    alone_since: float | None = None

    async def look(self) -> None:
        """Say that we are here, and see who else is, and who is at what.

        Raises `StoreUnavailable`; then nobody is taken for dead because of that time.
        """
        self.me = replace(self.me, beat=self.me.beat + 1)
        try:
            await self.claims.say(self.me)
            present = await self.claims.present()
            held = await self.claims.held()
        except StoreUnavailable:
            self.pulses = {}  # the others could not say anything either
            self.is_blind = True
            raise
        self.is_blind = False
        holders = {claim.holder for claim in held}
        gone = self.signs.gone({presence.id for presence in present} | holders)
        self.pulses = felt(self.pulses, present, holders, gone, self.moment())
        self.held = {claim.name: claim for claim in held}
        since = self.moment() if self.alone_since is None else self.alone_since
        self.alone_since = since if self.is_alone else None
        await self._forget_the_dead(holders)

    def feel(self, late_by: float) -> None:
        """This process did something so many seconds later than it had meant to."""
        self.lag += SMOOTHING * (late_by - self.lag)
        self.me = replace(self.me, is_full=self.lag > self.most_lag)

    @property
    def is_pressed(self) -> bool:
        """Whether there is more to capture than this process and all others are good for."""
        return self.me.is_full and all(other.is_full for other in self.others)

    @property
    def abandoned(self) -> Collection[str]:
        """What those were working on who have lapsed."""
        dead = lapsed(self.pulses, self.moment())
        works = (claim for claim in self.held.values() if claim.name.startswith(WORK))
        return [claim.name.removeprefix(WORK) for claim in works if claim.holder in dead]

    @property
    def is_alone(self) -> bool:
        """Whether no other process lives, as far as is known."""
        return not self.pulses.keys() - lapsed(self.pulses, self.moment()) - {self.me.id}

    @property
    def is_surely_alone(self) -> bool:
        """Whether no other has lived for a while: several that start at once do not know yet."""
        since = self.alone_since
        return since is not None and self.moment() - since >= ALONE_FOR

    @property
    def takes_on(self) -> bool:
        """Whether this process takes another capture."""
        return takes_on(self.me, self.others)

    @property
    def others(self) -> Collection[Presence]:
        """The other processes that could capture now."""
        return others_who_record(self.pulses, self.me.id, self.moment())

    def is_free(self, claim: Claim) -> bool:
        """Whether it is to be had."""
        return claim.holder in to_be_had(self.pulses, self.moment())

    def is_mine(self, name: str) -> bool:
        """Whether this process holds it, by the last look."""
        return name in self.held and self.held[name].holder == self.me.id

    def is_anothers(self, name: str) -> bool:
        """Whether another process that lives holds it, by the last look."""
        return name in self.held and not self.is_mine(name) and not self.is_free(self.held[name])

    async def win(self, name: str) -> bool:
        """Take a claim, or ask its holder to mind it; whether it is ours then.

        Raises `StoreUnavailable`.
        """
        free = to_be_had(self.pulses, self.moment()) if not self.me.is_leaving else ()
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT):
                claim = await self.claims.claim(name, self.me.id, free)
        except TimeoutError as error:
            raise StoreUnavailable("TimeoutError") from error
        self.held = {**self.held, name: claim}
        return claim.holder == self.me.id

    async def ask(self, name: str) -> None:
        """Have some process mind it, the one that holds it or one that takes it."""
        await self.claims.claim(name, NOBODY, ())

    async def let_go(self, name: str) -> None:
        """Let go of a claim of ours, unless it was asked for meanwhile."""
        if self.is_mine(name):
            await self.claims.let_go(self.held[name])
            self.held = {each: claim for each, claim in self.held.items() if each != name}

    @asynccontextmanager
    async def working_on(self, subject: str) -> AsyncIterator[bool]:
        """For as long as the block lasts nobody else does, unless this process stands still.

        False where somebody is at it. Raises `StoreUnavailable`.
        """
        name = WORK + subject
        if name in self.at_work or not await self.win(name):
            yield False
            return
        claim = self.held[name]
        self.at_work.add(name)
        try:
            yield True
        finally:
            self.at_work.discard(name)
            with suppress(EgressManagerError):  # else it lapses with this process
                await self.claims.let_go(claim, even_if_asked=True)

    def begin_leaving(self) -> None:
        """What this process holds is to be had, from the next look on."""
        self.me = replace(self.me, is_leaving=True)

    async def leave(self) -> None:
        """This process ends in good order."""
        with suppress(EgressManagerError, TimeoutError):  # else the others see it by its beat
            async with asyncio.timeout(CLAIM_TIMEOUT):
                await self.claims.forget(self.me.id)
        self.signs.hide()

    async def _forget_the_dead(self, holders: Collection[str]) -> None:
        """What has lapsed long ago and holds nothing is not talked of any more."""
        for name, pulse in self.pulses.items():
            is_old = self.moment() - pulse.since > FORGET_AFTER
            if pulse.presence and is_old and name not in holders and name != self.me.id:
                await self.claims.forget(name)

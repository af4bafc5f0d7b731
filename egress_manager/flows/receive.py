"""Webhooks arrive: durable in the inbox before LiveKit hears 200; the work begins at once, beside.

LiveKit sends one event of a room after the other and drops those that waited for half a minute, so
an answer must not wait for work that others can wait for too.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from egress_manager.domain.calls import call_id_of, egress_id_of, is_caller, recording_id_of
from egress_manager.domain.incoming import News, ParticipantSeen, Webhook
from egress_manager.domain.policy import Engine, Policy, decide
from egress_manager.errors import EgressManagerError, NotYet, StoreUnavailable
from egress_manager.flows import ingest
from egress_manager.flows.doors import Doors
from egress_manager.flows.ingest import Outcome

log = logging.getLogger(__name__)

#: So many webhooks are worked on at once; more wait their turn.
AT_ONCE: Final = 2
#: With more than so many waiting, no answer waits for its work.
BUSY: Final = 8
#: Work gives way to a rush of webhooks so often, for so long each time (seconds): 2 s at most.
GIVE_WAY: Final = 40
GIVE_WAY_FOR: Final = 0.05
#: An answer waits for its work for this long at most. Seconds.
PATIENCE: Final = 0.5
#: And for the inbox for this long: then LiveKit hears 503, and sends it again. Seconds.
KEEP_PATIENCE: Final = 1.5
#: Then it waits so long (seconds) for the id of a job of LiveKit Egress, which takes half a second.
ID_WAIT: Final = 1.5
ID_LOOKS: Final = 30
#: More than so many stay in the inbox, until the sweep takes them from there.
MOST_WAITING: Final = 2_000


class Intake:
    """The webhook's way in; `aclose` lets what was begun be finished."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._work: set[asyncio.Task[Outcome]] = set()
        self._keeping: set[asyncio.Task[bool]] = set()
        self._arriving = 0

    def admit(self, authorization: str | None) -> None:
        """Raise `SignatureRefused` where no body could make that signature good."""
        self._doors.webhooks.admit(authorization, self._doors.clock.now())

    async def receive(self, body: bytes, authorization: str | None) -> Outcome:
        """Check it, have the recorder go, keep it, have it folded in; what it leads to.

        Raises `SignatureRefused`, `BadRequest`, and `StoreUnavailable` where it could not be kept:
        the capture begins all the same.
        """
        doors, at = self._doors, self._doors.clock.now()
        webhook = doors.webhooks.read(body, authorization, at)
        await ingest.attend_if_wanted(webhook.news, doors)
        self._arriving += 1
        try:
            await self._keep(webhook, at)
        except StoreUnavailable:
            await ingest.attend_without_store(webhook.news, doors)
            raise
        finally:
            self._arriving -= 1
        foreseen = foresee(webhook.news, doors.house.policy)
        if len(self._work) >= MOST_WAITING:
            return foreseen
        work = asyncio.create_task(self._take(webhook, foreseen))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        if len(self._work) > BUSY:
            return foreseen
        done, _ = await asyncio.wait([work], timeout=PATIENCE)
        return await self._with_egress_id(work.result()) if done else foreseen

    async def _keep(self, webhook: Webhook, at: datetime) -> None:
        """Into the inbox, soon or not at all: LiveKit sends nothing else of the room meanwhile.

        Raises `StoreUnavailable`; what is kept later after all is found there by the sweep.
        """
        keeping = asyncio.create_task(self._doors.inbox.keep(webhook, at))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._kept)
        done, _ = await asyncio.wait([keeping], timeout=KEEP_PATIENCE)
        if not done:
            raise StoreUnavailable("the inbox takes too long")
        keeping.result()

    def _kept(self, keeping: asyncio.Task[bool]) -> None:
        self._keeping.discard(keeping)
        if not keeping.cancelled():
            keeping.exception()  # whoever waited for it was told

    async def _with_egress_id(self, outcome: Outcome) -> Outcome:
        """Wait a little for the id that LiveKit gives to the job: whoever asked wants to see it."""
        if outcome.recording_id is None or outcome.egress_id is not None:
            return outcome
        with suppress(EgressManagerError):  # it is kept: what can't be told is not lost
            for _ in range(ID_LOOKS):
                recording = await self._doors.recordings.get(outcome.recording_id)
                if recording.egress_id or recording.is_over or recording.fell_back:
                    return replace(outcome, egress_id=recording.egress_id)
                await asyncio.sleep(ID_WAIT / ID_LOOKS)
        return outcome

    async def aclose(self) -> None:
        """Stop; what is not done stays in the inbox for the next start."""
        begun = {*self._work, *self._keeping}  # who was not told that it is kept sends it again
        for task in begun:
            task.cancel()
        if begun:
            await asyncio.wait(begun, timeout=PATIENCE)

    async def _take(self, webhook: Webhook, foreseen: Outcome) -> Outcome:
        async with self._gate:
            await self._rush_is_over()
            try:
                return await _take_and_note(webhook, self._doors)
            except EgressManagerError as error:
                log.warning(
                    "webhook_put_off", extra={"event_id": webhook.event_id, "why": error.code}
                )
            except Exception:
                log.exception("webhook_failed", extra={"event_id": webhook.event_id})
            return foreseen

    async def _rush_is_over(self) -> None:
        """Let others in first, for a while: who is in already is on disk and can wait."""
        for _ in range(GIVE_WAY):
            if self._arriving <= BUSY:
                return
            await asyncio.sleep(GIVE_WAY_FOR)


async def take_waiting(doors: Doors, limit: int = 100) -> int:
    """Fold in webhooks that were kept and not worked on.

    How many there were; 0 where it is too early for all of them.
    """
    waiting = await doors.inbox.waiting(limit)
    early = 0
    for webhook in waiting:
        try:
            await _take_and_note(webhook, doors)
        except StoreUnavailable:
            raise
        except NotYet:
            early += 1
        except Exception:  # one that can't be taken must not hold up the others, nor come again
            log.exception("webhook_failed", extra={"event_id": webhook.event_id})
            await doors.inbox.done(webhook.event_id, doors.clock.now(), {"outcome": "failed"})
    return len(waiting) if early < len(waiting) else 0


def foresee(news: News, policy: Policy) -> Outcome:
    """What news lead to, as far as their own words tell: ids come of what LiveKit says. Pure."""
    if not isinstance(news, ParticipantSeen) or not is_caller(news.participant):
        return Outcome("kept")
    call_id = call_id_of(news.room, news.participant)
    decision = decide(policy, news.room.name)
    if not decision.record:
        return Outcome("call", call_id)
    egress_id = egress_id_of(call_id) if decision.engine is Engine.BUILTIN else None
    return Outcome("call", call_id, recording_id_of(call_id), egress_id)


async def _take_and_note(webhook: Webhook, doors: Doors) -> Outcome:
    outcome = await ingest.take(webhook.news, doors)
    facts = {"outcome": outcome.outcome, "call_id": outcome.call_id}
    await doors.inbox.done(webhook.event_id, doors.clock.now(), facts)
    return outcome

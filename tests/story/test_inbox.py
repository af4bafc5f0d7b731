"""Webhooks that wait in the inbox."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from egress_manager.domain.incoming import EgressReported, ParticipantSeen, Source, Webhook
from egress_manager.errors import StoreUnavailable
from egress_manager.flows import receive
from egress_manager.testing import MemoryInbox
from tests.story.conftest import ROOM, Tale


async def test_what_comes_too_early_is_taken_later(tale: Tale) -> None:
    """A job is told of before the call it serves; the sweep does not try again without a rest."""
    report = EgressReported(tale.clock.now(), ROOM, "EG_1", "ACTIVE")
    await tale.inbox.keep(Webhook("EV_1", "egress_updated", report, b"1"), tale.clock.now())

    assert await receive.take_waiting(tale.doors) == 0

    tale.clock.pass_(minutes=10)
    assert await receive.take_waiting(tale.doors) == 1
    assert await receive.take_waiting(tale.doors) == 0


class SlowInbox(MemoryInbox):
    """An inbox whose disk stands still until it is `going`."""

    def __init__(self) -> None:
        super().__init__()
        self.going = asyncio.Event()

    async def keep(self, webhook: Webhook, at: datetime) -> bool:
        await self.going.wait()
        return await super().keep(webhook, at)


async def test_an_inbox_that_stands_still_holds_up_no_room(tale: Tale) -> None:
    """LiveKit is told to come again; the capture begins all the same, and nothing is lost."""
    inbox = SlowInbox()
    intake = receive.Intake(replace(tale.doors, inbox=inbox))
    caller = ParticipantSeen(tale.clock.now(), ROOM, tale.caller(), Source.WEBHOOK)
    tale.webhooks.says[b"1"] = caller

    with pytest.raises(StoreUnavailable):
        await intake.receive(b"1", "signed")
    assert tale.recorder.attended == [ROOM.name]

    inbox.going.set()
    while not await inbox.waiting(1):
        await asyncio.sleep(0)


async def test_an_intake_that_ends_leaves_nothing_behind(tale: Tale) -> None:
    """Also what waits for an inbox that stands still."""
    intake = receive.Intake(replace(tale.doors, inbox=SlowInbox()))
    tale.webhooks.says[b"1"] = ParticipantSeen(
        tale.clock.now(), ROOM, tale.caller(), Source.WEBHOOK
    )
    before = asyncio.all_tasks()
    with pytest.raises(StoreUnavailable):
        await intake.receive(b"1", "signed")

    await intake.aclose()

    assert asyncio.all_tasks() == before

"""Checks of LiveKit: that it answers, knows us, agrees on the time, and tells us of its rooms."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from egress_manager.domain.checks import (
    ROOM_PREFIX,
    Result,
    WebhookTally,
    judge_clocks,
    judge_silence,
    ok,
    skipped,
)
from egress_manager.domain.troubles import CheckFailed
from egress_manager.flows.check.doors import CheckDoors

#: A webhook is there within this. Seconds.
WEBHOOK_TIMEOUT: Final = 10.0
#: How often to look for what others do. Seconds.
LOOK_EVERY: Final = 0.2
#: Webhooks are looked for among those of this time: the service's clock may not be ours.
LOOK_BACK: Final = timedelta(minutes=1)
#: A room that we could not close any more closes by itself after this. Seconds.
EMPTY_FOR: Final = 30


async def answers(doors: CheckDoors) -> Result:
    """It is there and says that it is ready."""
    knock = await doors.livekit.knock()
    took = knock.answered_at - knock.asked_at
    return ok(f"within {took.total_seconds() * 1000:.0f} ms")


async def knows_the_key(doors: CheckDoors) -> Result:
    """Rooms can be listed."""
    return ok(f"{await doors.livekit.rooms()} rooms open")


async def agrees_on_the_time(doors: CheckDoors) -> Result:
    """Tokens and webhooks are signed for minutes only."""
    return judge_clocks(await doors.livekit.knock())


async def shows_dispatch_rules(doors: CheckDoors) -> Result:
    """They name the fixed rooms, in which the recorder waits for callers."""
    if not doors.finds_standing_rooms:
        return skipped("EGRESS_MANAGER_STANDING_ROOMS does not ask for them")
    rooms = await doors.livekit.direct_rooms()
    if rooms is None:
        return skipped("livekit-server has no Redis, so there is no SIP behind it")
    return ok(f"fixed rooms: {', '.join(rooms) or 'none'}")


async def sends_webhooks(doors: CheckDoors) -> Result:
    """A room is opened; the event of that comes into the inbox by way of the service."""
    since, before = doors.clock.now() - LOOK_BACK, await _tally(doors)
    async with _room(doors) as name:
        for _ in range(round(WEBHOOK_TIMEOUT / LOOK_EVERY)):
            if await doors.store.heard_of("room_started", name, since):
                return ok("a room was opened, and its webhook came")
            await asyncio.sleep(LOOK_EVERY)
    raise judge_silence(
        before,
        await _tally(doors),
        waited=WEBHOOK_TIMEOUT,
        example=f"{doors.service.url}/webhook",
        database=doors.database,
    )


async def has_egress(doors: CheckDoors) -> Result:
    """It takes a job; the room is empty, so it has nothing to write."""
    if not doors.policy.uses_egress:
        return skipped("the engine is builtin: LiveKit Egress is not needed")
    async with _room(doors) as name:
        egress_id = await doors.livekit.start_egress(name)
        await doors.livekit.stop_egress(egress_id)
    return ok("it took a job, and was told to end it")


@contextlib.asynccontextmanager
async def _room(doors: CheckDoors) -> AsyncIterator[str]:
    """A room of our own, closed again whatever happens."""
    name = ROOM_PREFIX + secrets.token_hex(6)
    await doors.livekit.open_room(name, empty_for=EMPTY_FOR)
    try:
        yield name
    finally:
        with contextlib.suppress(CheckFailed):  # it closes by itself
            await doors.livekit.close_room(name)


async def _tally(doors: CheckDoors) -> WebhookTally:
    said = (await doors.service.health())["webhooks"]
    return WebhookTally(said["taken"], said["refused"], said["refused_because"])

"""What every process of ours does: open everything, work by its roles, leave in good order.

async with running(settings, roles) as process:
    ...                                  # it works, until the block ends
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from egress_manager import jobs
from egress_manager.api.auth import make_first_key
from egress_manager.domain.roles import Role, works_on_files
from egress_manager.ending import LIMIT, Ending, heeded
from egress_manager.errors import EgressManagerError, SettingsWrong
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.receive import Intake
from egress_manager.settings import Settings
from egress_manager.wiring.audit import sealers_of
from egress_manager.wiring.service import Services, open_services

log = logging.getLogger(__name__)

#: Preparing the database is tried again after this long. Seconds.
PREPARE_AGAIN: Final = 1.0
#: By when each step of the ending is over, in seconds since it was asked for. All of it is over
#: before `ending.LIMIT`.
HANDED_OVER_BY: Final = 6.0
WRITTEN_OUT_BY: Final = 8.0
FINISHED_BY: Final = 8.5
#: Whose the database is is looked at again after this long. Seconds.
LOOK_AGAIN: Final = 5.0
#: At the start work waits so long, at most, until it is known whose the database is, and who serves
#: the API so long. Seconds.
FIRST_LOOK: Final = 0.5
FIRST_LOOKS: Final = 3.0
#: What is cancelled at the end may take this long to end. Seconds.
END_TIMEOUT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Process:
    """What works in it, for whoever serves it."""

    services: Services
    sealers: Sealers
    intake: Intake


@asynccontextmanager
async def running(
    settings: Settings, roles: Collection[Role], ending: Ending | None = None
) -> AsyncIterator[Process]:
    """Work by these roles; at the end hand over, and finish what can be finished.

    The end begins with the end of the block, or as soon as `ending` is asked for.
    Raises `SettingsWrong` where MongoDB is neither configured nor to be had, or where the database
    belongs to another LiveKit, or the recordings directory to another database.
    """
    ending = ending or Ending()
    os.umask(settings.umask_bits)  # what we start has it too: the renderer, a mongod of our own
    async with open_services(settings, roles) as services:
        process = Process(services, sealers_of(services), Intake(services.doors))
        background = [
            asyncio.create_task(_mind_database(services)),
            asyncio.create_task(_work(process, _pace(settings), frozenset(roles))),
        ]
        leaving = asyncio.create_task(_leave(ending, services, roles))
        _spare_the_collector()
        try:
            await services.guard.settle(FIRST_LOOKS)
            if services.guard.refusal:
                raise SettingsWrong(services.guard.refusal)
            yield process
        finally:
            ending.begin()
            await asyncio.wait([leaving], timeout=LIMIT)
            await process.intake.aclose()
            for task in background:
                task.cancel()
            await asyncio.wait(background, timeout=END_TIMEOUT)
            await services.shared.aclose()


async def _leave(ending: Ending, services: Services, roles: Collection[Role]) -> None:
    """When this process is to end: hand over, write out captures, finish calls that are over."""
    await ending.asked()
    await ending.take("hand_over", services.shared.hand_over(), HANDED_OVER_BY)
    await ending.take("write_out", services.recorder.aclose(), WRITTEN_OUT_BY)
    if works_on_files(roles):
        await ending.take("finish", jobs.finish(services.doors), FINISHED_BY)


async def work(settings: Settings, role: Role) -> None:
    """Work by one role until somebody asks this process to end (SIGTERM, SIGINT)."""
    with heeded(passing_on=False) as ending:
        async with running(settings, {role}, ending):
            log.info("working", extra={"role": role})
            await ending.asked()


def _spare_the_collector() -> None:
    """Have the garbage collector pass over what is there now, for it stays to the end.

    Going through all that was imported takes it 80 ms, and on a busy machine twice that, in which
    no packet gets its time of arrival and nobody joins a room.
    """
    gc.collect()
    gc.freeze()


def _pace(settings: Settings) -> jobs.Pace:
    return jobs.Pace(
        poll=settings.poll_interval,
        poll_idle=settings.poll_interval_idle,
        finds_standing_rooms=settings.finds_standing_rooms,
    )


async def _work(process: Process, pace: jobs.Pace, roles: Collection[Role]) -> None:
    """Do what happens unasked, at once if it takes long to know whose the database is."""
    services = process.services
    await services.guard.settle(FIRST_LOOK)
    await jobs.run(services.doors, pace, process.sealers, services.shared, roles)


async def _mind_database(services: Services) -> None:
    """As soon as MongoDB answers, find out whose the database is, and make it ready.

    Whose it is is looked at again and again: somebody may give it to another LiveKit.
    """
    said, is_ready = "", False
    while True:
        try:
            await services.guard.look()
            if not (is_ready or services.guard.why):
                await _prepare(services)
                is_ready = True
            said = ""
        except SettingsWrong as error:
            log.error("database_unusable", extra={"why": str(error)})
            return
        except EgressManagerError as error:
            if error.code != said:
                log.warning("database_not_ready", extra={"why": error.code})
            said = error.code
        jobs.heed_cancellation()
        await asyncio.sleep(LOOK_AGAIN if is_ready else PREPARE_AGAIN)


async def _prepare(services: Services) -> None:
    """Make the database ready, and the API's key. Raises `StoreUnavailable`, `SettingsWrong`."""
    await services.prepare()
    if not await make_first_key(services.keys, services.doors.clock):
        log.warning("no_api_key", extra={"remedy": "egress-manager keys new"})

"""Work that is due, handed over through Redis by pydocket (port `Queue`).

There is a lane for work that any host can do, and one for each place, whose files only those who
work there have at hand. Only ids travel. The truth is in MongoDB, so a Redis that was emptied or is
away costs a delay: the sweep of what is due finds the work again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

import redis.exceptions
from docket import Docket, Worker

from egress_manager.adapters.local_queue import LocalQueue
from egress_manager.ports import Work

log = logging.getLogger(__name__)

#: So many recordings are worked on at once, in each lane.
WORKERS: Final = 4
#: How often a worker looks for more while it is busy: pydocket's default of 250 ms caps its rate.
LOOK_EVERY: Final = timedelta(milliseconds=20)
#: Work of which its worker told nothing for so long begins again, here or elsewhere: the worker
#: died, or lost Redis just as it had been given it.
REDELIVER_AFTER: Final = timedelta(seconds=30)
#: Redis that is away is tried again after this long. Seconds.
TRY_AGAIN: Final = 2.0
#: How long handing over one id may take. Seconds.
ADD_TIMEOUT: Final = 2.0

#: The lane for work that any host can do.
ANYWHERE: Final = ""


class DocketQueue:
    """The lanes of one process: those it `serves`, and all others to hand work to.

    What is handed over without a place goes the first way that it serves; or stays in this process,
    where it `keeps_own`: then it has something of the work in its hands that no other has.
    """

    def __init__(
        self, url: str, name: str, serves: Sequence[str] = (ANYWHERE,), *, keeps_own: bool = False
    ) -> None:
        self._url = url
        self._name = name
        self._serves = tuple(serves)
        self._own = LocalQueue() if keeps_own else None
        self._lanes: dict[str, Docket] = {}

    async def soon(self, recording_id: str, place: str | None = None) -> None:
        """Hand it over; without Redis the sweep of what is due does, a little later."""
        if place is None and self._own is not None:
            await self._own.soon(recording_id)
            return
        if place is None:
            place = next(iter(self._serves), ANYWHERE)
        with contextlib.suppress(redis.exceptions.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ADD_TIMEOUT):
                lane = self._lanes.get(place)
                if lane is not None:
                    await lane.add("work", key=recording_id)(recording_id)
                    return
                async with self._lane(place, _nothing) as other:
                    await other.add("work", key=recording_id)(recording_id)

    async def serve(self, work: Work) -> None:
        async with asyncio.TaskGroup() as group:
            for place in self._serves:
                group.create_task(self._serve_forever(place, work))
            if self._own is not None:
                group.create_task(self._own.serve(work))

    async def _serve_forever(self, place: str, work: Work) -> None:
        while True:
            try:
                await self._serve(place, work)
                return  # pydocket's worker answers a cancellation by ending in good order
            except (redis.exceptions.RedisError, OSError) as error:
                log.warning("redis_away", extra={"why": type(error).__name__})
            await asyncio.sleep(TRY_AGAIN)

    async def _serve(self, place: str, work: Work) -> None:
        async with self._lane(place, work) as docket:
            self._lanes[place] = docket
            try:
                async with Worker(
                    docket,
                    concurrency=WORKERS,
                    minimum_check_interval=LOOK_EVERY,
                    redelivery_timeout=REDELIVER_AFTER,
                    reconnection_delay=timedelta(seconds=TRY_AGAIN),
                ) as worker:
                    await worker.run_forever()
            finally:
                del self._lanes[place]

    @contextlib.asynccontextmanager
    async def _lane(self, place: str, work: Work) -> AsyncIterator[Docket]:
        name = f"{self._name}-{place}" if place else self._name
        async with Docket(name=name, url=self._url) as docket:
            docket.register(_task(work), names=["work"])
            yield docket


async def _nothing(_: str) -> None:
    """What is done with work here where another process does it."""


def _task(work: Work) -> Work:
    """pydocket reads a task's name and parameters off the function it is given."""

    async def work_on(recording_id: str) -> None:
        await work(recording_id)

    return work_on

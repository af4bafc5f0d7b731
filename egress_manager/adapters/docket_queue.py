"""Work that is due, handed over through Redis by pydocket (port `Queue`).

Only ids travel. The truth is in MongoDB, so a Redis that was emptied or is away costs a delay: the
sweep of what is due finds the work again.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import Final

import redis.exceptions
from docket import Docket, Worker

from egress_manager.ports import Work

log = logging.getLogger(__name__)

#: So many recordings are worked on at once.
WORKERS: Final = 4
#: How often a worker looks for more while it is busy: pydocket's default of 250 ms caps its rate.
LOOK_EVERY: Final = timedelta(milliseconds=20)
#: A worker that died is believed dead after this; its work begins again elsewhere.
REDELIVER_AFTER: Final = timedelta(minutes=5)
#: Redis that is away is tried again after this long. Seconds.
TRY_AGAIN: Final = 2.0
#: How long handing over one id may take. Seconds.
ADD_TIMEOUT: Final = 2.0


class DocketQueue:
    """A queue of its own for every host, since the files to be worked on lie on its disk."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._docket: Docket | None = None

    async def soon(self, recording_id: str) -> None:
        """Hand it over; without Redis the sweep of what is due does, a little later."""
        if self._docket is None:
            return
        with contextlib.suppress(redis.exceptions.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(ADD_TIMEOUT):
                await self._docket.add("work", key=recording_id)(recording_id)

    async def serve(self, work: Work) -> None:
        while True:
            try:
                await self._serve(work)
                return  # pydocket's worker answers a cancellation by ending in good order
            except (redis.exceptions.RedisError, OSError) as error:
                log.warning("redis_away", extra={"why": type(error).__name__})
            await asyncio.sleep(TRY_AGAIN)

    async def _serve(self, work: Work) -> None:
        async with Docket(name=self._name, url=self._url) as docket:
            docket.register(_task(work), names=["work"])
            self._docket = docket
            try:
                async with Worker(
                    docket,
                    concurrency=WORKERS,
                    minimum_check_interval=LOOK_EVERY,
                    redelivery_timeout=REDELIVER_AFTER,
                ) as worker:
                    await worker.run_forever()
            finally:
                self._docket = None


def _task(work: Work) -> Work:
    """pydocket reads a task's name and parameters off the function it is given."""

    async def work_on(recording_id: str) -> None:
        await work(recording_id)

    return work_on

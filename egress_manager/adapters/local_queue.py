"""Work that is due, handed over inside this process (port `Queue`)."""

import asyncio
from typing import Final

from egress_manager.ports import Work

#: So many recordings are worked on at once.
WORKERS: Final = 4


class LocalQueue:
    """A recording waits in it at most once, and is worked on by one worker at a time.

    `place` is where this process works: work of other places is found by those who work there.
    """

    def __init__(self, place: str = "") -> None:
        self._place = place
        self._waiting: dict[str, None] = {}
        self._taken: set[str] = set()
        self._has_work = asyncio.Event()

    async def soon(self, recording_id: str, place: str | None = None) -> None:
        if place and place != self._place:
            return
        self._waiting[recording_id] = None
        self._has_work.set()

    async def serve(self, work: Work) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work_forever(work))

    async def _work_forever(self, work: Work) -> None:
        while True:
            recording_id = await self._next()
            self._taken.add(recording_id)
            try:
                await work(recording_id)
            finally:
                self._taken.discard(recording_id)
                self._has_work.set()

    async def _next(self) -> str:
        while True:
            for recording_id in self._waiting:
                if recording_id not in self._taken:
                    del self._waiting[recording_id]
                    return recording_id
            self._has_work.clear()
            await self._has_work.wait()

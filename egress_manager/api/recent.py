"""What is asked at most once a second, however many want to know."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

Answer = TypeVar("Answer")

#: An answer counts for this long. Seconds.
COUNTS_FOR: Final = 1.0


class Recent(Generic[Answer]):
    """The newest answer; whoever asks while one is under way waits for that one."""

    def __init__(self) -> None:
        self._asking: asyncio.Task[Answer] | None = None
        self._asked_at = 0.0

    async def get(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer, or the one of the last second. Raises what asking raised."""
        now = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or (asking.done() and now - self._asked_at >= COUNTS_FOR):
            asking = self._asking = asyncio.create_task(ask())
            self._asked_at = now
            asking.add_done_callback(_seen)
        return await asyncio.shield(asking)


def _seen(asked: asyncio.Task[Any]) -> None:
    """Whoever waited for it is told what it raised; maybe nobody does any more."""
    if not asked.cancelled():
        asked.exception()

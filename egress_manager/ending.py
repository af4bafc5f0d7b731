"""How a process of ours ends when it is asked to (SIGTERM, SIGINT): within a limit, whatever hangs.

Whoever serves the API waits for its clients before the application may end, and a client can take
for ever. So the request is heard here, the moment it comes, and then passed on to the server: the
recorder hands its rooms over while the server still waits. A thread watches the limit: it needs
neither the event loop nor anything that this process waits for.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import uvicorn

log = logging.getLogger(__name__)

#: A process that was asked to end has ended after this long. Seconds.
LIMIT: Final = 9.5
#: Once everything is closed, what is left of the process ends within this. Seconds.
LAST_MOMENTS: Final = 2.0
#: How long uvicorn waits for requests that are being answered, unless it was started with
#: `--timeout-graceful-shutdown`. Seconds.
GRACE: Final = 2

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, Any], Any] | int | None


class Ending:
    """Whether this process was asked to end, and how much of its time is left."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Event()
        self._asked_at = 0.0

    def begin(self) -> None:
        """From now on this process ends; harmless to repeat."""
        if not self._asked.is_set():
            self._asked_at = self._loop.time()
            self._asked.set()

    async def asked(self) -> None:
        """Returns when this process is to end."""
        await self._asked.wait()

    async def take(self, step: str, work: Coroutine[Any, Any, None], by: float) -> None:
        """Do one step of the ending, until `by` seconds after it began. Never raises for the step.

        A step that fails, or takes longer, is logged, and the next one follows.
        """
        try:
            async with asyncio.timeout(max(0.0, self._asked_at + by - self._loop.time())):
                await work
        except TimeoutError:
            log.warning("end_step_cut_short", extra={"step": step})
        except Exception:
            log.exception("end_step_failed", extra={"step": step})


@contextlib.contextmanager
def heeded(*, passing_on: bool) -> Iterator[Ending]:
    """Hear SIGTERM and SIGINT for as long as the block lasts, and end by them.

    `passing_on`: whoever heard them before hears them too, as the server of the API has to.
    Elsewhere than in the main thread there are no signals: then only `Ending.begin` ends it.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    before: dict[int, Handler] = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = threading.Event()

    def heed(number: int, frame: Any) -> None:
        if not heard.is_set():
            heard.set()
            _force_end_after(LIMIT)
        ending._loop.call_soon_threadsafe(ending.begin)
        if passing_on:
            _pass_on(before[number], number, frame)

    for number in _SIGNALS:
        signal.signal(number, heed)
    try:
        yield ending
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])
        if heard.is_set():
            _force_end_after(LAST_MOMENTS)


def _pass_on(handler: Handler, number: int, frame: Any) -> None:
    """Tell whoever heard signals before us; a uvicorn that would wait for ever gets a limit."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = GRACE
    if callable(handler) and handler is not signal.default_int_handler:
        handler(number, frame)


def _force_end_after(seconds: float) -> None:
    """End this process then, if it is still there: it may be waiting for what never comes."""
    timer = threading.Timer(seconds, _force_end, [seconds])
    timer.daemon = True
    timer.start()


def _force_end(seconds: float) -> None:
    log.error("end_forced", extra={"after": seconds, "threads": sorted(_threads())})
    os._exit(1)


def _threads() -> set[str]:
    """What runs beside: a thread that waits for a disk is named by its pool."""
    return {thread.name for thread in threading.enumerate()}

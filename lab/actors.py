"""Somebody who takes part in a call, and what became of it, moment by moment."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from lab.microphone import Utterance
from lab.sounds import PCM

WAIT_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that somebody did or that happened to them, at a wall-clock moment (s)."""

    what: str
    at: float
    details: Mapping[str, Any] = field(default_factory=dict)


class Actor:
    """Comes with `async with`, says things, goes; keeps a diary of it."""

    def __init__(
        self, identity: str, on_happening: Callable[[Happening], None] | None = None
    ) -> None:
        self.identity = identity
        self.happenings: list[Happening] = []
        self._on_happening = on_happening
        self._deeds: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def join(self) -> None:
        """Come."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Go; harmless when it is gone already."""
        raise NotImplementedError

    async def say(self, pcm: PCM) -> Utterance:
        """Say it in real time; returns when the last of it is on its way."""
        raise NotImplementedError

    async def said(self, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until something was said; `details` tell when it began and ended."""
        return await self.reached("said", timeout)

    async def left(self, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until it is out of the call, whoever wanted that."""
        return await self.reached("left", timeout)

    async def reached(self, what: str, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until something happened, and tell when it did."""
        async with asyncio.timeout(timeout):
            while (found := self.first(what)) is None:
                self._changed.clear()
                await self._changed.wait()
        return found

    def first(self, what: str) -> Happening | None:
        """The first happening of that name, if it happened."""
        return next((event for event in self.happenings if event.what == what), None)

    def note(self, what: str, **details: Any) -> None:
        """Put down that something happened now."""
        happening = Happening(what, time.time(), details)
        self.happenings.append(happening)
        self._changed.set()
        if self._on_happening is not None:
            self._on_happening(happening)

    async def __aenter__(self) -> Self:
        try:
            await self.join()
        except BaseException:
            await self.leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave()

    def _do(self, deed: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside; it ends with the stay at the latest."""
        task = asyncio.create_task(deed, name=self.identity)
        self._deeds.add(task)
        return task

    async def _end_deeds(self) -> None:
        """Stop what is still being done, and raise what went wrong with it."""
        deeds, self._deeds = self._deeds, set()
        for deed in deeds:
            deed.cancel()
        for outcome in await asyncio.gather(*deeds, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

"""Doors that end whoever goes through them, after so many steps: as kill -9 does, anywhere."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from egress_manager.flows.migration.doors import Movers


class Killed(BaseException):
    """As by kill -9: nobody tidies up."""


def _killed() -> None:
    raise Killed


@dataclass
class Life:
    """So many steps are left; `at_each_step` is looked at before and after each."""

    steps: int
    at_each_step: Callable[[], None] = lambda: None
    end: Callable[[], None] = _killed

    def step(self) -> None:
        """One step more, or the end."""
        self.at_each_step()
        if self.steps <= 0:
            self.end()
        self.steps -= 1


class Mortal:
    """A door; going through it is a step, and so is having gone through it."""

    def __init__(self, door: Any, life: Life) -> None:
        self._door = door
        self._life = life

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._door, name)
        return self._asynchronous(verb) if inspect.iscoroutinefunction(verb) else self._plain(verb)

    def _asynchronous(self, verb: Any) -> Any:
        @wraps(verb)
        async def through(*arguments: Any, **named: Any) -> Any:
            self._life.step()
            result = await verb(*arguments, **named)
            self._life.step()
            return result

        return through

    def _plain(self, verb: Any) -> Any:
        @wraps(verb)
        def through(*arguments: Any, **named: Any) -> Any:
            self._life.step()
            result = verb(*arguments, **named)
            self._life.step()
            return result

        return through


def mortal(movers: Movers, life: Life) -> Movers:
    """The same doors, each of which may be the last."""
    return replace(
        movers,
        recordings=Mortal(movers.recordings, life),
        shelf=Mortal(movers.shelf, life),
        ledger=Mortal(movers.ledger, life),
    )

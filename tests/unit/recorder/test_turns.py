"""Many rooms that are to be joined at once, on a clock that moves only while everybody waits."""

import asyncio
import contextlib
import selectors
from collections.abc import Coroutine
from typing import Any

from egress_manager.errors import CaptureFailed
from egress_manager.recorder.knocking import AT_ONCE, NEXT_AFTER, Turn, Turns, first_answer

#: So many rooms had a recorder when the server went away.
ROOMS = 50
#: So long the server leaves open whatever it is asked. Seconds.
AWAY = 5.2
#: Joining a room takes a server that is there so long, and its media so much more. Seconds.
TAKES, MEDIA = 0.02, 0.05
#: All recorders are to be back this soon after the server answers. Seconds.
BACK_WITHIN = 1.5


class Waiting(selectors.DefaultSelector):
    """Nothing comes from outside: to wait is to move the clock."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for somebody else"
        self.passed += timeout
        return super().select(0)


class Clockwork(asyncio.SelectorEventLoop):
    """An event loop whose time is what was waited."""

    def __init__(self) -> None:
        self._waiting = Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.passed


def on_clockwork(story: Coroutine[Any, Any, None]) -> None:
    """Run a story to its end; it takes no time."""
    with asyncio.Runner(loop_factory=Clockwork) as runner:
        runner.run(story)


def moment() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """Leaves open whatever it is asked before `AWAY`; then it joins whoever asks."""

    def __init__(self) -> None:
        self.asked = self.joining = self.most_joining = 0

    async def __call__(self, turn: Turn) -> float:
        """An attempt to get in: when it was answered; its media comes up a little later."""
        if moment() < AWAY:
            self.asked += 1
            await asyncio.Event().wait()
        self.joining += 1
        self.most_joining = max(self.most_joining, self.joining)
        await asyncio.sleep(TAKES)
        asyncio.get_running_loop().call_later(MEDIA, self._is_up, turn)
        return moment()

    def _is_up(self, turn: Turn) -> None:
        self.joining -= 1
        turn.end()

    async def drop(self, answer: float) -> None:
        """Nobody is answered twice here."""

    async def joined(self, turns: Turns) -> float:
        """When a room was let in that asks until it is."""
        while True:
            with contextlib.suppress(CaptureFailed):
                return await first_answer(self, self.drop, turns)


def test_many_rooms_are_back_soon_after_a_server_that_left_them_waiting() -> None:
    """A room may have asked seconds ago, but who is answered passes the turn on at once.

    Meanwhile the server is not asked more often for many rooms than for few: it keeps whatever it
    does not answer, and one that has hundreds of those to time out answers late when it is back.
    """

    async def story() -> None:
        turns, server = Turns(), Server()

        back = await asyncio.gather(*(server.joined(turns) for _ in range(ROOMS)))

        assert max(back) - AWAY < BACK_WITHIN
        assert server.most_joining <= AT_ONCE
        assert server.asked <= AT_ONCE * (AWAY / NEXT_AFTER + 1)

    on_clockwork(story())

"""Attempts to get in, of which some are never answered."""

import asyncio

import pytest

from egress_manager.errors import CaptureFailed, LiveKitRefused
from egress_manager.recorder.knocking import AT_ONCE, ATTEMPTS, Turn, Turns, first_answer

#: The next attempt begins so soon that tests need not wait. Seconds.
SOON = 0.01
PATIENCE = 30.0


class Attempts:
    """What becomes of each attempt: an answer, an error, or nothing ever (None)."""

    def __init__(self, *outcomes: str | Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.begun = 0
        self.hanging = 0
        self.dropped: list[str] = []

    async def __call__(self, turn: Turn) -> str:
        turn.end()
        outcome = self.outcomes[self.begun]
        self.begun += 1
        if outcome is None:
            self.hanging += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.hanging -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    async def drop(self, answer: str) -> None:
        self.dropped.append(answer)


async def get_in(attempts: Attempts) -> str:
    async with asyncio.timeout(PATIENCE):
        return await first_answer(attempts, attempts.drop, Turns(), SOON)


async def test_the_next_attempt_succeeds_while_the_first_still_hangs():
    """The one that hangs is ended when it is not needed any more."""
    attempts = Attempts(None, None, "in")

    assert await get_in(attempts) == "in"
    assert attempts.begun == 3
    assert attempts.hanging == 0


async def test_an_attempt_that_fails_alone_is_told_at_once():
    """Whoever wants in decides when to try again."""
    attempts = Attempts(CaptureFailed("nobody listens"), "in")

    with pytest.raises(CaptureFailed, match="nobody listens"):
        await get_in(attempts)
    assert attempts.begun == 1


async def test_an_attempt_that_fails_beside_another_one_changes_nothing():
    """The other one may still be answered, and a third one is made."""
    attempts = Attempts(None, CaptureFailed("reset"), "in")

    assert await get_in(attempts) == "in"


async def test_a_refusal_is_an_answer():
    """A key that is wrong does not become right by knocking again."""
    attempts = Attempts(None, LiveKitRefused("check the key"))

    with pytest.raises(LiveKitRefused):
        await get_in(attempts)
    assert attempts.hanging == 0


async def test_a_server_that_answers_none_of_them_is_given_up_on():
    """There is a bound, and nothing is left behind."""
    attempts = Attempts(*[None] * ATTEMPTS)

    with pytest.raises(CaptureFailed):
        await get_in(attempts)
    assert attempts.begun == ATTEMPTS
    assert attempts.hanging == 0


async def test_an_answer_that_comes_too_late_is_dropped():
    """Two were answered at the same moment: one is taken, the other one leaves."""
    answered = asyncio.Event()
    dropped: list[int] = []
    numbers = iter(range(ATTEMPTS))

    async def attempt(turn: Turn) -> int:
        number = next(numbers)
        if number == 1:
            answered.set()
        await answered.wait()
        return number

    async def drop(number: int) -> None:
        dropped.append(number)

    taken = await first_answer(attempt, drop, Turns(), SOON)

    assert {taken, *dropped} == {0, 1}


async def test_rooms_are_joined_in_turns():
    """With all turns taken another one waits, until one of them ends."""
    turns = Turns()
    taken = [await turns.take() for _ in range(AT_ONCE)]
    attempts = Attempts("in")

    getting_in = asyncio.create_task(first_answer(attempts, attempts.drop, turns))
    for _ in range(10):
        await asyncio.sleep(0)
    waited = attempts.begun == 0
    taken[0].end()

    assert waited
    assert await getting_in == "in"
    for turn in taken:
        turn.end()


async def test_a_turn_ends_by_itself():
    """A server that answers nobody holds up no room for long."""
    turns = Turns()
    async with asyncio.timeout(PATIENCE):
        for _ in range(AT_ONCE + 1):
            await turns.take()


async def test_whoever_waits_for_a_turn_and_needs_it_no_more_takes_none():
    """The turn that comes just then goes to the next one."""
    turns = Turns()
    taken = [await turns.take() for _ in range(AT_ONCE)]
    attempts = Attempts("in")
    getting_in = asyncio.create_task(first_answer(attempts, attempts.drop, turns))
    await asyncio.sleep(0)
    taken[0].end()
    getting_in.cancel()
    await asyncio.wait([getting_in])

    async with asyncio.timeout(PATIENCE):
        (await turns.take()).end()
    for turn in taken:
        turn.end()

"""Webhooks on which LiveKit gave up, because nobody answered for too long."""

import asyncio
import time

import pytest

from lab import sounds
from lab.phones import Agent, Phone
from tests.e2e.houses import House, heard
from tests.e2e.test_survival import until_kept

pytestmark = pytest.mark.builtin_only("who is there is asked alike, whoever records")

#: Five attempts take LiveKit a quarter of a minute, and it tells one thing of a room after the
#: other; a busy machine takes longer. Seconds.
PATIENCE = 120.0
#: A fraction that says: this sound is there.
THERE = 0.6


async def test_what_livekit_gave_up_telling_is_found_by_asking(home: House, room_name: str) -> None:
    """The process is dead for longer than LiveKit tries: one call ends meanwhile, one begins."""
    ending, beginning = f"{room_name}-ending-1", f"{room_name}-beginning-2"
    async with (
        Agent(home.livekit, ending, identity="agent-1"),
        Agent(home.livekit, beginning, identity="agent-2"),
        Phone(home.livekit, ending, number="+15550701") as first,
    ):
        await first.answered()
        await home.hears(first)
        words = await first.say(sounds.chirp(2))
        await asyncio.to_thread(until_kept, home.manager.recordings, words.ended_at)
        await home.manager.call(lambda call: call["answered_at"], caller_number=first.number)
        await home.manager.kill()
        await first.hang_up()
        async with Phone(home.livekit, beginning, number="+15550702") as second:
            await second.answered()
            await _given_up(home, ("participant_left", ending), ("participant_joined", beginning))
            await home.manager.start()
            await home.manager.call(lambda call: call["left_at"], caller_number=first.number)
            await home.hears(second)
            await second.say(sounds.chirp(2))
            await second.hang_up()
            found = await home.finished(second)
    ended = await home.finished(first)

    assert sounds.locate(heard(found).left, sounds.chirp(2)).score > THERE
    assert sounds.locate(heard(ended).left, sounds.chirp(2)).score > THERE
    assert (await home.call_of(first))["left_at"] < (await home.call_of(second))["left_at"]


async def _given_up(home: House, *news: tuple[str, str]) -> None:
    """Wait until LiveKit has dropped these: an event and its room each."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        log = home.livekit.log.read_text(errors="replace").splitlines()
        dropped = [line for line in log if "webhook" in line and "fail" in line]
        if all(any(set(told) <= set(line.split('"')) for line in dropped) for told in news):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"LiveKit has not given up: {dropped}")

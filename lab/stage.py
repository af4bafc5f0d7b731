"""Plays a plan in a process of its own: `python -m lab.stage plan.json`.

A panic of the SDK ends the process it is in, and phones cost CPU time that must not be
counted as the recorder's: so they live here. What happens is printed as JSON lines with
`who`, `room`, `what` and `at` (wall clock, seconds); see `lab.theatre` for the other end.
"""

import asyncio
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from lab.actors import Actor, Happening
from lab.participants import Manner, Participant
from lab.phones import Agent, Answer, Browser, Phone, SipParticipant
from lab.plans import Address, Line, Part, Plan, sound
from lab.sounds import PCM, RATE

_ANSWER_TIMEOUT = 60.0
Words = tuple[Line, PCM]


async def play(plan: Plan) -> bool:
    """Play all parts at once; False when one of them failed, which does not stop the others."""
    began = time.monotonic()
    _print(what="began", at=time.time())
    performances = (_perform(part, plan.address, began) for part in plan.parts)
    outcomes = await asyncio.gather(*performances)
    _print(what="over", at=time.time(), failed=outcomes.count(False))
    return all(outcomes)


async def _perform(part: Part, address: Address, began: float) -> bool:
    try:
        # Made before its time comes, so that making it does not delay the words.
        words = [(line, sound(line.sound)) for line in part.lines]
        await _wait_until(part.joins_at, began)
        async with _cast(part, address) as who:
            await _stay(who, part, words, began)
            if isinstance(who, Phone) and who.first("left") is None:
                await who.hang_up()
    except Exception as error:
        _print(who=part.who, room=part.room, what="failed", at=time.time(), why=repr(error))
        return False
    return True


async def _stay(who: Actor, part: Part, words: list[Words], began: float) -> None:
    """Say all lines, and stay until it is time to leave, be all said or not."""
    deadline = None if part.leaves_at is None else _loop_time(part.leaves_at, began)
    try:
        async with asyncio.timeout_at(deadline) as stay:
            await _recite(who, part, words, began)
            if deadline is not None:
                await asyncio.Event().wait()
    except TimeoutError:
        if not stay.expired():
            raise


async def _recite(who: Actor, part: Part, words: list[Words], began: float) -> None:
    """Say all lines, a phone after it was answered."""
    if isinstance(who, SipParticipant) and part.answers_at is not None:
        await _wait_until(part.answers_at, began)
        await who.answer()
    if isinstance(who, Phone):
        await who.answered(_ANSWER_TIMEOUT)
    for line, pcm in words:
        if line.at is not None:
            await _wait_until(line.at, began)
        await asyncio.sleep(line.pause)
        if line.is_mute and isinstance(who, Participant):
            who.mute()
            await asyncio.sleep(len(pcm) / RATE)
            who.unmute()
        else:
            await who.say(pcm)


def _cast(part: Part, address: Address) -> Actor:
    report = partial(_report, part)
    if part.kind == "phone" and part.is_plain:
        return Phone(address, part.room, number=part.number, on_happening=report)
    common: dict[str, Any] = {
        "identity": part.who,
        "attributes": part.attributes,
        "manner": _manner(part),
        "on_happening": report,
    }
    match part.kind:
        case "phone":
            answer = Answer.NEVER if part.answers_at is not None else Answer(part.answer)
            return SipParticipant(
                address,
                part.room,
                number=part.number,
                call_id=part.call_id,
                answer=answer,
                **common,
            )
        case "agent":
            return Agent(address, part.room, **common)
        case "browser":
            return Browser(address, part.room, **common)


def _manner(part: Part) -> Manner:
    return Manner(
        publishes=part.publishes,
        listens=part.listens,
        dtx=part.dtx,
        red=part.red,
        key=part.key.encode() if part.key is not None else None,
    )


def _report(part: Part, happening: Happening) -> None:
    details = dict(happening.details)
    _print(who=part.who, room=part.room, what=happening.what, at=happening.at, **details)


def _print(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def _wait_until(at: float, began: float) -> None:
    await asyncio.sleep(max(0.0, began + at - time.monotonic()))


def _loop_time(at: float, began: float) -> float:
    """A time of the play as the event loop counts."""
    return asyncio.get_running_loop().time() + began + at - time.monotonic()


def main() -> None:
    plan = Plan.from_json(Path(sys.argv[1]).read_text())
    sys.exit(0 if asyncio.run(play(plan)) else 1)


if __name__ == "__main__":
    main()

"""What happens unasked: `STEPS` by a recording's state, `SWEEPS` by the clock.

Every step is safe to repeat; the truth is in the stores, so work that is lost is found again by the
sweep of what is due.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from egress_manager.domain.recordings import Recording, State
from egress_manager.errors import EgressManagerError
from egress_manager.flows import poll, receive, record, recover, render
from egress_manager.flows.doors import Doors

log = logging.getLogger(__name__)

Step = Callable[[Recording, Doors], Awaitable[Recording]]

#: What to do with a recording, by the state it rests in. No entry: nothing to do.
STEPS: Final[Mapping[State, Step]] = {
    State.PLANNED: record.give_up,
    State.STARTING: record.give_up,
    State.ACTIVE: record.outlive,
    State.ENDING: record.close,
    State.CAPTURED: render.render,
}

#: A recording takes at most so many steps in one go: more than there are states.
MOST_STEPS: Final = 10
#: A step that failed is tried again after this long.
RETRY: Final = timedelta(seconds=5)
#: No step and no turn of a sweep may take longer. Seconds.
STEP_TIMEOUT: Final = 15 * 60.0
SWEEP_TIMEOUT: Final = 60.0
#: When the service is asked to end, recordings whose calls are over may take this long. Seconds.
FINISH_TIMEOUT: Final = 8.0
FINISH_LOOKS: Final = 80
#: So many due recordings are taken up in one turn.
MOST_DUE: Final = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are swept. Seconds; `poll_idle` where no call goes on.

    `finds_standing_rooms`: whether LiveKit is asked which rooms dispatch rules name.
    """

    poll: float = 2.0
    poll_idle: float = 4.0
    due: float = 0.5
    inbox: float = 10.0
    recover: float = 15.0
    standing: float = 60.0
    finds_standing_rooms: bool = True


async def run(doors: Doors, pace: Pace) -> None:
    """Work until cancelled."""
    async with asyncio.TaskGroup() as group:
        for name, sweep in sweeps(doors, pace).items():
            group.create_task(_sweep_forever(name, sweep))
        group.create_task(doors.queue.serve(partial(work_on, doors=doors)))


def sweeps(doors: Doors, pace: Pace) -> Mapping[str, Callable[[], Awaitable[float]]]:
    """Every sweep by its name: one turn of it, which returns the seconds until the next."""

    async def look_around() -> float:
        return pace.poll if await poll.poll(doors) else pace.poll_idle

    async def hear_left_behind() -> float:
        await recover.recover(doors)
        return pace.recover

    async def empty_inbox() -> float:
        await receive.take_waiting(doors)
        return pace.inbox

    async def find_due() -> float:
        for recording in await doors.recordings.due(doors.clock.now(), MOST_DUE):
            await doors.queue.soon(recording.id)
        return pace.due

    async def learn_standing_rooms() -> float:
        if pace.finds_standing_rooms and not await poll.learn_standing_rooms(doors):
            log.warning(
                "standing_rooms_unknown", extra={"remedy": "a key with the sip.admin right"}
            )
        return pace.standing

    return {
        "standing": learn_standing_rooms,
        "poll": look_around,
        "recover": hear_left_behind,
        "inbox": empty_inbox,
        "due": find_due,
    }


async def finish(doors: Doors) -> None:
    """At the end: let recordings whose calls are over be finished; the next start does the rest."""
    for _ in range(FINISH_LOOKS):
        try:
            unfinished = await doors.recordings.unfinished()
        except EgressManagerError:
            return
        if not any(recording.state in (State.ENDING, State.CAPTURED) for recording in unfinished):
            return
        await asyncio.sleep(FINISH_TIMEOUT / FINISH_LOOKS)


async def work_on(recording_id: str, doors: Doors) -> None:
    """Take a recording as far as it goes now; what fails is tried again later."""
    try:
        for _ in range(MOST_STEPS):
            recording = await doors.recordings.get(recording_id)
            if not await _step(recording, doors):
                return
    except EgressManagerError as error:
        log.warning("step_put_off", extra={"recording": recording_id, "why": error.code})
    except Exception:
        log.exception("step_failed", extra={"recording": recording_id})


async def _step(recording: Recording, doors: Doors) -> bool:
    """One step, if the state has one; whether there may be another at once."""
    step = STEPS.get(recording.state)
    if step is None:
        return False
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            after = await step(recording, doors)
    except EgressManagerError:
        raise
    except Exception:
        await record.postpone(recording, RETRY, doors)
        raise
    return after.state is not recording.state


async def _sweep_forever(name: str, sweep: Callable[[], Awaitable[float]]) -> None:
    """Turn after turn; what fails is said once until it works again."""
    said = ""
    while True:
        wait = 1.0
        try:
            async with asyncio.timeout(SWEEP_TIMEOUT):
                wait = await sweep()
            said = ""
        except EgressManagerError as error:
            if error.code != said:
                log.warning("sweep_failed", extra={"sweep": name, "why": str(error)})
            said = error.code
        except BaseExceptionGroup as group:
            rest = group.subgroup(lambda error: not isinstance(error, EgressManagerError))
            if rest is not None:
                log.exception("sweep_failed", extra={"sweep": name})
        except Exception:
            log.exception("sweep_failed", extra={"sweep": name})
        await asyncio.sleep(wait)

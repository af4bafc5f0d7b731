"""RENDERED -> VERIFIED, REJECTED or UNHEARD: the files are listened to, and judged.

A mix with a fault that its tracks do not have is made again, once. The first one stays where it is:
the other gets a name beside it, and takes its place when it has been listened to and is better.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from egress_manager.domain.calls import Call
from egress_manager.domain.proof import Judgement, judge
from egress_manager.domain.recordings import Event, Recording, State
from egress_manager.domain.trial import (
    claim_of,
    forgotten,
    in_words,
    is_better,
    is_elsewhere,
    is_first,
    is_mendable,
    judged,
    listed,
    repaired,
    unheard,
)
from egress_manager.errors import EgressManagerError, StorageFailed, StoreUnavailable
from egress_manager.flows import render, repair
from egress_manager.flows.doors import Doors
from egress_manager.flows.subject import subject_of
from egress_manager.flows.update import update

log = logging.getLogger(__name__)

#: Waits before listening is tried again; after the last one it is said that nobody could.
RETRIES: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600))

#: Fetching the files and listening to them takes no longer. Seconds; less than a step may take.
PATIENCE: Final = 5 * 60.0

#: In the history of a recording whose mix was made again for nothing.
NOT_REPAIRED: Final = "recording.not_repaired"


async def verify(recording: Recording, doors: Doors) -> Recording:
    """Listen and judge; where nobody can, try again a few times, then say so."""
    call = await subject_of(recording, doors)
    try:
        judgement = await _judgement(recording, call, doors)
    except StoreUnavailable:
        raise
    except Exception as error:  # also a fault of ours: it must not keep it waiting for ever
        return await _not_heard(recording, error, doors)
    if recording.state is State.RENDERED and is_first(recording) and is_mendable(judgement):
        return await _mended(recording, call, judgement, doors)
    return await _ended(recording, judgement, doors)


async def _judgement(recording: Recording, call: Call, doors: Doors) -> Judgement:
    """What is to be said of the files as they are now.

    Raises `ListenFailed`, `StorageFailed`, `TimeoutError`.
    """
    paths = [recording.filepath, *(track.filepath for track in recording.tracks)]
    async with (
        asyncio.timeout(PATIENCE),
        doors.files.at_hand([path for path in paths if path]) as here,
    ):
        claim = claim_of(recording, call, here)
        if is_elsewhere(claim.path):
            return unheard("out_of_reach", "")
        evidence = await doors.ears.listen(claim)
    has_all = doors.house.include_other_callers or recording.call_id is None
    others = () if has_all else await render.others(call, doors)
    excesses = (*evidence.excesses, *forgotten(recording, call))
    listing = listed(recording, call, others)
    return judge(replace(evidence, listed=listing, excesses=excesses))


async def _ended(recording: Recording, judgement: Judgement, doors: Doors) -> Recording:
    """The verdict stands in the document, with its reasons."""
    now = doors.clock.now()
    log.info("judged", extra={"recording": recording.id, "verdict": judgement.verdict})
    return await update(doors.recordings, recording.id, lambda r: judged(r, judgement, now))


async def _not_heard(recording: Recording, error: Exception, doors: Doors) -> Recording:
    """Nobody could listen to it: later, a few times; then that is what is said of it."""
    attempt, now = recording.attempts, doors.clock.now()
    is_ours = not isinstance(error, EgressManagerError)
    log.warning(
        "not_heard",
        extra={"recording": recording.id, "attempt": attempt + 1},
        exc_info=error if is_ours else None,
    )
    if attempt < len(RETRIES):
        again: dict[str, Any] = {"attempts": attempt + 1, "due_at": now + RETRIES[attempt]}
        return await update(
            doors.recordings,
            recording.id,
            lambda r: replace(r, **again) if r.state is recording.state else r,
        )
    name = "out_of_reach" if isinstance(error, StorageFailed) else "not_heard"
    why = type(error).__name__ if is_ours else str(error)
    return await _ended(recording, unheard(name, why), doors)


async def _mended(
    recording: Recording, call: Call, judgement: Judgement, doors: Doors
) -> Recording:
    """Make the mix again, and take it where it is better; else the first one is judged."""
    made = await repair.made_again(recording, call, judgement, doors)
    if made is None:
        return await _ended(recording, judgement, doors)
    better = await _better(made, call, judgement, doors)
    now, why = doors.clock.now(), in_words(judgement)
    if better is None:
        await repair.discard(recording, doors)
        noted = Event(NOT_REPAIRED, now, "what was made again is no better")
        return await update(
            doors.recordings,
            recording.id,
            lambda r: judged(r.noted(noted), judgement, now) if r.state is State.RENDERED else r,
        )
    log.info("repaired", extra={"recording": recording.id, "verdict": better.verdict})
    return await update(
        doors.recordings,
        recording.id,
        lambda r: judged(repaired(r, made, now, why), better, now),
    )


async def _better(
    made: Recording, call: Call, judgement: Judgement, doors: Doors
) -> Judgement | None:
    """The judgement on a mix that was made again, if it is better than the one before."""
    try:
        found = await _judgement(made, call, doors)
    except StoreUnavailable:
        raise
    except Exception:
        log.exception("not_heard", extra={"recording": made.id})
        return None
    return found if is_better(found, judgement) else None

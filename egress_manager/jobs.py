"""What happens unasked: `STEPS` by a recording's state, `SWEEPS` by the clock.

Every step is safe to repeat; the truth is in the stores, so work that is lost is found again by the
sweep of what is due.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from egress_manager.domain.recordings import WITHOUT_FILE, Recording, State
from egress_manager.domain.roles import ALL, Role, works_on_files
from egress_manager.domain.standing import waits_for_code
from egress_manager.errors import EgressManagerError
from egress_manager.flows import (
    accompany,
    poll,
    receive,
    reconcile,
    record,
    render,
    report,
    verify,
)
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.seal import Sealing
from egress_manager.flows.doors import Doors
from egress_manager.flows.recover import Recovery
from egress_manager.flows.sharing.recorder import SharedRecorder

log = logging.getLogger(__name__)

Sweep = Callable[[], Awaitable[float]]
Step = Callable[[Recording, Doors], Awaitable[Recording]]

#: What to do with a recording, by the state it rests in. No entry: nothing to do.
STEPS: Final[Mapping[State, Step]] = {
    State.PLANNED: accompany.look_after,
    State.STARTING: accompany.look_after,
    State.ACTIVE: accompany.look_after,
    State.ENDING: record.close,
    State.CAPTURED: render.render,
    State.RENDERED: verify.verify,
    State.REPAIRED: verify.verify,
}

#: Whose each sweep is: it is done by every process that has one of these roles.
ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "mind": ALL,
    "standing": frozenset({Role.RECORDER}),
    "poll": frozenset({Role.RECORDER, Role.JOBS}),
    "recover": frozenset({Role.RECORDER}),
    "inbox": frozenset({Role.JOBS}),
    "due": frozenset({Role.RECORDER, Role.JOBS}),
    "egresses": frozenset({Role.JOBS}),
    "report": frozenset({Role.JOBS}),
    "reconcile": frozenset({Role.JOBS}),
    "seal": frozenset({Role.RECORDER, Role.JOBS}),
}

#: A recording takes at most so many steps in one go: more than there are states.
MOST_STEPS: Final = 10
#: A step that failed is tried again after this long.
RETRY: Final = timedelta(seconds=5)
#: No step and no turn of a sweep may take longer. Seconds.
STEP_TIMEOUT: Final = 15 * 60.0
SWEEP_TIMEOUT: Final = 60.0
#: But for sealing, which reads whole files.
SWEEP_TIMEOUTS: Final[Mapping[str, float]] = {"seal": STEP_TIMEOUT}
#: When the service is asked to end, recordings whose calls are over may take this long. Seconds.
FINISH_TIMEOUT: Final = 8.0
FINISH_LOOKS: Final = 80
#: A store that takes longer for one such look is away: the next start does the rest. Seconds.
LOOK_TIMEOUT: Final = 2.0
#: A sweep that failed is tried again after this long. Seconds.
SWEEP_RETRY: Final = 1.0
#: So many webhooks are taken from the inbox in one turn.
INBOX_BATCH: Final = 100
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
    report: float = 600.0
    reconcile: float = 10.0
    reconcile_idle: float = 600.0
    egresses: float = 2.0
    egresses_idle: float = 10.0
    seal: float = 1.0
    mind: float = 0.3
    mind_alone: float = 1.0
    finds_standing_rooms: bool = True


async def run(
    doors: Doors,
    pace: Pace,
    sealers: Sealers,
    recorder: SharedRecorder,
    roles: Collection[Role] = ALL,
) -> None:
    """Work by these roles until cancelled.

    What captures that were left behind have to tell is heard before anybody is asked who is there:
    they know when a caller was last seen.
    """
    sweeps = Sweeps(doors, pace, sealers, recorder, roles)
    await _turn("mind", sweeps.mind)
    if Role.RECORDER in roles:
        await _turn("recover", sweeps.hear_left_behind)
    async with asyncio.TaskGroup() as group:
        for name, sweep in sweeps.by_name().items():
            if ROLES[name] & set(roles):
                group.create_task(_sweep_forever(name, sweep))
        group.create_task(doors.queue.serve(partial(work_on, doors=doors)))


@dataclass(slots=True)
class Sweeps:
    """What is done again and again; a verb is one turn, and returns the seconds until the next."""

    doors: Doors
    pace: Pace
    sealers: Sealers
    recorder: SharedRecorder
    roles: Collection[Role] = ALL
    next_look_at: float | None = None
    recovery: Recovery = field(default_factory=Recovery)
    listing: reconcile.Listing = field(default_factory=reconcile.Listing)
    sealing: Sealing = field(default_factory=Sealing)
    is_first: bool = True

    def by_name(self) -> Mapping[str, Sweep]:
        """Every sweep by its name."""
        return {
            "mind": self.mind,
            "standing": self.learn_standing_rooms,
            "poll": self.look_around,
            "recover": self.hear_left_behind,
            "inbox": self.empty_inbox,
            "due": self.find_due,
            "egresses": self.ask_egress,
            "report": self.keep_report,
            "reconcile": self.reconcile,
            "seal": self.seal,
        }

    async def mind(self) -> float:
        """Say that this process lives; take over from those that do not."""
        membership, now = self.recorder.membership, asyncio.get_running_loop().time()
        if self.next_look_at is not None:
            membership.feel(max(0.0, now - self.next_look_at))
        self.next_look_at = None  # a turn that fails tells nothing of how busy we are
        await self.recorder.mind()
        for recording_id in membership.abandoned if works_on_files(self.roles) else ():
            await self.doors.queue.soon(recording_id)
        wait = self.pace.mind_alone if membership.is_alone else self.pace.mind
        self.next_look_at = asyncio.get_running_loop().time() + wait
        return wait

    async def look_around(self) -> float:
        """Ask LiveKit who is there."""
        return self.pace.poll if await poll.poll(self.doors) else self.pace.poll_idle

    async def hear_left_behind(self) -> float:
        """Hear out captures whose process died, or whose store was away."""
        await self.recovery.recover(self.doors)
        await render.forget_what_others_made(self.doors)
        return self.pace.recover

    async def empty_inbox(self) -> float:
        """Take in webhooks that were kept and not worked on."""
        taken = await receive.take_waiting(self.doors, INBOX_BATCH)
        return 0.0 if taken == INBOX_BATCH else self.pace.inbox

    async def find_due(self) -> float:
        """Find what is due; at first also what the last process had in its hands."""
        if self.is_first:
            for recording in await self.doors.recordings.unfinished():
                if not recording.is_going_on:
                    await self.doors.queue.soon(recording.id)
            self.is_first = False
        for recording in await self.doors.recordings.due(self.doors.clock.now(), MOST_DUE):
            if recording.place or Role.JOBS in self.roles:
                await self.doors.queue.soon(recording.id, recording.place)
        return self.pace.due

    async def reconcile(self) -> float:
        """Hold LiveKit, the disk and the documents against each other, at the start first."""
        unfinished = await reconcile.sweep(self.doors)
        return self.pace.reconcile if unfinished else self.pace.reconcile_idle

    async def keep_report(self) -> float:
        """Draw up the ledger of the last day that is settled, once."""
        await report.keep_yesterday(self.doors)
        return self.pace.report

    async def seal(self) -> float:
        """Seal what is over, whatever state it ended in, and was changed since it was sealed."""
        return 0.0 if await self.sealing.turn(self.sealers) else self.pace.seal

    async def ask_egress(self) -> float:
        """Ask LiveKit Egress how its jobs are doing: webhooks get lost."""
        if not self.doors.house.policy.uses_egress:
            return self.pace.egresses_idle
        live = await self.listing.hear(self.doors)
        return self.pace.egresses if live else self.pace.egresses_idle

    async def learn_standing_rooms(self) -> float:
        """Ask which rooms are fixed."""
        if self.pace.finds_standing_rooms and not await poll.learn_standing_rooms(self.doors):
            log.warning(
                "standing_rooms_unknown", extra={"remedy": "a key with the sip.admin right"}
            )
        return self.pace.standing


async def finish(doors: Doors) -> None:
    """At the end: let recordings whose calls are over be finished; the next start does the rest."""
    for _ in range(FINISH_LOOKS):
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                unfinished = await doors.recordings.unfinished()
        except (EgressManagerError, TimeoutError):
            return
        waited_for = (State.ENDING, State.CAPTURED)
        if not any(doors.is_here(each) and each.state in waited_for for each in unfinished):
            return
        await asyncio.sleep(FINISH_TIMEOUT / FINISH_LOOKS)


async def work_on(recording_id: str, doors: Doors) -> None:
    """Take a recording as far as it goes now; what fails is tried again later."""
    try:
        async with doors.membership.working_on(recording_id) as is_ours:
            for _ in range(MOST_STEPS if is_ours else 0):
                recording = await doors.recordings.get(recording_id)
                if recording.is_final and waits_for_code(recording):  # signed as it is first
                    return
                if not doors.is_here(recording):
                    await doors.queue.soon(recording_id, recording.place)
                    return
                if not await _step(recording, doors):
                    return
    except EgressManagerError as error:
        log.warning("step_put_off", extra={"recording": recording_id, "why": error.code})
    except Exception:
        log.exception("step_failed", extra={"recording": recording_id})
    finally:
        heed_cancellation()


async def _step(recording: Recording, doors: Doors) -> bool:
    """One step, if the state has one; whether there may be another at once."""
    step = STEPS.get(recording.state)
    if step is None or _rests(recording, doors):
        return False
    try:
        async with asyncio.timeout(STEP_TIMEOUT):
            after = await step(recording, doors)
            if after.state in WITHOUT_FILE:
                await _tidy(after, doors)
    except Exception:
        with suppress(EgressManagerError):
            await record.postpone(recording, RETRY, doors)
        raise
    return after.state is not recording.state


async def _tidy(recording: Recording, doors: Doors) -> None:
    """There never will be files: nothing that was begun of them stays, nor an empty folder."""
    for stem in (recording.track_stem, recording.file_stem):
        if stem:
            await doors.files.tidy(stem)


def _rests(recording: Recording, doors: Doors) -> bool:
    """Whether what is to be done failed, and is not to be tried again yet, whoever asks for it."""
    due_at = recording.due_at if recording.attempts else None
    return due_at is not None and doors.clock.now() < due_at


async def _sweep_forever(name: str, sweep: Sweep) -> None:
    """Turn after turn; what fails is said once until it works again."""
    said = ""
    while True:
        wait, failed = await _turn(name, sweep, said)
        said = failed
        await asyncio.sleep(wait)


async def _turn(name: str, sweep: Sweep, said: str = "") -> tuple[float, str]:
    """One turn: seconds until the next, and the code of what went wrong, said if it is new."""
    try:
        async with asyncio.timeout(SWEEP_TIMEOUTS.get(name, SWEEP_TIMEOUT)):
            return await sweep(), ""
    except EgressManagerError as error:
        if error.code != said:
            log.warning(
                "sweep_failed", extra={"sweep": name, "why": error.code, "detail": str(error)}
            )
        return SWEEP_RETRY, error.code
    except Exception:
        log.exception("sweep_failed", extra={"sweep": name})
        return SWEEP_RETRY, "internal"
    finally:
        heed_cancellation()


def heed_cancellation() -> None:
    """Raise `CancelledError` where this task is being cancelled.

    To be called where errors do not end a loop: PyMongo makes an error of its own of a cancellation
    that comes while it connects or reads, and the loop would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

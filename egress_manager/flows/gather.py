"""A call whose captures lie on several hosts: they are brought to where its files are made.

Each place sends what it has of such a call as soon as nobody writes it any more; the newest
capture's place waits for it a while. What does not come in time is left out, and the recording says
so; when it comes after all, the files are made again.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from egress_manager.domain.captures import place_of
from egress_manager.domain.recordings import Recording, State
from egress_manager.flows.doors import Doors

#: What lies elsewhere is waited for as long as this, from the end of the call. A host that only
#: restarts is back by then.
WAIT: Final = timedelta(seconds=90)
#: And is asked for this often.
ASK_AGAIN: Final = timedelta(seconds=1)


async def bring(recording: Recording, doors: Doors) -> Collection[str]:
    """Fetch the captures that lie elsewhere; those that are not here yet.

    Raises `StoreUnavailable`, `StorageFailed`.
    """
    elsewhere = [name for name in recording.captures if not _is_here(name, doors)]
    return [name for name in elsewhere if not await doors.carrier.bring(name)]


def is_waited_for(recording: Recording, doors: Doors) -> bool:
    """Whether it is too early to go on without captures that lie elsewhere."""
    return recording.since is not None and doors.clock.now() - recording.since < WAIT


def is_outstanding(capture_id: str, recording: Recording) -> bool:
    """Whether the files were made without it, because it did not come in time."""
    return bool(recording.rendered_from) and capture_id not in recording.rendered_from


async def send(capture_id: str, recording: Recording, doors: Doors) -> None:
    """Send a capture of ours where its recording's files are made, if that is not here.

    Raises `StoreUnavailable`, `StorageFailed`.
    """
    is_wanted = recording.state is State.CAPTURED or is_outstanding(capture_id, recording)
    if is_wanted and not doors.is_here(recording) and _is_here(capture_id, doors):
        await doors.carrier.send(capture_id)


def is_all_here(recording: Recording, doors: Doors) -> bool:
    """Whether everything that it was captured in lies here."""
    return all(_is_here(name, doors) for name in recording.captures)


def _is_here(capture_id: str, doors: Doors) -> bool:
    return place_of(capture_id) in ("", doors.place)

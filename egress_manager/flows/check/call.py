"""The proof of it all: a call of our own is recorded, and its file is listened to."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from egress_manager.domain.checks import ROOM_PREFIX, Result, judge_end, judge_sound, skipped
from egress_manager.domain.policy import Engine, decide
from egress_manager.domain.tending import DRAIN
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.flows.check.doors import CheckDoors

#: The service has noticed a call, and records it, within this. Seconds.
NOTICED_WITHIN: Final = 20.0
#: A recorder that is in the room may still be on its way to the sound: by TCP or TURN that takes
#: some seconds, which a caller would hear ringing. Seconds.
LEAD_IN: Final = 5.0
#: A recording is finished so long after the call. Seconds.
FINISHED_WITHIN: Final = 60.0
#: How often to look for what the service does. Seconds.
LOOK_EVERY: Final = 0.2

Facts = Mapping[str, Any]


async def is_recorded(doors: CheckDoors) -> Result:
    """Somebody calls, plays a sound and hangs up; the sound is in the file, where it belongs."""
    room_name = ROOM_PREFIX + secrets.token_hex(6)
    if doors.phone is None:
        return skipped("no test call is wanted (--no-call)")
    decision = decide(doors.policy, room_name)
    if not decision.record:
        return skipped(f"{decision.words}: a room {room_name} would not be recorded")
    began = time.monotonic()
    async with doors.phone.call(room_name) as line:
        await _recording(doors, room_name)
        await asyncio.sleep(LEAD_IN)
        said_sec, server = await line.play(), line.server
    stay_sec = time.monotonic() - began
    recording = await _finished(doors, room_name)
    heard = await asyncio.to_thread(doors.phone.listen, await doors.service.audio(recording["id"]))
    others = [c for c in recording["channels"] if c["side"] == "right" and c["participants"]]
    return judge_sound(
        heard,
        stay_sec=stay_sec,
        said_sec=said_sec,
        goes_on_sec=DRAIN.total_seconds() if decision.engine is Engine.EGRESS else 0.0,
        is_alone=not others,
        path=recording["filepath"],
        server=server,
    )


async def _recording(doors: CheckDoors, room_name: str) -> None:
    """Wait until the recorder hears the call; what is said before that would be lost."""
    seen = await _look(
        doors, "/recordings", room_name, lambda facts: facts["status"] != "starting", NOTICED_WITHIN
    )
    if seen is not None and seen["status"] == "recording":
        return
    if seen is not None:
        why = seen["reason"] or seen["status"]
        raise CheckFailed(Trouble.CALL_NOT_CAPTURED, why=why)
    call = await doors.service.newest("/calls", room_name)
    if call is None:
        raise CheckFailed(Trouble.CALL_NOT_SEEN, seconds=NOTICED_WITHIN)
    if call["recording_id"] is None:
        raise CheckFailed(Trouble.CALL_NOT_RECORDED, why=call["reason"] or "not decided")
    why = f"nothing came within {NOTICED_WITHIN:g} s"
    raise CheckFailed(Trouble.CALL_NOT_CAPTURED, why=why)


async def _finished(doors: CheckDoors, room_name: str) -> Facts:
    """The recording as soon as it is over. Raises `CheckFailed` where it has no file."""
    over = ("completed", "failed", "aborted")
    found = await _look(
        doors, "/recordings", room_name, lambda facts: facts["status"] in over, FINISHED_WITHIN
    )
    if found is not None and found["status"] == "completed":
        return found
    last = found or await doors.service.newest("/recordings", room_name) or {}
    why = last.get("reason") or f"it is {last.get('status', 'gone')}"
    raise judge_end(last.get("id", "?"), why)


async def _look(
    doors: CheckDoors,
    path: str,
    room_name: str,
    is_wanted: Callable[[Facts], bool],
    within: float,
) -> Facts | None:
    """What the service has of that room, once it is as wanted; None where it is not in time."""
    for _ in range(round(within / LOOK_EVERY)):
        facts = await doors.service.newest(path, room_name)
        if facts is not None and is_wanted(facts):
            return facts
        await asyncio.sleep(LOOK_EVERY)
    return None

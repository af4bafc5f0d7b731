"""A storm of webhooks from many rooms, and the manager killed in the middle of it.

    storm = await rage(manager, rooms=200, calls=10)       # 20 000 webhooks
    assert not await wrong(database, storm)

The calls are told of as if they had begun before: nobody is sent to rooms that are not there.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from lab import discretion
from lab.events import signed, somebody_joins_now, webhooks_of_call
from lab.manager import Manager
from lab.postman import Letter, Post, Postman
from lab.servers import API_KEY, API_SECRET

#: How often the manager is killed.
KILLS = 2
#: Ten events are told of a call.
EVENTS = 10
#: Of these every one alone says that there was a call.
_JOINED, _LEFT = 1, 7
_STORM_TIMEOUT = 600.0
_LOOK = 0.25
#: States in which a recording stays.
_FINAL = ("rendered", "failed", "aborted")
_Document = dict[str, Any]
Database = AsyncDatabase[_Document]


@dataclass(frozen=True, slots=True)
class Storm:
    """What was sent, what became of it, and how long it took (seconds)."""

    calls: tuple[str, ...]
    post: Post
    seconds: float

    @property
    def told(self) -> set[str]:
        """The ids of the calls of which the manager took what says that they were."""
        taken = self.post.taken
        return {
            f"SCL_{call}"
            for call in self.calls
            if {f"EV_{call}-{_JOINED}", f"EV_{call}-{_LEFT}"} & taken
        }


async def rage(manager: Manager, *, rooms: int, calls: int, kills: int = KILLS) -> Storm:
    """Send all of it as fast as it is taken; the manager is killed and started again meanwhile."""
    began, run = time.monotonic(), f"{time.time_ns():x}"
    names = [[f"{run}-{room}-{call}" for call in range(calls)] for room in range(rooms)]
    postman = Postman(manager.webhook_url)
    await postman.deliver([[_letter(somebody_joins_now(run))]])
    sending = asyncio.create_task(postman.deliver(_letters(room) for room in names))
    try:
        for kill in range(1, kills + 1):
            enough = rooms * calls * EVENTS * kill // (kills + 1)
            await postman.post.reached(enough, _STORM_TIMEOUT)
            await manager.kill()
            await manager.start()
        async with asyncio.timeout(_STORM_TIMEOUT):
            await sending
    finally:
        sending.cancel()
    every = tuple(name for room in names for name in room)
    return Storm(every, postman.post, time.monotonic() - began)


def _letters(names: list[str]) -> Iterator[Letter]:
    """A room's calls, one after the other; each event is made when its turn comes."""
    room_name = f"standing-{names[0]}"
    discretion.concerns(room_name)
    return (_letter(event) for name in names for event in webhooks_of_call(name, room_name))


def _letter(event: dict[str, Any]) -> Letter:
    body, signature = signed(event, API_KEY, API_SECRET)
    return Letter(event["id"], body, signature)


async def wrong(database: Database, storm: Storm, timeout: float = 120.0) -> list[str]:
    """Wait until all is worked on; what is not as it should be then."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not (found := await _wrong(database, storm)):
            return []
        await asyncio.sleep(_LOOK)
    return found


async def _wrong(database: Database, storm: Storm) -> list[str]:
    inbox, taken = database["inbox"], storm.post.taken
    if waiting := await inbox.count_documents({"done_at": None}):
        return [f"{waiting} webhooks wait"]
    kept = {document["_id"]: document async for document in inbox.find({}, {"outcome": 1})}
    calls = [call async for call in database["calls"].find()]
    recordings = [recording async for recording in database["recordings"].find()]
    return [
        *(f"{event} got its 200 and is not there" for event in taken - kept.keys()),
        *(f"{event} failed" for event in kept if kept[event]["outcome"]["outcome"] == "failed"),
        *_wrong_with_calls(calls, storm),
        *_wrong_with_recordings(recordings, calls),
    ]


def _wrong_with_calls(calls: list[_Document], storm: Storm) -> Iterator[str]:
    ids = [call["sip_call_id"] for call in calls]
    yield from (f"{call} is not there" for call in storm.told.difference(ids))
    if len(ids) != len(set(ids)):
        yield f"{len(ids) - len(set(ids))} calls are there twice"
    for call in calls:
        if call["left_at"] is None:
            yield f"{call['sip_call_id']} goes on"
        if len(call["stays"]) != 1:
            yield f"{call['sip_call_id']} has {call['stays']}, {call['tracks']}"


def _wrong_with_recordings(recordings: list[_Document], calls: list[_Document]) -> Iterator[str]:
    of = [recording["call_id"] for recording in recordings]
    if sorted(of) != sorted(call["_id"] for call in calls if call["recording_id"]):
        yield f"{len(of)} recordings for {len(calls)} calls"
    for recording in recordings:
        names = [entry["name"] for entry in recording["history"]]
        if len(names) != len(set(names)):
            yield f"{recording['_id']} had something happen twice: {names}"
        if recording["state"] not in _FINAL:
            yield f"{recording['_id']} is {recording['state']}"

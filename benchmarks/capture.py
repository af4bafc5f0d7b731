"""CPU and memory of captures alone: `python -m benchmarks.capture [ROOMS] [SECONDS] [--profile]`.

A phone and an agent in every room talk for so many seconds, from a process of their own; this
process does nothing but capture them, so all that it uses is counted. What it uses while it
attends rooms in which nobody is counts as idle and is told beside. Prints one JSON object.
"""

import asyncio
import cProfile
import json
import pstats
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import uvloop
from livekit import api

from egress_manager.domain.captures import ConnectionChanged, Ended, Entry, PageKept
from egress_manager.recorder.attendance import Attendance
from egress_manager.recorder.door import Door
from lab.plans import Line, Part
from lab.servers import LiveKit
from lab.theatre import Stage
from tests.e2e.attending import until

#: How long everybody may take to get into their rooms, and out. Seconds.
PATIENCE = 60.0


@dataclass
class Used:
    """CPU seconds and the wall clock, of a span or since the process began."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> "Used":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime + usage.ru_stime, time.monotonic())

    def since(self, before: "Used") -> "Used":
        return Used(self.cpu - before.cpu, self.wall - before.wall)


def door(server: LiveKit, session: aiohttp.ClientSession, entries: list[Entry]) -> Door:
    """Into the rooms of this server, for callers of kind SIP."""

    def token(room_name: str, identity: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room_name,
            can_publish=False,
            can_publish_data=False,
            hidden=True,
            recorder=True,
        )
        made = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
        return str(made.with_kind("egress").with_grants(grants).to_jwt())

    return Door(
        session,
        server.url,
        token,
        Path(tempfile.mkdtemp(prefix="benchmark-captures-")),
        is_caller=lambda person: person.kind == "SIP",
        hear=lambda capture_id, entry: entries.append(entry),
    )


def parts(rooms: int, seconds: float) -> list[Part]:
    """A phone and an agent for each room, both talking all the time."""
    talk = (Line(sound=f"speech:{seconds}:1"),)
    return [
        part
        for n in range(rooms)
        for part in (
            Part(room=f"room-{n}", number=f"+1555{n:04}", answer="at_once", lines=talk),
            Part(room=f"room-{n}", kind="agent", identity=f"agent-{n}", lines=talk),
        )
    ]


async def measure(rooms: int, seconds: float) -> dict[str, float]:
    """Capture so many calls, and tell what one of their minutes took."""
    entries: list[Entry] = []
    async with LiveKit() as server, aiohttp.ClientSession() as session:
        way_in = door(server, session, entries)
        async with Stage(server, parts(rooms, seconds + 10)) as stage:
            await stage.reached("answered", times=rooms, timeout=PATIENCE)
            attendances = [Attendance(f"room-{n}", way_in) for n in range(rooms)]
            before_joining = psutil.Process().memory_info().rss
            running = [asyncio.create_task(one.run()) for one in attendances]
            await until(lambda: all(one.is_capturing for one in attendances), PATIENCE)
            await asyncio.sleep(2)
            begin, kept_before = Used.now(), packets(entries)
            await asyncio.sleep(seconds)
            used, kept = Used.now().since(begin), packets(entries) - kept_before
            memory = psutil.Process().memory_info().rss - before_joining
            for one in attendances:
                one.stop("measured")
            await asyncio.gather(*running)
    assert sum(isinstance(entry, Ended) for entry in entries) == rooms
    assert not any(isinstance(e, ConnectionChanged) and e.state == "lost" for e in entries)
    minutes = rooms * used.wall / 60
    return {
        "rooms": rooms,
        "seconds": round(used.wall, 1),
        "packets_kept_per_second": round(kept / used.wall, 1),
        "cpu_seconds_per_call_minute": round(used.cpu / minutes, 3),
        "cpu_share": round(used.cpu / used.wall, 3),
        "microseconds_per_packet": round(used.cpu / kept * 1e6, 1),
        "megabytes_per_call": round(memory / rooms / 2**20, 2),
    }


def packets(entries: list[Entry]) -> int:
    """How many packets have been kept."""
    return sum(entry.packets for entry in entries if isinstance(entry, PageKept))


def main() -> None:
    """Measure, with the profile of it where `--profile` is given."""
    arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
    rooms, seconds = [*map(float, arguments), 10, 60][:2] if arguments else (10, 60)
    uvloop.install()
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    if profile is not None:
        profile.enable()
    result = asyncio.run(measure(int(rooms), seconds))
    if profile is not None:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

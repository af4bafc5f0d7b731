"""How soon a capture is ready, and what speech it loses: `python benchmarks/joining.py [CALLS]`.

The hardest case: an agent waits in the room, so that the phone is answered the moment it is there,
and the caller speaks at once. The recorder is told when the phone has joined. Prints one JSON
object; times are milliseconds: the median and the worst.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "e2e"))

import uvloop
from attending import Studio, studio

from lab.phones import Agent, Happening, Phone
from lab.servers import LiveKit
from lab.sounds import RATE, chirp, locate

WORDS = chirp(3.0)


async def call(server: LiveKit, recorder: Studio, room: str) -> tuple[float, float]:
    """One call: milliseconds from the phone's joining to our media, and of speech lost."""
    joined_at = 0.0

    def attend(happening: Happening) -> None:
        nonlocal joined_at
        if happening.what == "joined":
            joined_at = time.time()
            recorder.attend(room)

    async with (
        Agent(server, room, identity="agent"),
        Phone(server, room, number="+15550100", says=WORDS, on_happening=attend) as phone,
    ):
        await phone.said()
        sid = phone.track_sid
    kept = (await recorder.over())[-1]
    media = next(c for c in kept.story.connections if c.state == "media")
    begin = locate(kept.sounds(sid)[0], WORDS[RATE : 2 * RATE]).at
    recorder.running.clear()
    return (media.at - joined_at) * 1000, (1.0 - begin) * 1000


async def measure(calls: int) -> dict[str, object]:
    """So many calls, one after another."""
    with tempfile.TemporaryDirectory() as directory:
        async with LiveKit() as server, studio(server, Path(directory)) as recorder:
            figures = [await call(server, recorder, f"room-{n}") for n in range(calls)]
    ready, lost = zip(*figures, strict=True)
    return {
        "calls": calls,
        "ready_ms": [round(statistics.median(ready)), round(max(ready))],
        "lost_ms": [max(0, round(statistics.median(lost))), max(0, round(max(lost)))],
    }


def main() -> None:
    """Measure and print."""
    uvloop.install()
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10))))


if __name__ == "__main__":
    main()

"""`make demo`: a phone call on a real livekit-server, recorded, and what came of it.

DEMO_CALLS=5 places five at once.
"""

import asyncio
import os
import sys
from pathlib import Path

from rich.console import Console

from egress_manager.audio.waveform import text_waveform
from lab.manager import KEY, Facts, Manager
from lab.plans import Line, Part
from lab.ports import free_port
from lab.processes import ServerFailed
from lab.programs import ProgramMissing
from lab.servers import LiveKit
from lab.sounds import RATE, load_sentence
from lab.theatre import Stage

CALL_TIMEOUT = 60.0
WIDTH = 72

#: Who says what, in turn.
DIALOGUE = ("agent-1", "caller-1", "agent-2", "caller-2", "agent-3", "caller-3")
#: Seconds that it rings, between two sentences, and from the last one to hanging up.
RINGS, BREATH, BYE = 1.5, 0.35, 0.8

console = Console(highlight=False)


async def demo(calls: int, recordings: Path) -> None:
    """Record so many calls at once, show them, and stay for whoever wants to look around."""
    say(f"Starting livekit-server and the manager; recordings go to {recordings}")
    port = free_port()
    livekit = LiveKit(webhook_urls=[f"http://127.0.0.1:{port}/webhook"])
    manager = Manager(livekit_url=livekit.http_url, recordings=recordings, port=port)
    async with livekit, manager:
        say(f"The service runs at [bold]{manager.url}[/] (API: {manager.url}/docs, key: {KEY})")
        rooms = [f"call-demo-{number}" for number in range(1, calls + 1)]
        parts = [part for number, room in enumerate(rooms, 1) for part in dialogue(room, number)]
        say(f"Placing {calls} call{'s' if calls > 1 else ''}: a caller and an agent talk …")
        async with Stage(livekit, parts) as stage:
            await stage.over(CALL_TIMEOUT)
        say("Hung up; waiting for the finished files …")
        for room in rooms:
            facts = await manager.recording("completed", room_name=room, timeout=CALL_TIMEOUT)
            (call,) = await manager.calls(room_name=room, limit="1")
            show(call, facts)
        if sys.stdin.isatty():
            say(f"Look around at {manager.url}/docs; Ctrl-C ends everything.")
            await asyncio.Event().wait()


def dialogue(room: str, number: int) -> tuple[Part, Part]:
    """A caller and an agent who take turns in a room."""
    lines: dict[str, list[Line]] = {"agent": [], "caller": []}
    at = RINGS
    for sentence in DIALOGUE:
        who = sentence.split("-")[0]
        lines[who].append(Line(sound=f"sentence:{sentence}", at=at))
        at += len(load_sentence(sentence)) / RATE + BREATH
    end = at + BYE
    caller = Part(
        room=room, number=f"+1555010{number:04}", lines=tuple(lines["caller"]), leaves_at=end
    )
    agent = Part(
        room=room,
        kind="agent",
        identity=f"agent-{number}",
        joins_at=RINGS / 2,
        lines=tuple(lines["agent"]),
        leaves_at=end + BYE,
    )
    return caller, agent


def show(call: Facts, recording: Facts) -> None:
    """A call, its recording, and what both sides sound like."""
    rows = {
        "call": f"{call['caller_number']} → {call['called_number']} in {call['room_name']}",
        "talked to": recording["agent_identity"],
        "recording": recording["id"],
        "status": recording["status"],
        "seconds": f"{recording['duration_sec']:.2f}",
        "file": recording["filepath"],
        **{f"track of {t['participant_identity']}": t["filepath"] for t in recording["tracks"]},
    }
    console.print()
    for name, value in rows.items():
        say(f"[dim]{name:>24}[/]  {value}")
    console.print()
    say(text_waveform(Path(recording["filepath"]), width=WIDTH))


def main() -> int:
    """The demo's way in; returns the exit code."""
    calls = max(1, int(os.environ.get("DEMO_CALLS", "1")))
    try:
        asyncio.run(demo(calls, Path.cwd() / "recordings"))
    except KeyboardInterrupt:
        say("Ended.")
    except (ProgramMissing, ServerFailed) as error:
        console.print(f"[red]The demo could not go on:[/] {error}", soft_wrap=True)
        return 1
    return 0


def say(words: str) -> None:
    """One line of progress."""
    console.print(words, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

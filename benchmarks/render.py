"""What rendering a call costs: CPU for the mix and the tracks, and the wait after the hang-up.

    python -m benchmarks.render [MINUTES] [mp4|ogg]

A made-up call of two voices (something like speech, 32 kbit/s Opus, 1 % loss, drifting clocks) is
followed as a recorder would write it, then finished; and rendered once more from scratch.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from egress_manager.audio.render import Render
from egress_manager.audio.source import CaptureFiles
from egress_manager.audio.tracks import TrackRender, tracks_of
from egress_manager.domain.recordings import RenderPlan
from egress_manager.domain.sides import sides
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT, Line


def main() -> None:
    """Make the call, render it in both ways, print what it took."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    mix_format = sys.argv[2] if len(sys.argv) > 2 else "mp4"
    length = minutes * 60
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        plan = RenderPlan(
            recording_id="rec_1",
            captures=("captures/cap_1",),
            caller_sids=("PA_caller",),
            begins_at=BEGINS_AT,
            ends_at=BEGINS_AT + length,
            mix_filepath=f"mix.{mix_format}",
            track_filepath="{track_id}.ogg",
            mix_format=mix_format,
        )
        followed(directory, plan, script(length), length)
        from_scratch(directory, plan, minutes)
        tracks_alone(directory, plan)


def script(length: float) -> made_up.Script:
    """Two who talk over each other now and then."""
    minute = min(60.0, length)
    lines = [
        Line(
            name,
            np.tile(made_up.babble(minute, seed, pitch), round(length / minute)),
            jitter=0.03,
            loss=0.01,
            drift_ppm=ppm,
        )
        for name, seed, pitch, ppm in (("caller", 1, 120, 60), ("agent", 2, 210, -30))
    ]
    return made_up.capture(lines, ends_at=length)


def followed(directory: Path, plan: RenderPlan, written: made_up.Script, length: float) -> None:
    """Follow it in steps of 1.5 s, then finish it."""
    render = Render(directory, plan)
    before, spent, at = time.process_time(), 0.0, 0.0
    while at < length:
        written.write(directory / "captures/cap_1", after=at - 1.5 if at else -1e9, until=at)
        before = time.process_time()
        for _ in render.follow():
            pass
        spent += time.process_time() - before
        at += 1.5
    written.write(directory / "captures/cap_1", after=at - 1.5)
    hung_up, before = time.perf_counter(), time.process_time()
    result(render)
    print(f"following            {spent / length * 60:6.3f} CPU-s a call-minute")
    print(f"finishing, followed  {time.process_time() - before:6.3f} CPU-s", end=" ")
    print(f"{time.perf_counter() - hung_up:6.3f} s after the hang-up")


def from_scratch(directory: Path, plan: RenderPlan, minutes: float) -> None:
    """Render it again from what lies there."""
    before = time.process_time()
    result(Render(directory, plan))
    spent = time.process_time() - before
    print(f"from scratch         {spent:6.3f} CPU-s = {spent / minutes:.3f} a call-minute")


def tracks_alone(directory: Path, plan: RenderPlan) -> None:
    """Make only the tracks' own files."""
    before = time.process_time()
    capture = CaptureFiles(directory / plan.captures[0])
    while capture.read():
        pass
    seats = sides([capture.story], plan)
    for track in tracks_of([capture.story], plan, seats):
        for _ in TrackRender(track, [capture], plan, directory).render(seats):
            pass
    print(f"both tracks' files   {time.process_time() - before:6.3f} CPU-s of that")


def result(render: Render) -> None:
    """Work until it is finished."""
    for _ in render.finish():
        pass


if __name__ == "__main__":
    main()

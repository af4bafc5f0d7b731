"""What the verification finds, what it takes for a fault that is none; and what it costs."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.premises import say
from benchmarks.render import script
from egress_manager.audio.listen import listen
from egress_manager.domain.evidence import Claim
from egress_manager.domain.proof import judge
from tests.unit.proof import calls
from tests.unit.proof.calls import SCENES, Made, Scene
from tests.unit.proof.defects import DEFECTS, Clean

METHOD = (
    "Calls of every kind that the tests make up (speech in turn and at once, noise, music on hold, "
    "DTMF, silences, loss, jitter, clocks that drift, timestamps that leap, stop or run away, "
    "words that come ahead of time, connections that overlap, stereo in every phase), each with "
    "other words, made by the renderer and verified: any fault is a false alarm. Then every defect "
    "of the tests in every degree, in mp4 and ogg: it is found where its name, and no other fault, "
    "is told."
)
COST_METHOD = (
    "CPU seconds of listening to a made-up call of three minutes (mix and both tracks), in a "
    "process that does nothing else, the least of five; beside it what decoding the same files to "
    "nothing takes in a process of its own: by FFmpeg's libraries and their own decoders from "
    "Python, for the program ffmpeg need not be there; start-up left out."
)

#: Calls of each kind; some 400 in all.
SEEDS, QUICK_SEEDS = 8, 1
MINUTES, QUICK_MINUTES = 3.0, 1.0
FORMATS: Final = ("mp4", "ogg")
#: Of the clean calls, so many in a hundred may be taken for something else.
FALSE_ALARMS: Final = 0.0
#: The time that decoding takes, so many times.
TIMES_DECODING: Final = 1.5
#: Two at once: what is measured by the clock is measured alone, afterwards.
WORKERS: Final = 2

#: Decodes files to nothing, and says what CPU that took.
DECODER: Final = """
import sys, time, av
began = time.process_time()
for path in sys.argv[1:]:
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            pass
print(time.process_time() - began)
"""


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Alarms and finds."""
    yield await asyncio.to_thread(_alarms, QUICK_SEEDS if quick else SEEDS)
    yield await asyncio.to_thread(_finds, FORMATS[:1] if quick else FORMATS)


async def cost(*, quick: bool) -> AsyncIterator[Figure]:
    """What listening costs."""
    for figure in await asyncio.to_thread(_costs, QUICK_MINUTES if quick else MINUTES):
        yield figure


def _alarms(seeds: int) -> Figure:
    """Faults that are found in calls that have none."""
    wanted = [(name, 1000 + seed) for seed in range(seeds) for name in SCENES]
    told = _worked(_alarm, wanted)
    alarmed = [f"{name}: {', '.join(found)}" for (name, _), found in told if found]
    return Figure(
        name="clean calls taken for faulty ones",
        value=round(100 * len(alarmed) / len(wanted), 2),
        unit="%",
        at_most=FALSE_ALARMS,
        beside={"calls": len(wanted), "kinds": len(SCENES), "alarms": alarmed or "none"},
    )


def _alarm(wanted: tuple[str, int]) -> list[str]:
    name, seed = wanted
    with tempfile.TemporaryDirectory() as directory:
        scene = calls.scene(name, seed, mix_format=FORMATS[seed % 2])
        made = calls.make(scene, Path(directory))
        return [finding.name for finding in judge(listen(made.claim)).faults]


def _finds(formats: Iterable[str]) -> Figure:
    """Defects that are found by their names."""
    wanted = [
        (number, mix_format)
        for mix_format in formats
        for number, defect in enumerate(DEFECTS)
        if defect.only in ("", mix_format)
    ]
    with tempfile.TemporaryDirectory() as home:
        told = list(_worked(partial(_found, home), wanted))
    missed = [
        f"{DEFECTS[number]} ({mix_format}): {', '.join(found) or 'nothing'}"
        for (number, mix_format), found in told
        if found != [DEFECTS[number].name]
    ]
    kinds = Counter(DEFECTS[number].name for number, _ in wanted)
    return Figure(
        name="defects found by their names",
        value=round(100 * (1 - len(missed) / len(wanted)), 2),
        unit="%",
        at_least=100.0,
        beside={"defects": len(wanted), "kinds": len(kinds), "others": missed or "none"},
    )


def _found(home: str, wanted: tuple[int, str]) -> list[str]:
    number, mix_format = wanted
    defect = DEFECTS[number]
    first = _made(home, 11, 300.0 if defect.needs_long else 26.0, mix_format)
    second = _made(home, 12, 26.0, mix_format)
    with tempfile.TemporaryDirectory() as name:
        claim = defect.spoil(Clean(first, second, Path(name)))
        return sorted({finding.name for finding in judge(listen(claim)).faults})


@cache
def _made(home: str, seed: int, seconds: float, mix_format: str) -> Made:
    """A call that defects are made of: each process makes it once."""
    scene = calls.scene("lively", seed, seconds, mix_format=mix_format)
    return calls.make(scene, Path(tempfile.mkdtemp(dir=home)))


def _worked(work: Callable[[Any], list[str]], wanted: list[Any]) -> Iterator[tuple[Any, list[str]]]:
    """What comes of each, in order."""
    with ProcessPoolExecutor(WORKERS) as pool:
        for number, (one, found) in enumerate(zip(wanted, pool.map(work, wanted), strict=True)):
            if number % 20 == 0:
                say(f"{number} of {len(wanted)}")
            yield one, found


def _costs(minutes: float) -> Iterator[Figure]:
    """What verifying a call costs, beside what decoding its files does."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        claim = _long_call(directory, minutes)
        files = [claim.path, *(track.path or "" for track in claim.tracks)]
        alone = replace(claim, tracks=())
        heard, heard_alone = (_least(partial(_listening, each)) for each in (claim, alone))
        decoded, decoded_alone = (_least(partial(_decoding, each)) for each in (files, files[:1]))
    beside = {"minutes": minutes}
    yield Figure(
        name="verification, times decoding the same files",
        value=round(heard / decoded, 2),
        unit="times",
        at_most=TIMES_DECODING,
        beside={"listening, CPU s": round(heard, 3), "decoding, CPU s": round(decoded, 3)} | beside,
    )
    yield Figure(
        name="verification of the mix alone, times decoding it",
        value=round(heard_alone / decoded_alone, 2),
        unit="times",
        at_most=TIMES_DECODING,
        beside={
            "listening, CPU s": round(heard_alone, 3),
            "decoding, CPU s": round(decoded_alone, 3),
        }
        | beside,
    )
    yield Figure(
        name="CPU seconds of verification a call-minute",
        value=round(heard / minutes, 4),
        unit="s",
        beside=beside,
    )


def _long_call(directory: Path, minutes: float) -> Claim:
    """A call of a caller and an agent, made by the renderer."""
    written = script(minutes * 60)
    scene = Scene("long", (), minutes * 60)
    return calls.make(scene, directory, written=written).claim


def _least(cost: Callable[[], float]) -> float:
    """The least of five: what else runs on the machine only adds."""
    return min(cost() for _ in range(5))


def _listening(claim: Claim) -> float:
    began = time.process_time()
    listen(claim)
    return time.process_time() - began


def _decoding(files: list[str]) -> float:
    """CPU seconds of decoding files to nothing."""
    line = [sys.executable, "-c", DECODER, *files]
    return float(subprocess.run(line, capture_output=True, text=True, check=True).stdout)

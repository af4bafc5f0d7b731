"""Looks at everything that is left after a run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import av
import httpx2
import numpy as np
import psutil
from livekit import api

from chaos.aftermath import Aftermath, Heard, Kept, Struck
from chaos.calls import AGENTS, FINAL, WORDS, Told
from chaos.house import House
from egress_manager.domain.captures import FOLDER, SETTLED, TICKS
from egress_manager.recorder.journal import read_story
from lab.manager import Facts
from lab.sounds import PCM, RATE, follow, locate
from tests.e2e.listening import listen

#: All is quiet at the latest after this; what is not then never will be. Seconds.
QUIET_WITHIN: Final = 100.0
_LOOK: Final = 0.25
#: A file that is open that often is held.
_HELD_LOOKS: Final = 20
#: A recorder that expects somebody goes after less than this. Seconds.
_LOOKS_IN: Final = 20.0
#: So often in a row all has to be quiet.
_LOOKS: Final = 2
#: Every call of a run began within this, whatever the clock of ours said.
_NEARBY: Final = timedelta(days=1)
#: All words are below 4 kHz: so much is enough, and takes a sixth of the time.
_THIN: Final = 6
_RATE: Final = RATE // _THIN
#: A word, or a piece of one, that is that alike is there; 0 to 1.
_WHOLE: Final = 0.8
#: A phone on a busy machine may lag so much within a word. Seconds.
_STUTTER: Final = 0.25
#: What processes have for themselves below the recordings directory.
_OWN: Final = (".processes", ".place", ".database", ".signing")
#: What is accounted for elsewhere.
_OURS: Final = (*_OWN, FOLDER, ".sidecars")


async def until_quiet(house: House) -> list[str]:
    """Wait until nothing is being done any more; what still is when time is up."""
    deadline = asyncio.get_running_loop().time() + QUIET_WITHIN
    quiet, restless = 0, ["nothing was asked"]
    while quiet < _LOOKS:
        restless = [words async for words in _restless(house)]
        quiet = 0 if restless else quiet + 1
        if asyncio.get_running_loop().time() > deadline:
            return restless
        await asyncio.sleep(_LOOK)
    return []


async def _restless(house: House) -> AsyncIterator[str]:
    """What is still going on."""
    try:
        if not house.post.is_idle:
            yield "webhooks are on their way"
        for words in _unfinished(await ledger(house), await recordings(house)):
            yield words
        for capture in captures(house):
            if not capture.is_settled:
                yield f"{capture.capture_id} is not settled"
        for who in await present(house):
            yield f"{who} is in its room"
        for handle in handles(house):
            yield f"{handle} is open"
    except (httpx2.HTTPError, OSError, api.TwirpError, TimeoutError) as error:
        yield f"{type(error).__name__}: {error}"


def _unfinished(lines: Sequence[Facts], recordings: Sequence[Facts]) -> Iterator[str]:
    for line in lines:
        if line["fate"] == "under_way":
            yield f"the call of {line['identity']} is under way"
    for recording in recordings:
        if recording["state"] not in FINAL:
            yield f"{recording['id']} is {recording['state']}"
        elif recording["seal"] is None:
            yield f"{recording['id']} is not sealed"


async def look(house: House, calls: Sequence[Told], struck: Sequence[Struck]) -> Aftermath:
    """Everything but what is left after the end."""
    found = await recordings(house)
    return Aftermath(
        calls=calls,
        witnessed=frozenset(_witnessed(house)),
        struck=tuple(struck),
        lines=await ledger(house),
        recordings=found,
        captures=tuple(captures(house)),
        heard=await asyncio.to_thread(lambda: [h for each in found for h in _heard(each)]),
        present=await _staying(house),
        handles=await _held(house),
        files=sorted(strays(house, found)),
    )


async def ledger(house: House) -> list[Facts]:
    """The lines of all calls."""
    now = datetime.now(UTC)
    period = {"since": (now - _NEARBY).isoformat(), "until": (now + _NEARBY).isoformat()}
    answer = await house.manager.ask("/reports/capture", **period)
    return list(answer.raise_for_status().json()["lines"])


async def recordings(house: House) -> list[Facts]:
    """All of them."""
    return await house.manager.recordings_of(limit="200")


def captures(house: House) -> Iterator[Kept]:
    """Every capture on the disk."""
    for directory in sorted((house.manager.recordings / FOLDER).glob("*")):
        story = read_story(directory)
        ticks = [p.until - p.granule for s in story.stretches.values() for p in s.pages]
        yield Kept(directory.name, sum(ticks) / TICKS, (directory / SETTLED).exists())


async def present(house: House) -> list[str]:
    """Everybody who is in any room."""
    livekit = house.livekit
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as client:
        rooms = (await client.room.list_rooms(api.ListRoomsRequest())).rooms
        people = [
            (room.name, person.identity)
            for room in rooms
            for person in (
                await client.room.list_participants(api.ListParticipantsRequest(room=room.name))
            ).participants
        ]
    return [f"{identity} of {room}" for room, identity in people]


async def _staying(house: House) -> list[str]:
    """Everybody who does not leave: a recorder may look into a room, and go when nobody comes."""
    deadline = asyncio.get_running_loop().time() + _LOOKS_IN
    while (who := await present(house)) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK)
    return who


async def _held(house: House) -> list[str]:
    """The files that stay open: one that is just being written is none of them."""
    held = set(handles(house))
    for _ in range(_HELD_LOOKS):
        if held:
            await asyncio.sleep(_LOOK)
            held &= set(handles(house))
    return sorted(held)


def handles(house: House) -> Iterator[str]:
    """Files of recordings that a process of ours holds open."""
    root = house.manager.recordings
    for process in family(house):
        for target in _open_files(process.pid):
            if target.is_relative_to(root) and _is_of_calls(target.relative_to(root)):
                yield f"{target.relative_to(root)} ({' '.join(process.cmdline()[-2:])})"


def _open_files(pid: int) -> Iterator[Path]:
    """As far as the process is there, and they are open for long enough to be looked at."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield link.readlink()


def _is_of_calls(file: Path) -> bool:
    """Whether it is not one that a process has for itself."""
    return file.parts[:1] not in {(), *((name,) for name in _OWN)}


def family(house: House) -> list[psutil.Process]:
    """The processes of ours and all below them."""
    found: list[psutil.Process] = []
    for name in house.ours:
        if house.servers[name].is_running:
            head = psutil.Process(house.servers[name].pid)
            found += [head, *head.children(recursive=True)]
    return found


def strays(house: House, found: Sequence[Facts]) -> Iterator[str]:
    """Files that no recording accounts for, and temporary ones."""
    root = house.manager.recordings
    known = {path for each in found for path in _files_of(each)}
    # LiveKit Egress names its files itself, by what it was asked for: the recording's id is in it.
    made = [each["id"] for each in found if each["egresses"]]
    for file in root.rglob("*"):
        inside = file.relative_to(root)
        is_known = str(file) in known or any(name in str(inside) for name in made)
        if file.is_file() and inside.parts[0] not in _OURS and not is_known:
            yield str(inside)
    yield from (str(file) for file in house.temporary.rglob("*") if file.is_file())


def _files_of(recording: Facts) -> Iterator[str]:
    paths = [recording["filepath"], recording["repaired_from"]]
    paths += (track["filepath"] for track in recording["tracks"])
    paths += [job["filepath"] for job in recording["egresses"]]
    for path in filter(None, paths):
        yield path
        yield f"{path}.json"


def _witnessed(house: House) -> Iterator[str]:
    """Callers of whom livekit-server told, whatever became of the telling."""
    for event in house.post.events:
        person = event.get("participant", {})
        if event["event"] == "participant_joined" and person.get("kind") == "SIP":
            yield person["identity"]


def _heard(recording: Facts) -> Iterator[Heard]:
    """Every word, on the side where it belongs."""
    path = recording["filepath"]
    if not path or not Path(path).is_file():
        return
    try:
        mix = listen(path)
    except (av.FFmpegError, IndexError):  # no file of sound: nothing is heard in it
        return
    for name, said in WORDS.items():
        side = (mix.right if name in AGENTS else mix.left)[::_THIN]
        word = said[::_THIN]
        begin = max(0, round(locate(side, word, _RATE).at * _RATE))
        rest = np.array(side)
        rest[begin : begin + len(word)] = 0
        yield Heard(recording["id"], name, _alike(side, word), locate(rest, word, _RATE).score)


def _alike(side: PCM, word: PCM) -> float:
    """How much of a word is there: in one piece, or in pieces where its phone stuttered."""
    whole = locate(side, word, _RATE).score
    if whole > _WHOLE or len(side) < len(word):
        return whole
    pieces = follow(side, word, _RATE, slack=_STUTTER)
    return max(whole, sum(piece.score > _WHOLE for piece in pieces) / len(pieces))

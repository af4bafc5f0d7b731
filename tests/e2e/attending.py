"""Attendances on a real livekit-server, and what they kept: for the tests of captures."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from livekit import api

from egress_manager.adapters.builtin_recorder import BuiltinRecorder
from egress_manager.adapters.livekit_tokens import capture_token
from egress_manager.audio import ogg, opus
from egress_manager.domain.captures import Entry, PageKept, Story, Stretch, StretchBegan
from egress_manager.errors import CaptureFailed
from egress_manager.recorder.attendance import Attendance
from egress_manager.recorder.door import Door
from egress_manager.recorder.journal import read_story
from egress_manager.recorder.signalling import signal
from lab.participants import Participant
from lab.phones import Answer, SipParticipant
from lab.servers import LiveKit
from lab.sounds import PCM, RATE, follow, locate
from lab.tokens import Rooms, token

#: How long a condition may take to come true. Long, because the machine may be busy.
PATIENCE = 30.0

#: A caller without media who was shown out, or finds nobody, tries again after this. Seconds.
COMES_BACK = 0.2

#: What is said last is on its way for a moment, and waits in a page for half a second. Seconds.
LAST_WORD = 0.6


@dataclass
class Studio:
    """A door into a server's rooms, the attendances that were begun, and all they said."""

    door: Door
    entries: list[tuple[str, Entry]] = field(default_factory=list)
    running: list[tuple[Attendance, asyncio.Task[None]]] = field(default_factory=list)

    @property
    def captures(self) -> list[Path]:
        """The captures' directories, in the order in which they began."""
        if not self.door.captures_dir.is_dir():
            return []
        return sorted(path for path in self.door.captures_dir.iterdir())

    @property
    def stories(self) -> list["Kept"]:
        return [Kept(directory, read_story(directory)) for directory in self.captures]

    def attend(self, room_name: str, *, is_standing: bool = False) -> Attendance:
        """Begin to attend; it is ended with the studio at the latest."""
        attendance = Attendance(room_name, self.door, is_standing=is_standing)
        self.running.append((attendance, asyncio.create_task(attendance.run())))
        return attendance

    async def over(self) -> list["Kept"]:
        """Wait until all attendances are over by themselves; what they kept."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(task for _, task in self.running))
        return self.stories

    async def stopped(self) -> list["Kept"]:
        """Stop all attendances; what they kept."""
        for attendance, _ in self.running:
            attendance.stop("test_over")
        return await self.over()

    def told(self, kind: type[Entry], **fields: Any) -> list[Any]:
        """All entries of a kind with such fields, of all captures."""
        return [
            entry
            for _, entry in self.entries
            if isinstance(entry, kind)
            and all(getattr(entry, name) == value for name, value in fields.items())
        ]

    async def until_told(self, kind: type[Entry], times: int = 1, **fields: Any) -> Any:
        """Wait for so many entries of a kind with such fields; the last of them."""
        await until(lambda: len(self.told(kind, **fields)) >= times)
        return self.told(kind, **fields)[times - 1]

    async def until_offered(self, track_sid: str) -> None:
        """Wait until the server has offered us a track: what it brings from now on is kept.

        LiveKit makes an offer 10 ms after a track came, but 150 ms after where it made one just
        before; so whoever speaks the moment they come may not be heard at once.
        """

        def offered() -> bool:
            connections = (c for a, _ in self.running for c in a._connections)
            return any(s.track_sid == track_sid for c in connections for s in c.streams)

        await until(offered)

    async def until_kept(self, track_sid: str, seconds: float = 0.0) -> None:
        """Wait until pages that were written from now on hold so much of a track."""
        seen = len(self.entries)

        def kept() -> float:
            numbers = {
                entry.stretch
                for _, entry in self.entries
                if getattr(entry, "track_sid", "") == track_sid and hasattr(entry, "stretch")
            }
            return sum(
                entry.packets * 0.02
                for _, entry in self.entries[seen:]
                if isinstance(entry, PageKept) and entry.stretch in numbers
            )

        await until(lambda: kept() > seconds)


@dataclass(frozen=True)
class Kept:
    """What a capture left on disk."""

    directory: Path
    story: Story

    def stretches(self, who: Participant) -> list[Stretch]:
        """The stretches of the track that somebody publishes."""
        return list(self.story.stretches_of(who.track_sid))

    def sounds(self, track_sid: str) -> list[PCM]:
        """The decoded stretches of a track; what is missing inside is silence."""
        return [
            decoded(self.directory / stretch.began.file)
            for stretch in self.story.stretches_of(track_sid)
        ]

    def sound(self, track_sid: str) -> PCM:
        """The stretches of a track, one after another where their packets came."""
        stretches = list(self.story.stretches_of(track_sid))
        if not stretches:
            return np.zeros(0, np.int16)
        begin = stretches[0].began.at
        pieces = [
            (round((s.began.at - begin) * RATE), decoded(self.directory / s.began.file))
            for s in stretches
        ]
        whole = np.zeros(max(at + len(pcm) for at, pcm in pieces), np.int16)
        for at, pcm in pieces:
            whole[at : at + len(pcm)] = pcm
        return whole

    def count(self, name: str) -> int:
        """The sum of a count (`packets`, `lost`, `recovered`, …) over all pages."""
        pages = (page for stretch in self.story.stretches.values() for page in stretch.pages)
        return sum(getattr(page, name) for page in pages)


def decoded(path: Path) -> PCM:
    """An Ogg Opus file as its granules place it: nothing where nothing was kept."""
    pages = [page for page in ogg.read_pages(path.read_bytes()) if not page.is_head]
    if not pages:
        return np.zeros(0, np.int16)
    decoder = av.CodecContext.create("libopus", "r")
    whole = np.zeros(pages[-1].granule, np.int16)
    for page in pages:
        at = page.granule - sum(map(opus.duration, page.packets))
        for packet in page.packets:
            for frame in decoder.decode(av.Packet(packet)):
                pcm = _mono(frame)
                whole[at : at + len(pcm)] = pcm[: len(whole) - at]
            at += opus.duration(packet)
    return whole


def _mono(frame: Any) -> PCM:
    pcm = frame.to_ndarray()
    if frame.format.is_planar:
        return (pcm[0] * (32767 if pcm.dtype.kind == "f" else 1)).astype(np.int16)
    first = pcm.reshape(-1, frame.layout.nb_channels)[:, 0]
    return (first * (32767 if pcm.dtype.kind == "f" else 1)).astype(np.int16)


def share_heard(pcm: PCM, sound: PCM) -> float:
    """How much of a sound is in a recording, from 0 to 1."""
    if len(pcm) < RATE // 5:
        return 0.0
    pieces = follow(pcm, sound)
    return sum(piece.score > 0.8 for piece in pieces) / len(pieces)


def share_in_any(stretches: list[PCM], sound: PCM, piece: float = 0.1) -> float:
    """How much of a sound is in one or another of a track's stretches, wherever they belong."""
    size = round(piece * RATE)
    pieces = [sound[at : at + size] for at in range(0, len(sound) - size + 1, size)]
    heard = [any(locate(pcm, part).score > 0.8 for pcm in stretches) for part in pieces]
    return sum(heard) / len(heard)


async def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout:g} s")
        await asyncio.sleep(0.02)


def left_running() -> list[str]:
    """The tasks of attendances and of the libraries below them that are still there."""
    ours = ("/egress_manager/", "/aiortc/", "/aioice/")
    tasks = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [task for task in tasks if any(name in task for name in ours)]


@asynccontextmanager
async def studio(
    rooms: Rooms, directory: Path, *, rotate_after: float = 3600.0
) -> AsyncIterator[Studio]:
    """A studio for the rooms of a server, or of a wire to one.

    At its end nothing of an attendance may be running any more.
    """

    def token(room_name: str, identity: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room_name,
            can_subscribe=True,
            can_publish=False,
            can_publish_data=False,
            hidden=True,
            recorder=True,
        )
        made = api.AccessToken(rooms.api_key, rooms.api_secret).with_identity(identity)
        return str(made.with_kind("egress").with_grants(grants).to_jwt())

    async with aiohttp.ClientSession() as session:
        heard: list[tuple[str, Entry]] = []
        door = Door(
            session,
            rooms.url,
            token,
            directory / "captures",
            is_caller=lambda person: person.kind == "SIP",
            hear=lambda capture_id, entry: heard.append((capture_id, entry)),
            rotate_after=rotate_after,
        )
        made = Studio(door, heard)
        try:
            yield made
        finally:
            await made.stopped()
            await _nothing_runs()


async def _nothing_runs() -> None:
    """Wait until every task of ours has ended. Raises `AssertionError` with those that don't."""
    try:
        await until(lambda: not left_running())
    except TimeoutError as error:
        raise AssertionError(f"left running: {left_running()}") from error


@asynccontextmanager
async def attended(
    server: LiveKit, room_name: str, directory: Path, *, through: Rooms | None = None
) -> AsyncIterator[tuple[Studio, SipParticipant]]:
    """A studio, and an answered phone of whose call something is kept already.

    `through` is a wire between the recorder and the server.
    """
    async with (
        studio(through or server, directory) as recorder,
        SipParticipant(server, room_name, number="+15550101", answer=Answer.AT_ONCE) as phone,
    ):
        recorder.attend(room_name)
        await recorder.until_told(StretchBegan, track_sid=phone.track_sid)
        yield recorder, phone


def lab_api(server: LiveKit) -> api.LiveKitAPI:
    """The server's API, as an operator uses it."""
    return api.LiveKitAPI(server.http_url, server.api_key, server.api_secret)


@asynccontextmanager
async def bare_caller(
    livekit: LiveKit, session: aiohttp.ClientSession, room_name: str, number: int
) -> AsyncIterator[None]:
    """Somebody in a room of their own, as far as signalling goes; there as the block begins.

    They come back whenever they are out: who brings no media is shown out in a minute.
    """
    there = asyncio.Event()

    async def stay() -> None:
        pass_ = token(livekit, room_name, f"sip_+1555{number:07}", kind="sip")
        while True:
            with contextlib.suppress(CaptureFailed):
                async with signal(session, livekit.url, pass_) as signalling:
                    there.set()
                    async for _ in signalling.messages():
                        pass
            await asyncio.sleep(COMES_BACK)

    staying = asyncio.create_task(stay())
    try:
        await there.wait()
        yield
    finally:
        staying.cancel()
        await asyncio.wait([staying])


def recorder_alone(livekit: LiveKit, directory: Path) -> BuiltinRecorder:
    """A recorder that nobody listens to; whoever made it closes it."""
    key, secret = livekit.api_key, livekit.api_secret
    make_token = partial(capture_token, key, secret, ttl_seconds=600)
    return BuiltinRecorder(livekit.url, make_token, directory, sync_interval=2.0)


def is_in(recorder: BuiltinRecorder, room_name: str) -> bool:
    """Whether the server tells the recorder now who is in a room."""
    view = recorder.view(room_name)
    return view is not None and view.is_complete

"""A disk of its own for the recordings, that can be full, read-only or slow for a while."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from lab.disk import NoDisk, fill

MEGABYTES: Final = 64
#: A slow disk stands still and goes on in turn. Seconds.
STILL, MOVING = 0.8, 0.2
_TIMEOUT: Final = 20.0


@contextlib.contextmanager
def own_disk(directory: Path) -> Iterator[Path]:
    """A filesystem of its own (ext4 in a file, so that it can be frozen); needs root.

    Raises `NoDisk`.
    """
    image, place = directory / "disk.img", directory / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    _run("mount", "-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        give_back(place)


def give_back(place: Path) -> None:
    """Unmount what is mounted there, frozen or not; for a run that was cut off, too."""
    for command in (["fsfreeze", "-u"], ["umount", "--lazy"], ["umount", "--lazy"]):
        with contextlib.suppress(NoDisk):
            _run(*command, str(place))


@contextlib.asynccontextmanager
async def full(place: Path) -> AsyncIterator[None]:
    """No space is left."""
    ballast = await asyncio.to_thread(fill, place)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.asynccontextmanager
async def read_only(place: Path) -> AsyncIterator[None]:
    """Nothing can be made or opened for writing; what is open goes on, as with any remount."""
    await asyncio.to_thread(_run, "mount", "--bind", str(place), str(place))
    await asyncio.to_thread(_run, "mount", "-o", "remount,bind,ro", str(place))
    try:
        yield
    finally:
        await asyncio.to_thread(_run, "umount", "--lazy", str(place))


@contextlib.asynccontextmanager
async def slow(place: Path) -> AsyncIterator[None]:
    """Whoever writes waits, most of the time."""
    over = asyncio.Event()
    stuttering = asyncio.create_task(_stutter(place, over))
    try:
        yield
    finally:
        over.set()
        await asyncio.wait([stuttering])


async def _stutter(place: Path, over: asyncio.Event) -> None:
    """To and fro until it is over; never broken off, for a disk must not stay frozen."""
    while not over.is_set():
        for how, seconds in (("-f", STILL), ("-u", MOVING)):
            await asyncio.to_thread(_run, "fsfreeze", how, str(place))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), seconds)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except FileNotFoundError as missing:
        raise NoDisk(f"{command[0]} is not installed") from missing
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(command)}: {done.stderr.strip()}")

"""Make recordings of files that are there already; a dry run does all of it but the last step.

One file after the other: what is read, hashed and decoded is at once put where it belongs and
stored, so that who interrupts a long run loses nothing, and goes on by doing the same again. Mixes
come before tracks, which need something to be a part of.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from egress_manager.domain.importing import (
    NEAR,
    Found,
    NoSound,
    Stray,
    has_track,
    home_of,
    origin_of,
    recording_of,
    with_track,
)
from egress_manager.domain.moves import Fingerprint
from egress_manager.domain.naming import FileNames, file_names
from egress_manager.domain.pages import RecordingFilter
from egress_manager.domain.readings import Reader, Reading, is_phone
from egress_manager.domain.recordings import Recording
from egress_manager.errors import Conflict, NotFound, StorageFailed
from egress_manager.flows.importing.doors import Importers
from egress_manager.flows.update import update

#: No call is longer: a track that began later is part of another.
LONGEST: Final = timedelta(days=1)
#: So many recordings of a room and a day are looked at for one that a track can be a part of.
MOST: Final = 200


class Place(StrEnum):
    """What becomes of a file: `AUTO` leaves it where recordings are, and copies others there."""

    AUTO = "auto"
    COPY = "copy"
    MOVE = "move"
    IN_PLACE = "in_place"


class Deed(StrEnum):
    """What came of a file."""

    IMPORTED = "imported"
    TRACK = "track"
    KNOWN = "known"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """How it is to be done; nothing is changed unless it `is_meant`."""

    reader: Reader
    place: Place = Place.AUTO
    is_meant: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a file, or would: whose it is, and where it lies then."""

    path: str
    deed: Deed
    recording_id: str | None = None
    filepath: str | None = None
    why: str = ""
    found: Found | None = None


async def find(paths: Iterable[str], doors: Importers) -> Sequence[Stray]:
    """The files that there are to be imported."""
    return await asyncio.to_thread(doors.depot.find, tuple(paths))


async def import_files(
    strays: Sequence[Stray], wish: Wish, doors: Importers
) -> AsyncIterator[Outcome]:
    """What comes of each file, as soon as it is known. Raises `StoreUnavailable`."""
    run = _Run(wish, doors)
    for stray, reading in _in_order(strays, wish.reader):
        yield await run.take(stray, reading)


def _in_order(strays: Sequence[Stray], reader: Reader) -> list[tuple[Stray, Reading]]:
    """Names read in the light of the rooms that others name for sure; mixes before tracks."""
    first = [reader.read(stray.path, stray.depth) for stray in strays]
    rooms = {stray.manifest.room_name for stray in strays if stray.manifest}
    rooms |= {reading.room_name for reading in first if _is_sure(reading)}
    read = [(stray, reader.read(stray.path, stray.depth, rooms - {""})) for stray in strays]
    return sorted(read, key=lambda pair: _is_track(*pair))


def _is_sure(reading: Reading) -> bool:
    return is_phone(reading.identity) or bool(reading.track_sid)


def _is_track(stray: Stray, reading: Reading) -> bool:
    return bool(stray.manifest and stray.manifest.track_sid) or bool(reading.track_sid)


class _Run:
    """One run: `made` are the recordings that it made, or would have, by their ids.

    `named` are recordings' ids by those that stand in the names of the files they were made of.
    """

    def __init__(self, wish: Wish, doors: Importers) -> None:
        self._wish = wish
        self._doors = doors
        self._made: dict[str, Recording] = {}
        self._named: dict[str, str] = {}

    async def take(self, stray: Stray, reading: Reading) -> Outcome:
        """What comes of one file; one that can't be taken does not hold up the others."""
        try:
            return await self._take(stray, reading)
        except (NoSound, StorageFailed, Conflict) as error:
            return Outcome(stray.path, Deed.FAILED, why=str(error))

    async def _take(self, stray: Stray, reading: Reading) -> Outcome:
        if stray.trouble:
            raise NoSound(stray.trouble)
        if owner := await self._owner_of_file(stray):
            return self._known(stray, reading, owner, "it is a file of this recording")
        content = await self._doors.depot.fingerprint(stray.path)
        if content is None:
            raise NoSound("it is not there any more")
        if owner := await self._owner_of_content(content, reading):
            return self._known(stray, reading, owner, "its content is that of this recording")
        sound = await self._doors.sounds.decode(stray.path)
        if not self._doors.depot.is_as_found(stray):
            raise NoSound("somebody is writing to it: import it when it is finished")
        origin = origin_of(reading, stray.manifest, stray.written_at, sound)
        found = Found(stray.path, origin, sound, content)
        if owner := await self._owner_of_egress(origin.egress_id):
            why = f"{origin.egress_id} is a job of this recording"
            return self._known(stray, reading, owner, why)
        home = await self._home(found, reading) if origin.track_sid else None
        return await self._join(found, home) if home else await self._begin(found, reading)

    def _known(self, stray: Stray, reading: Reading, owner: Recording, why: str) -> Outcome:
        if reading.recording_id:
            self._named[reading.recording_id] = owner.id
        return Outcome(stray.path, Deed.KNOWN, owner.id, owner.filepath, why)

    async def _owner_of_file(self, stray: Stray) -> Recording | None:
        home = self._doors.depot.home(stray.path)
        return await self._doors.owners.of_file(home) if home else None

    async def _owner_of_content(self, content: Fingerprint, reading: Reading) -> Recording | None:
        """Whose content it is: by its hash, or where the id in its name leads."""
        made = [each for each in self._made.values() if each.sha256 == content.sha256]
        known = made[0] if made else await self._doors.owners.of_content(content.sha256)
        named = await self._get(reading.recording_id)
        if known is not None or named is None:
            return known
        depot, files = self._doors.depot, [named.filepath, *(t.filepath for t in named.tracks)]
        same = [path for path in files if path and await depot.fingerprint(path) == content]
        return named if same else None

    async def _owner_of_egress(self, egress_id: str) -> Recording | None:
        made = (r for r in self._made.values() for job in r.egresses if job.egress_id == egress_id)
        if not egress_id:
            return None
        return next(made, None) or await self._doors.recordings.by_egress_id(egress_id)

    async def _get(self, recording_id: str) -> Recording | None:
        if not recording_id:
            return None
        with suppress(NotFound):
            return await self._doors.recordings.get(recording_id)
        return None

    async def _home(self, found: Found, reading: Reading) -> Recording | None:
        """What a track is a part of: what its name says, else what was in that room then."""
        named = self._named.get(reading.recording_id, reading.recording_id)
        of_name = self._made.get(named) or await self._get(named)
        if of_name is not None and of_name.is_over:
            return of_name
        at = found.origin.started_at
        where = RecordingFilter(found.origin.room_name, since=at - LONGEST, until=at + NEAR)
        page = await self._doors.recordings.page(where, cursor=None, limit=MOST)
        around = {each.id: each for each in page.items} | self._made
        return home_of(found.origin, around.values())

    async def _begin(self, found: Found, reading: Reading) -> Outcome:
        """A recording of its own."""
        doors, origin = self._doors, found.origin
        names = file_names(
            doors.naming,
            room_name=origin.room_name,
            identity=origin.identity or origin.publisher,
            at=origin.started_at,
            recording_id=found.recording_id,
        )
        filepath = await self._put(found, names.mix_stem)
        if filepath == doors.depot.home(found.path):
            names = _names_as_they_are(filepath, doors)
        new = recording_of(found, filepath=filepath, names=names, at=doors.clock.now())
        recording = replace(new, place=doors.place)
        if self._wish.is_meant:
            recording = await self._add(recording)
            await self._leave(found, filepath)
        self._made[recording.id] = recording
        if reading.recording_id:
            self._named[reading.recording_id] = recording.id
        return Outcome(found.path, Deed.IMPORTED, recording.id, filepath, found=found)

    async def _add(self, recording: Recording) -> Recording:
        try:
            return await self._doors.recordings.add(recording)
        except Conflict:
            raise Conflict("somebody else imported it just now: do the same again") from None

    async def _join(self, found: Found, home: Recording) -> Outcome:
        """A track of a recording that there is."""
        track_sid = found.origin.track_sid
        if has_track(home, track_sid):
            why = f"this recording has {track_sid}"
            return Outcome(found.path, Deed.KNOWN, home.id, why=why, found=found)
        filepath = await self._put(found, home.track_stem.replace("{track_id}", track_sid))
        change = partial(with_track, found=found, filepath=filepath, at=self._doors.clock.now())
        if self._wish.is_meant:
            self._made[home.id] = await update(self._doors.recordings, home.id, change)
            await self._leave(found, filepath)
        else:
            self._made[home.id] = change(home)
        return Outcome(found.path, Deed.TRACK, home.id, filepath, found=found)

    async def _put(self, found: Found, stem: str) -> str:
        """Have the file where it belongs; the path that its document is to have."""
        depot, place = self._doors.depot, self._wish.place
        home, name = depot.home(found.path), depot.path(stem + found.ending)
        if name == home or (home and place in (Place.AUTO, Place.IN_PLACE)):
            return home
        if place is Place.IN_PLACE:
            raise StorageFailed("nothing can be played from where it lies: copy it, or move it")
        if self._wish.is_meant:
            give = depot.also_as if place is Place.MOVE else depot.copy
            await give(found.path, name, found.content)
        return name

    async def _leave(self, found: Found, filepath: str) -> None:
        """Have it nowhere but where its document says, if it was to be moved."""
        if self._wish.place is Place.MOVE and filepath != self._doors.depot.home(found.path):
            await self._doors.depot.drop(found.path, found.content)


def _names_as_they_are(filepath: str, doors: Importers) -> FileNames:
    """The stems of a file that stays where it is."""
    stem = PurePosixPath(filepath).relative_to(doors.depot.path("")).with_suffix("")
    return FileNames(str(stem), f"{stem}.tracks/{{track_id}}")

"""What is over is sealed: its files are hashed, the chain gets an entry, the disk a sidecar.

The document says last that it is sealed. Until then all of it is done again, and finds the entry
that is there: so a process may die anywhere, and several may be at it.
"""

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import (
    MIX,
    Content,
    Entry,
    Facts,
    Seal,
    SealedFile,
    entry_after,
    entry_of,
    facts_of,
    facts_of_entry,
    kind_of,
    moment,
    sha256_of,
)
from egress_manager.domain.sidecars import Sidecar, is_call
from egress_manager.errors import Conflict, EgressManagerError, NotFound, StoreUnavailable
from egress_manager.flows.audit.doors import Sealers

log = logging.getLogger(__name__)

#: So many recordings, and so many calls, are sealed in one turn.
BATCH: Final = 20
#: News of a call that is over may be on their way for so long: it is sealed after that.
SETTLED_AFTER: Final = timedelta(seconds=10)
#: What can't be sealed is tried again after this long.
RETRY: Final = timedelta(minutes=1)
#: Who adds to the chain meets few others: more rounds than this mean that something is wrong.
ROUNDS: Final = 100


@dataclass(slots=True)
class Sealing:
    """Seals what waits for it, turn after turn; what can't be sealed does not hold up others."""

    put_off: dict[str, datetime] = field(default_factory=dict)

    async def turn(self, doors: Sealers) -> bool:
        """Seal some of what waits; whether there was anything. Raises `StoreUnavailable`."""
        now = doors.clock.now()
        self.put_off = {subject: at for subject, at in self.put_off.items() if at > now}
        waiting = [
            *await doors.waiting.recordings(BATCH, self.put_off),
            *await doors.waiting.calls(now - SETTLED_AFTER, BATCH, self.put_off),
        ]
        for subject in waiting:
            await self._try(subject, doors)
        return bool(waiting)

    async def _try(self, subject: str, doors: Sealers) -> None:
        try:
            await seal(subject, doors)
        except StoreUnavailable:
            raise
        except EgressManagerError as error:
            log.warning(
                "not_sealed",
                extra={"subject": subject, "why": error.code, "pii.detail": str(error)},
            )
            self.put_off[subject] = doors.clock.now() + RETRY
        except Exception:  # one that can't be read must not hide the others
            log.exception("not_sealed", extra={"subject": subject})
            self.put_off[subject] = doors.clock.now() + RETRY


async def newest(doors: Sealers) -> str:
    """How long the chain is and the hash of its end, in words; who notes it can ask for it later.

    Never raises because the store is away: others say that.
    """
    with suppress(StoreUnavailable):
        entry = await doors.audit.newest()
        return f"entry {entry['number']}, {entry.get('hash')}" if entry else "no entry yet"
    return "nobody knows while MongoDB is away"


async def seal(subject: str, doors: Sealers) -> None:
    """Seal a call or a recording as it is now; nothing to do where it is not over, or sealed.

    Where somebody changes it meanwhile it is left for the next time. Raises `StoreUnavailable`,
    `StorageFailed`.
    """
    with suppress(Conflict, NotFound):
        await (_seal_call if is_call(subject) else _seal_recording)(subject, doors)


async def _seal_call(call_id: str, doors: Sealers) -> None:
    call = await doors.calls.get(call_id)
    if not call.is_unsealed:
        return
    content = Content(call_id, moment(call.left_at or call.joined_at), sha256_of(facts_of(call)))
    seal, entries = await _sealed(content, call.version + 1, doors)
    sealed = replace(call, seal=seal)
    kept = replace(sealed, version=seal.version)  # as it is when it is saved
    await doors.sidecars.put(Sidecar(call_id, entries, call=kept), None)
    await doors.calls.save(sealed)


async def _seal_recording(recording_id: str, doors: Sealers) -> None:
    recording = await doors.recordings.get(recording_id)
    if not recording.is_unsealed:
        return
    files = await files_of(recording, doors)
    if (await doors.recordings.get(recording_id)).version != recording.version:
        return
    known = with_hashes(recording, files)
    call = await _call_of(recording, doors)
    content = Content(
        recording_id,
        moment(recording.since or recording.created_at),
        sha256_of(facts_of(known)),
        sha256_of(facts_of(call)) if call else "",
        files,
    )
    seal, entries = await _sealed(content, recording.version + 1, doors)
    sealed = replace(known, seal=seal)
    kept = replace(sealed, version=seal.version)
    sidecar = Sidecar(recording_id, entries, recording=kept, call=call)
    await doors.sidecars.put(sidecar, recording.filepath, _mixes(entries))
    await doors.recordings.save(sealed)


async def _call_of(recording: Recording, doors: Sealers) -> Call | None:
    with suppress(NotFound):
        return await doors.calls.get(recording.call_id) if recording.call_id else None
    return None


async def files_of(recording: Recording, doors: Sealers) -> tuple[SealedFile, ...]:
    """The recording's files, the mix first, and what is in them now. Raises `StorageFailed`."""
    named = [(MIX, recording.filepath)]
    named += [(track.track_sid, track.filepath) for track in recording.tracks]
    paths = {path: role for role, path in reversed(named) if path}
    async with doors.files.at_hand(tuple(paths)) as here:
        prints = {path: await doors.sidecars.fingerprint(here.get(path, path)) for path in paths}
    return tuple(
        SealedFile(role, path, known.sha256, known.size_bytes)
        if (known := prints[path])
        else SealedFile(role, path)
        for role, path in named
        if path
    )


def with_hashes(recording: Recording, files: Collection[SealedFile]) -> Recording:
    """The recording that says what its files hold; where one is not there, what was known."""
    known = {file.path: file.sha256 for file in files if file.sha256}
    return replace(
        recording,
        sha256=known.get(recording.filepath or "", recording.sha256),
        tracks=tuple(
            replace(track, sha256=known.get(track.filepath or "", track.sha256))
            for track in recording.tracks
        ),
    )


async def _sealed(content: Content, version: int, doors: Sealers) -> tuple[Seal, tuple[Facts, ...]]:
    """The seal that the document gets, and all entries about it; the newest is of this content."""
    entry = await _entry(content, doors)
    about = await doors.audit.about(content.subject)
    return Seal(entry.number, entry.hash, version, doors.place), tuple(about)


async def _entry(content: Content, doors: Sealers) -> Entry:
    """The newest entry about that content, which is added where there is none.

    The end of the chain is read first: who adds to it after that takes the number away.
    """
    for _ in range(ROUNDS):
        newest = await doors.audit.newest()
        about = await doors.audit.about(content.subject)
        before = entry_of(about[-1]) if about else None
        kind = kind_of(before.content if before else None, content)
        if before is not None and kind is None:
            return before
        assert kind is not None
        entry = entry_after(newest, content, kind, doors.clock.now())
        try:
            await doors.audit.append(facts_of_entry(entry))
        except Conflict:
            continue
        about_it = {"subject": content.subject, "entry": entry.number, "hash": entry.hash}
        log.info("sealed", extra=about_it)
        return entry
    raise Conflict("too many are adding to the chain at once")


def _mixes(entries: Sequence[Facts]) -> tuple[str, ...]:
    """Where the mix was, by all that was ever sealed of it."""
    known = [entry.content for facts in entries if (entry := entry_of(facts))]
    return tuple({file.path for each in known for file in each.files if file.role == MIX})

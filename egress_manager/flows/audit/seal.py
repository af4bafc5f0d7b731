"""What is over is sealed: its files are hashed, the chain gets an entry, the disk a sidecar.

The document says last that it is sealed. Until then all of it is done again, and finds the entry
that is there: so a process may die anywhere, and several may be at it. What somebody else wrote
into the database is not sealed, and its sidecar stays as it was.
"""

import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.provenance import BEGINNING, Provenance, Reached
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import (
    FIRST_MIX,
    MIX,
    NOTHING,
    Content,
    Entry,
    Facts,
    Seal,
    SealedFile,
    entry_of,
    facts_of,
    facts_of_entry,
    kind_of,
    moment,
    sha256_of,
)
from egress_manager.domain.sidecars import Sidecar, is_call
from egress_manager.domain.signing import signed_checkpoint
from egress_manager.domain.standing import (
    Document,
    is_as_sealed,
    is_older,
    made_at,
    may_be_sealed,
    waits_for_code,
)
from egress_manager.errors import (
    ChainBroken,
    Conflict,
    EgressManagerError,
    ForeignDocument,
    NotFound,
    StoreUnavailable,
)
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.extend import check_end, end_of, extend

log = logging.getLogger(__name__)

#: So many recordings, and so many calls, are sealed in one turn.
BATCH: Final = 20
#: News of a call that is over may be on their way for so long: it is sealed after that.
SETTLED_AFTER: Final = timedelta(seconds=10)
#: What can't be sealed is tried again after this long.
RETRY: Final = timedelta(minutes=1)
#: Documents of older versions that could not be signed are looked for again after this long.
WALK_AGAIN: Final = timedelta(minutes=10)
_AT_ONCE: Final = datetime.min.replace(tzinfo=UTC)
#: Who adds to the chain meets few others: more rounds than this mean that something is wrong.
ROUNDS: Final = 100


@dataclass(slots=True)
class Sealing:
    """Seals what waits for it, turn after turn; what can't be sealed does not hold up others.

    Documents of older versions are walked through: `walks_at` is when, None where all are signed;
    `is_left` whether some of this walk could not be signed.
    """

    put_off: dict[str, datetime] = field(default_factory=dict)
    walks_at: datetime | None = _AT_ONCE
    reached: Reached = BEGINNING
    is_left: bool = False
    rests_until: datetime | None = None

    async def turn(self, doors: Sealers) -> bool:
        """Seal some of what waits; whether there was anything. Raises `StoreUnavailable`.

        Nothing can be added to a chain that is broken, so no file is read for it: it is said, and
        looked at again after a while. Raises `StorageFailed` where its end can't be held to ours.
        """
        now = doors.clock.now()
        if self.rests_until is not None and now < self.rests_until:
            return False
        try:
            await check_end(doors)
            return await self._turn(now, doors)
        except ChainBroken as error:
            log.error("nothing_sealed", extra={"why": error.code, "detail": str(error)})
            self.rests_until = doors.clock.now() + RETRY
            return False

    async def _turn(self, now: datetime, doors: Sealers) -> bool:
        self.put_off = {subject: at for subject, at in self.put_off.items() if at > now}
        waiting = [
            *await doors.waiting.recordings(BATCH, self.put_off),
            *await doors.waiting.calls(now - SETTLED_AFTER, BATCH, self.put_off),
        ]
        for subject in waiting:
            await self._try(subject, doors)
        return bool(waiting) or await self._sign_older(now, doors)

    async def _sign_older(self, now: datetime, doors: Sealers) -> bool:
        """Sign some of what an older version sealed; whether there may be more of it at once.

        One walk through everything is enough, unless something could not be signed.
        """
        if self.walks_at is None or now < self.walks_at or doors.signer is None:
            return False
        found = await doors.waiting.unsigned(self.reached)
        for subject in found.ids:
            if subject not in self.put_off:
                is_done = await self._try(subject, doors)
                self.is_left = self.is_left or not is_done
        self.reached = found.reached or BEGINNING
        if found.reached is None:
            self.walks_at = now + WALK_AGAIN if self.is_left else None
            self.is_left = False
        return found.reached is not None

    async def _try(self, subject: str, doors: Sealers) -> bool:
        """Seal it, or put it off; whether it is done, or never will be."""
        try:
            await seal(subject, doors)
        except (StoreUnavailable, ChainBroken):
            raise
        except EgressManagerError as error:
            log.warning(
                "not_sealed",
                extra={"subject": subject, "why": error.code, "pii.detail": str(error)},
            )
            self.put_off[subject] = doors.clock.now() + RETRY
            return isinstance(error, ForeignDocument)
        except Exception:  # one that can't be read must not hide the others
            log.exception("not_sealed", extra={"subject": subject})
            self.put_off[subject] = doors.clock.now() + RETRY
            return False
        return True


async def newest(doors: Sealers) -> str:
    """How long the chain is and the hash of its end, in words; who notes it can ask for it later.

    Never raises because the store is away: others say that.
    """
    with suppress(StoreUnavailable):
        entry = await doors.audit.newest()
        return f"{_signed_words(entry, doors)}, {entry.get('hash')}" if entry else "no entry yet"
    return "nobody knows while MongoDB is away"


def _signed_words(entry: Facts, doors: Sealers) -> str:
    """Which entry it is, and that its signature is not ours if it is not."""
    words, signer = f"entry {entry['number']}", doors.signer
    if signer is None or signed_checkpoint(entry, signer):
        return words
    return f"{words}, which is not signed by this key"


async def seal(subject: str, doors: Sealers) -> None:
    """Seal a call or a recording as it is now; nothing to do where it is not over, or sealed.

    Where somebody changes it meanwhile it is left for the next time. Raises `StoreUnavailable`,
    `StorageFailed`.
    """
    with suppress(Conflict, NotFound):
        await (_seal_call if is_call(subject) else _seal_recording)(subject, doors)


async def _seal_call(call_id: str, doors: Sealers) -> None:
    call = await doors.calls.get(call_id)
    if not _waits(call):
        return
    before = await _may_be_sealed(call, doors)
    content = Content(call_id, made_at(call), sha256_of(facts_of(call)))
    if before is not None and is_older(call) and is_as_sealed(call, before):
        seal, entries = await _resealed(before, call, doors)
    else:
        seal, entries = await _sealed(content, call, doors)
    sealed = replace(call, seal=seal, provenance=Provenance.SIGNED)
    kept = replace(sealed, version=seal.version)  # as it is when it is saved
    await doors.sidecars.put(Sidecar(call_id, entries, call=kept), None)
    await doors.calls.save(sealed)


async def _seal_recording(recording_id: str, doors: Sealers) -> None:
    recording = await doors.recordings.get(recording_id)
    if not _waits(recording):
        return
    before = await _may_be_sealed(recording, doors)
    if before is not None and is_older(recording) and is_as_sealed(recording, before):
        await _sign_recording(recording, before, doors)
        return
    files = await files_of(recording, doors)
    if (await doors.recordings.get(recording_id)).version != recording.version:
        return
    known = with_hashes(recording, files)
    call = await _call_of(recording, doors)
    content = Content(
        recording_id,
        made_at(recording),
        sha256_of(facts_of(known)),
        sha256_of(facts_of(call)) if call else "",
        files,
    )
    seal, entries = await _sealed(content, recording, doors)
    await _keep_recording(known, seal, entries, call, doors)


async def _keep_recording(
    recording: Recording, seal: Seal, entries: tuple[Facts, ...], call: Call | None, doors: Sealers
) -> None:
    """The sidecar first; then the document says that it is sealed."""
    sealed = replace(recording, seal=seal, provenance=Provenance.SIGNED)
    kept = replace(sealed, version=seal.version)
    sidecar = Sidecar(recording.id, entries, recording=kept, call=call)
    await doors.sidecars.put(sidecar, recording.filepath, _mixes(entries))
    await doors.recordings.save(sealed)


def _waits(document: Document) -> bool:
    """Whether it is to be sealed or signed. Raises `ForeignDocument` for what only says that it is.

    Somebody else wrote that, and it would be asked for again and again.
    """
    if document.is_unsealed or waits_for_code(document):
        return True
    if document.provenance is Provenance.FOREIGN:
        raise ForeignDocument(f"{document.id} says that it waits to be sealed, and does not")
    return False


async def _may_be_sealed(document: Document, doors: Sealers) -> Entry | None:
    """The newest entry about it. Raises `ForeignDocument` for what the service did not write."""
    about = await doors.audit.about(document.id)
    before = entry_of(about[-1]) if about else None
    made = doors.signer.made_at if doors.signer else None
    if not may_be_sealed(document, before, made, doors.clock.now()):
        raise ForeignDocument(f"{document.id} is not as the service wrote it")
    return before


async def _sign_recording(recording: Recording, before: Entry, doors: Sealers) -> None:
    """It is what an older version sealed: it and its sidecar are signed as they are."""
    sidecar = await doors.sidecars.about(recording.id, recording.filepath)
    call = sidecar.call if sidecar and sidecar.is_as_sealed else await _call_of(recording, doors)
    seal, entries = await _resealed(before, recording, doors)
    await _keep_recording(recording, seal, entries, call, doors)


async def _call_of(recording: Recording, doors: Sealers) -> Call | None:
    with suppress(NotFound):
        return await doors.calls.get(recording.call_id) if recording.call_id else None
    return None


async def files_of(recording: Recording, doors: Sealers) -> tuple[SealedFile, ...]:
    """The recording's files, the mix first, and what is in them now. Raises `StorageFailed`.

    The mix that a repair replaced is kept, so it is sealed, too.
    """
    named = [(MIX, recording.filepath)]
    named += [(track.track_sid, track.filepath) for track in recording.tracks]
    named.append((FIRST_MIX, recording.repaired_from))
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


async def _sealed(
    content: Content, document: Document, doors: Sealers
) -> tuple[Seal, tuple[Facts, ...]]:
    """The seal that the document gets, and all entries about it; the newest is of this content."""
    entries = await _entries(content, document, doors)
    newest = entries[-1]
    seal = Seal(newest["number"], newest["hash"], document.version + 1, doors.place)
    return seal, entries


async def _resealed(
    before: Entry, document: Document, doors: Sealers
) -> tuple[Seal, tuple[Facts, ...]]:
    """The same seal for the next version, and all entries about it."""
    about = await doors.audit.about(document.id)
    return Seal(before.number, before.hash, document.version + 1, doors.place), tuple(about)


async def _entries(content: Content, document: Document, doors: Sealers) -> tuple[Facts, ...]:
    """All entries about the document; one of that content is added if the newest is not.

    The end of the chain is read first: who adds to it after that takes the number away.
    """
    for _ in range(ROUNDS):
        end = await end_of(doors)
        about = tuple(await doors.audit.about(content.subject))
        before = entry_of(about[-1]) if about else None
        kind = kind_of(before.content if before else None, content)
        if kind is None:
            return about
        entry = Entry(
            number=0,
            at=moment(doors.clock.now()),
            kind=kind,
            content=content,
            previous=NOTHING,
            version=document.version,
            place=doors.place,
            is_adopted=document.provenance is Provenance.UNSIGNED,
        )
        try:
            facts = await extend(end, facts_of_entry(entry), doors)
        except Conflict:
            continue
        about_it = {"subject": content.subject, "entry": facts["number"], "hash": facts["hash"]}
        log.info("sealed", extra=about_it)
        return (*about, facts)
    raise Conflict("too many are adding to the chain at once")


def _mixes(entries: Sequence[Facts]) -> tuple[str, ...]:
    """Where the mix was, by all that was ever sealed of it."""
    known = [entry.content for facts in entries if (entry := entry_of(facts))]
    return tuple({file.path for each in known for file in each.files if file.role == MIX})

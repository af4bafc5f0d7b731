"""Restore calls, recordings and the chain of seals from their sidecars; nothing is overwritten."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Facts
from egress_manager.domain.sidecars import DOWNLOADS, Lying, Sidecar, Unreadable, paths_of
from egress_manager.domain.signing import is_signed, signed_checkpoint
from egress_manager.errors import Conflict, NotFound
from egress_manager.flows.audit.doors import Sealers, Sidecars

#: What is told at once of a sidecar: where it lies, and what is wrong.
Tell = Callable[[Unreadable], None]

FOREIGN: Final = (
    "its signature is not of this key: it was changed, or the key of who wrote it is missing here"
)
UNSIGNED: Final = "it is not signed; --accept-unsigned takes it as it is"
OUTSIDE: Final = "it names {path}, which is not below the recordings directory"
EMPTY: Final = "it does not say what it is about"
DIFFERS: Final = "it was changed since it was sealed; what it says was taken as it is"
TAKEN: Final = "the database has another {what} in the place of this one, which stays"


@dataclass(slots=True)
class Rebuilt:
    """What was added, or would be; `known` was there. `missing` are entries that no sidecar has.

    `unsigned` sidecars were accepted as they were. `troubles` are files that could not be read or
    restored, or not as they were sealed.
    """

    recordings: int = 0
    calls: int = 0
    entries: int = 0
    known: int = 0
    unsigned: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    troubles: list[Unreadable] = field(default_factory=list)


async def rebuild(
    source: Sidecars,
    doors: Sealers,
    tell: Tell,
    *,
    is_meant: bool,
    accepts_unsigned: bool = False,
) -> Rebuilt:
    """Restore everything that the sidecars of a directory have, unless it is only looked at.

    What is not signed by the key is refused; with `accepts_unsigned` not what has no signature, as
    those of older versions. What names a file outside of the recordings is refused always. A call
    is restored from its own sidecar; where there is none, from that of its recording. Raises
    `StoreUnavailable`, `StorageFailed`.
    """
    run = _Run(doors, tell, is_meant, accepts_unsigned)
    copies: set[str] = set()
    async for found in source.every():
        if isinstance(found, Unreadable):
            run.trouble(found.path, found.why)
            continue
        if not await run.take(found):
            continue
        if found.sidecar.recording is not None and found.sidecar.call is not None:
            copies.add(found.sidecar.call.id)
    if copies - run.calls:
        await run.add_calls_of_recordings(source)
    async for entry in source.downloads():
        await run.take_download(entry)
    run.rebuilt.missing = gaps(run.numbers)
    return run.rebuilt


def gaps(numbers: set[int]) -> list[tuple[int, int]]:
    """The numbers that are missing from 1 on, as first and last of each row."""
    found, last = [], 0
    for number in sorted(numbers):
        if number > last + 1:
            found.append((last + 1, number - 1))
        last = number
    return found


@dataclass(slots=True)
class _Run:
    """One rebuilding: `calls` and `numbers` (of entries) are those that were seen."""

    doors: Sealers
    tell: Tell
    is_meant: bool
    accepts_unsigned: bool
    rebuilt: Rebuilt = field(default_factory=Rebuilt)
    calls: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)

    def trouble(self, path: str, why: str) -> None:
        """Something that is not as it should be, told and kept."""
        told = Unreadable(path, why)
        self.rebuilt.troubles.append(told)
        self.tell(told)

    async def add_calls_of_recordings(self, source: Sidecars) -> None:
        """Restore calls that have no sidecar of their own."""
        async for found in source.every():
            if not isinstance(found, Lying) or self.refusal(found.sidecar):
                continue
            if found.sidecar.recording is not None:
                await self.add_call(found.sidecar.call, found.path)

    def refusal(self, sidecar: Sidecar) -> str:
        """Why nothing of a sidecar is restored; empty where it is."""
        if sidecar.provenance in (Provenance.FOREIGN, Provenance.UNKNOWN):
            return FOREIGN
        has_signed = any(map(is_signed, sidecar.entries))
        if sidecar.provenance is Provenance.UNSIGNED and (has_signed or not self.accepts_unsigned):
            return FOREIGN if has_signed else UNSIGNED
        for document in (sidecar.recording, sidecar.call):
            for path in paths_of(document) if document else ():
                if "://" not in path and not self.doors.sidecars.holds(path):
                    return OUTSIDE.format(path=path)
        return "" if sidecar.document else EMPTY

    async def take(self, lying: Lying) -> bool:
        """Restore what a sidecar is about, and the entries about it; whether it was not refused."""
        why, document = self.refusal(lying.sidecar), lying.sidecar.document
        if why or document is None:
            self.trouble(lying.path, why)
            return False
        if lying.sidecar.provenance is Provenance.UNSIGNED:
            self.rebuilt.unsigned += 1
        if not lying.sidecar.is_as_sealed:
            self.trouble(lying.path, DIFFERS)
        if isinstance(document, Recording):
            await self._add_recording(document, lying.path)
        else:
            await self.add_call(document, lying.path)
        await self._add_entries(lying.sidecar.subject, lying.sidecar.entries, lying.path)
        return True

    async def take_download(self, entry: Facts) -> None:
        """Restore an entry that says who was given audio, if it is signed by the key."""
        signer, subject = self.doors.signer, str(entry.get("subject", ""))
        if signer is None or signed_checkpoint(entry, signer):
            await self._add_entries(subject, [entry], DOWNLOADS)
        else:
            self.trouble(DOWNLOADS, FOREIGN)

    async def _add_recording(self, recording: Recording, path: str) -> None:
        try:
            await self.doors.recordings.get(recording.id)
            self.rebuilt.known += 1
            return
        except NotFound:
            self.rebuilt.recordings += 1
        if self.is_meant:
            try:
                await self.doors.recordings.add(recording)
            except Conflict:
                self.rebuilt.recordings -= 1
                self.trouble(path, TAKEN.format(what="recording"))

    async def add_call(self, call: Call | None, path: str) -> None:
        """Restore a call that was not seen before."""
        if call is None or call.id in self.calls:
            return
        self.calls.add(call.id)
        try:
            await self.doors.calls.get(call.id)
            self.rebuilt.known += 1
        except NotFound:
            self.rebuilt.calls += 1
            if self.is_meant:
                await self.doors.calls.add(call)

    async def _add_entries(self, subject: str, entries: Iterable[Facts], path: str) -> None:
        """Restore entries as they are: whether they fit is what an audit finds out."""
        about = await self.doors.audit.history(subject)
        known = {facts.get("number"): facts.get("hash") for facts in about}
        for facts in entries:
            number = facts["number"]
            self.numbers.add(number)
            if known.get(number) == facts.get("hash"):
                continue
            if number in known or not await self._append(facts):
                self.trouble(path, TAKEN.format(what=f"entry {number}"))
            else:
                self.rebuilt.entries += 1

    async def _append(self, facts: Facts) -> bool:
        try:
            if self.is_meant:
                await self.doors.audit.append(facts)
        except Conflict:
            return False
        return True

"""Hold the database and the disk against the chain of seals, and name what is not as it was sealed.

It only reads, beside a service that runs: who is sealed while it looks is looked at once more.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from egress_manager.domain.chain import (
    Chain,
    Finding,
    Noted,
    Trouble,
    Witness,
    replaced_content,
    witnesses_of,
)
from egress_manager.domain.notes import checkpoint_of
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.seal import MIX, Entry, SealedFile, entry_of
from egress_manager.domain.sidecars import DOWNLOADS, Sidecar, Unreadable, is_call, paths_of
from egress_manager.domain.standing import (
    Document,
    Standing,
    standing_of,
    standing_of_unsealed,
    standing_without_key,
)
from egress_manager.errors import DocumentUnreadable, NotFound
from egress_manager.flows.audit.doors import Sealers

Tell = Callable[[Finding], None]


@dataclass(slots=True)
class Audited:
    """What was looked at, and what was found.

    `newest` is the hash of the last entry: noted elsewhere, it shows later whether the chain still
    has it. `key` is the name of the key by which signatures were checked, empty where there is
    none; `signed_from` the number of the first entry that is signed. `waiting` are documents that
    were changed by the service and are to be sealed again; `changed` are entries that say that a
    document or a file was changed without being made again, by number, with what they are about;
    `adopted` those about documents that had no code, and were taken as they were.
    `elsewhere` counts files that are not on this host and were not looked at.
    """

    entries: int = 0
    newest: str = ""
    documents: int = 0
    files: int = 0
    elsewhere: int = 0
    key: str = ""
    signed_from: int | None = None
    downloads: int = 0
    waiting: list[str] = field(default_factory=list)
    changed: list[tuple[int, str]] = field(default_factory=list)
    adopted: list[tuple[int, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


async def verify(
    doors: Sealers,
    tell: Tell,
    *,
    with_files: bool = True,
    known: str = "",
    checkpoints: Sequence[Noted] = (),
) -> Audited:
    """Look at everything; what is wrong is told at once. `known` is a hash that was noted earlier.

    `checkpoints` were noted elsewhere, and the one that the signing key's host has is among them.
    Without files the chain, the documents and the sidecars are held against each other only. Raises
    `StoreUnavailable`, `StorageFailed`.
    """
    audit = _Audit(doors, tell, with_files)
    noted = [*checkpoints, *await audit.noted()]  # first: the chain may only be longer then
    witnesses = await audit.witnesses()
    chain = Chain(witnesses, known, doors.signer, noted, lacks_key=audit.lacks_key)
    async for facts in doors.audit.entries():
        audit.find(chain.take(facts))
    audit.find(chain.end())
    audit.take(chain)
    for subject in chain.newest:
        await audit.look_at(subject)
    async for is_of_calls, found in doors.waiting.every():
        await audit.look_at_stored(found, chain.newest, is_of_calls=is_of_calls)
    if doors.rows is not None:
        async for name in doors.rows.refused():
            audit.find([Finding(Trouble.ROW_FOREIGN, subject=name)])
    return audit.audited


@dataclass(slots=True)
class _Look:
    """What one look at a document found."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    elsewhere: int = 0
    is_waiting: bool = False


@dataclass(slots=True)
class _Audit:
    """One audit, as far as it is. `places` are the recordings directories that are known.

    `lacks_key`: something here was signed, and there is no key to check it with. Nothing that only
    a code vouches for is believed then.
    """

    doors: Sealers
    tell: Tell
    with_files: bool
    audited: Audited = field(default_factory=Audited)
    places: set[str] = field(default_factory=set)
    lacks_key: bool = False

    def find(self, findings: Iterator[Finding] | list[Finding]) -> None:
        """Tell and keep what was found."""
        for finding in findings:
            self.audited.findings.append(finding)
            self.tell(finding)

    def take(self, chain: Chain) -> None:
        """What the chain said, when all of it was read."""
        audited, signer = self.audited, self.doors.signer
        audited.key = signer.origins[0] if signer else ""
        audited.entries, audited.newest = chain.length, chain.hash
        audited.signed_from, audited.downloads = chain.signed_from, chain.downloads
        audited.changed, audited.adopted = [*chain.changed.items()], [*chain.adopted.items()]
        self.places = chain.places
        if chain.needs_key:
            self._needs_key()

    def _needs_key(self) -> None:
        """Something was signed: say once that the key is missing, where it is."""
        if self.doors.signer is None and not self.lacks_key:
            self.lacks_key = True
            self.find([Finding(Trouble.KEY_MISSING)])

    async def noted(self) -> list[Noted]:
        """The checkpoint that lies beside the signing key; none where it was never written."""
        signer = self.doors.signer
        told = await signer.noted() if signer else ""
        try:
            checkpoint = checkpoint_of(told)[0] if told else None
        except ValueError:
            checkpoint = None
            self.find([Finding(Trouble.CHECKPOINT_DIFFERS)])
        return [Noted(checkpoint)] if checkpoint else []

    async def witnesses(self) -> dict[int, Witness]:
        """What the sidecars know of the chain. They are read first: entries are older than they."""
        known: dict[int, Witness] = {}
        async for entry in self.doors.sidecars.downloads():
            known |= witnesses_of([entry], DOWNLOADS)
        async for found in self.doors.sidecars.every():
            if isinstance(found, Unreadable):
                self.find([Finding(Trouble.SIDECAR_UNREADABLE, path=found.path)])
            else:
                known |= witnesses_of(found.sidecar.entries, found.path)
                if found.sidecar.provenance is Provenance.UNKNOWN:
                    self._needs_key()
        return known

    async def look_at(self, subject: str) -> None:
        """A document that there are entries about."""
        look = await self._look(subject)
        if look.findings:  # unless somebody was just at it
            look = await self._look(subject)
        self.find(look.findings)
        self.audited.documents += 1
        self.audited.files += look.files
        self.audited.elsewhere += look.elsewhere
        if look.is_waiting:
            self.audited.waiting.append(subject)

    async def look_at_stored(
        self, found: object, known: Collection[str], *, is_of_calls: bool
    ) -> None:
        """Something that is stored, with whatever id; what there are entries about is left out."""
        subject, trouble, document = str(found), None, None
        if not isinstance(found, str):
            trouble = Trouble.DOCUMENT_UNREADABLE
        elif is_call(found) is not is_of_calls:  # nobody looks for it there
            trouble = Trouble.DOCUMENT_FOREIGN
        elif found not in known:
            try:
                document = await self._document(found)
            except DocumentUnreadable:
                trouble = Trouble.DOCUMENT_UNREADABLE
        if trouble:
            self.find([Finding(trouble, subject=subject)])
        if document is not None:
            await self._look_at_unknown(document)

    async def _look_at_unknown(self, document: Document) -> None:
        """A document that no entry is about, or was not when the chain was read."""
        made = self.doors.signer.made_at if self.doors.signer else None
        if document.provenance is Provenance.UNKNOWN:
            self._needs_key()
        standing = standing_of_unsealed(document, made, self.doors.clock.now())
        if standing.is_waiting:
            self.audited.waiting.append(document.id)
        if standing.trouble is Trouble.DOCUMENT_INSERTED:
            assert document.seal is not None
            if self._is_named(document.seal.number) or await self.doors.audit.about(document.id):
                return
        if standing.trouble:
            self.find([Finding(standing.trouble, subject=document.id)])

    async def _look(self, subject: str) -> _Look:
        about = await self.doors.audit.about(subject)
        newest = entry_of(about[-1]) if about else None
        if newest is None:  # somebody made something else of it: that was found already
            return _Look()
        look = _Look(list(replaced_content(filter(None, map(entry_of, about)))))
        document, standing = await self._held(subject, newest)
        is_accused = standing.trouble not in (None, Trouble.DOCUMENT_CHANGED)
        if not is_accused and self._names_seal_of(document):
            return look  # the entry was tampered with: nothing can be held against it
        if standing.trouble:
            look.findings.append(Finding(standing.trouble, newest.number, subject=subject))
        look.is_waiting = standing.is_waiting
        if not self._is_here(document, newest, look) or standing.may_differ:
            return look
        if not standing.is_waiting:
            look.findings += await self._sidecar(newest)
        named = set(paths_of(document)) if document and standing.is_waiting else None
        await self._files(newest, look, named)
        return look

    async def _held(self, subject: str, newest: Entry) -> tuple[Document | None, Standing]:
        """The document, as far as it can be read, and how it stands."""
        try:
            document = await self._document(subject)
        except DocumentUnreadable:
            return None, Standing(Trouble.DOCUMENT_UNREADABLE)
        if document is None:
            return None, Standing(Trouble.DOCUMENT_MISSING)
        return document, self._standing(document, newest)

    def _standing(self, document: Document, newest: Entry) -> Standing:
        """How a document stands; strictly where nobody can tell who wrote it."""
        if document.provenance is Provenance.UNKNOWN:
            self._needs_key()
        judge = standing_without_key if self.lacks_key else standing_of
        return judge(document, newest)

    def _is_here(self, document: Document | None, newest: Entry, look: _Look) -> bool:
        """Whether its files are to be on this host; counted, or found to be nowhere, if not."""
        is_ours = document is not None and self._is_ours(document)
        place = newest.place
        if newest.version is None and document is not None and document.seal is not None:
            place = document.seal.place
        if self.doors.is_here(place):
            return True
        if not (newest.version is not None or is_ours or place in self.places):
            where = (newest.number, None, newest.content.subject)
            look.findings.append(Finding(Trouble.PLACE_UNKNOWN, *where))
        look.elsewhere += max(1, len(newest.content.files))
        return False

    def _names_seal_of(self, document: Document | None) -> bool:
        """Whether the entry that a document of ours says seals it was found to be tampered with."""
        if document is None or document.seal is None:
            return False
        return self._is_ours(document) and self._is_named(document.seal.number)

    def _is_ours(self, document: Document) -> bool:
        """Whether it is known that the service wrote it."""
        return document.provenance is Provenance.SIGNED and not self.lacks_key

    def _is_named(self, number: int) -> bool:
        """Whether the entry of that number was found to be changed or removed."""
        return any(
            found.entry is not None and found.entry <= number <= (found.until or found.entry)
            for found in self.audited.findings
            if found.trouble in (Trouble.ENTRY_CHANGED, Trouble.ENTRY_REMOVED)
        )

    async def _document(self, subject: str) -> Document | None:
        try:
            if is_call(subject):
                return await self.doors.calls.get(subject)
            return await self.doors.recordings.get(subject)
        except NotFound:
            return None

    async def _sidecar(self, newest: Entry) -> list[Finding]:
        """Where it lies follows from the entry, whatever the document says."""
        subject, mix = newest.content.subject, _mix_of(newest)
        sidecar = await self.doors.sidecars.about(subject, mix)
        trouble = None
        if sidecar is None:
            trouble = Trouble.SIDECAR_MISSING
        elif not (self._is_trusted(sidecar, newest) and sidecar.newest == newest):
            trouble = Trouble.SIDECAR_CHANGED
        where = (newest.number, None, subject, mix or "")
        return [Finding(trouble, *where)] if trouble else []

    def _is_trusted(self, sidecar: Sidecar, newest: Entry) -> bool:
        """Whether a sidecar says what was sealed, and is signed unless an older version did it."""
        is_signed = sidecar.provenance in (Provenance.SIGNED, Provenance.UNKNOWN)
        if self.lacks_key:  # then one without a signature counts as SIGNED
            is_signed = sidecar.provenance is Provenance.UNKNOWN
        is_older = newest.version is None and sidecar.provenance is not Provenance.FOREIGN
        return (is_signed or is_older) and sidecar.is_as_sealed

    async def _files(self, newest: Entry, look: _Look, named: Collection[str] | None) -> None:
        """The files of the entry; of those that a waiting document still names, where it waits."""
        files = {file.path: file for file in newest.content.files} if self.with_files else {}
        if named is not None:
            files = {path: file for path, file in files.items() if path in named}
        async with self.doors.files.at_hand(tuple(files)) as here:
            for path, file in files.items():
                found = await self.doors.sidecars.fingerprint(here.get(path, path))
                if found is None and "://" in path:
                    look.elsewhere += 1
                    continue
                look.files += 1
                trouble = _trouble(file, found.sha256 if found else "")
                if trouble:
                    where = (newest.number, None, newest.content.subject, path)
                    look.findings.append(Finding(trouble, *where))


def _mix_of(entry: Entry) -> str | None:
    """Where the mix was when it was sealed."""
    return next((file.path for file in entry.content.files if file.role == MIX), None)


def _trouble(file: SealedFile, sha256: str) -> Trouble | None:
    """What is wrong with a file that holds that now; empty where it is not there."""
    if file.sha256 == sha256:
        return None
    if not file.sha256:
        return Trouble.FILE_INSERTED
    return Trouble.FILE_CHANGED if sha256 else Trouble.FILE_MISSING

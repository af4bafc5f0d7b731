"""Hold the database and the disk against the chain of seals, and name what is not as it was sealed.

It only reads, beside a service that runs: who is sealed while it looks is looked at once more.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from egress_manager.domain.calls import Call
from egress_manager.domain.chain import (
    Chain,
    Finding,
    Trouble,
    Witness,
    replaced_content,
    witnesses_of,
)
from egress_manager.domain.pages import CallFilter, RecordingFilter
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import Entry, SealedFile, entry_of, facts_of, sha256_of
from egress_manager.domain.sidecars import Unreadable, is_call
from egress_manager.errors import NotFound
from egress_manager.flows.audit.doors import Sealers

Document = Call | Recording
Tell = Callable[[Finding], None]

#: So many documents are read at once.
PAGE: Final = 200


@dataclass(slots=True)
class Audited:
    """What was looked at, and what was found.

    `newest` is the hash of the last entry: noted elsewhere, it shows later whether the chain still
    has it. `waiting` are documents that were changed by the service and are to be sealed again;
    `elsewhere` counts files that are not on this host and were not looked at.
    """

    entries: int = 0
    newest: str = ""
    documents: int = 0
    files: int = 0
    elsewhere: int = 0
    waiting: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


async def verify(
    doors: Sealers, tell: Tell, *, with_files: bool = True, known: str = ""
) -> Audited:
    """Look at everything; what is wrong is told at once. `known` is a hash that was noted earlier.

    Without files the chain, the documents and the sidecars are held against each other only. Raises
    `StoreUnavailable`, `StorageFailed`.
    """
    audit = _Audit(doors, tell, with_files)
    chain = Chain(await audit.witnesses(), known)
    async for facts in doors.audit.entries():
        audit.find(chain.take(facts))
    audit.find(chain.end())
    audit.audited.entries, audit.audited.newest = chain.length, chain.hash
    for subject in chain.newest:
        await audit.look_at(subject)
    async for document in _documents(doors):
        if document.id not in chain.newest:
            await audit.look_at_unknown(document)
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
    """One audit, as far as it is."""

    doors: Sealers
    tell: Tell
    with_files: bool
    audited: Audited = field(default_factory=Audited)

    def find(self, findings: Iterator[Finding] | list[Finding]) -> None:
        """Tell and keep what was found."""
        for finding in findings:
            self.audited.findings.append(finding)
            self.tell(finding)

    async def witnesses(self) -> dict[int, Witness]:
        """What the sidecars know of the chain. They are read first: entries are older than they."""
        known: dict[int, Witness] = {}
        async for found in self.doors.sidecars.every():
            if isinstance(found, Unreadable):
                self.find([Finding(Trouble.SIDECAR_UNREADABLE, path=found.path)])
            else:
                known |= witnesses_of(found.sidecar.entries, found.path)
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

    async def look_at_unknown(self, document: Document) -> None:
        """A document that no entry is about, or was not when the chain was read."""
        if document.seal is None:
            if document.is_unsealed:
                self.audited.waiting.append(document.id)
        elif self._is_named(document.seal.number):
            return
        elif not await self.doors.audit.about(document.id):
            self.find([Finding(Trouble.DOCUMENT_INSERTED, subject=document.id)])

    async def _look(self, subject: str) -> _Look:
        about = await self.doors.audit.about(subject)
        newest = entry_of(about[-1]) if about else None
        if newest is None:  # somebody made something else of it: that was found already
            return _Look()
        look = _Look(list(replaced_content(filter(None, map(entry_of, about)))))
        document = await self._document(subject)
        if document is None:
            look.findings.append(Finding(Trouble.DOCUMENT_MISSING, newest.number, subject=subject))
        elif document.seal is None or document.seal.version != document.version:
            look.is_waiting = document.is_unsealed
        elif not self._is_named(document.seal.number):
            if _differs(document, newest):
                where = (newest.number, None, subject)
                look.findings.append(Finding(Trouble.DOCUMENT_CHANGED, *where))
            if not self.doors.is_here(document.seal.place):
                look.elsewhere += max(1, len(newest.content.files))
                return look
            look.findings += await self._sidecar(document, newest)
            await self._files(newest, look)
        return look

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

    async def _sidecar(self, document: Document, newest: Entry) -> list[Finding]:
        filepath = document.filepath if isinstance(document, Recording) else None
        sidecar = await self.doors.sidecars.about(document.id, filepath)
        trouble = None
        if sidecar is None:
            trouble = Trouble.SIDECAR_MISSING
        elif not (sidecar.is_as_sealed and sidecar.newest == newest):
            trouble = Trouble.SIDECAR_CHANGED
        where = (newest.number, None, document.id, filepath or "")
        return [Finding(trouble, *where)] if trouble else []

    async def _files(self, newest: Entry, look: _Look) -> None:
        files = {file.path: file for file in newest.content.files} if self.with_files else {}
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


def _differs(document: Document, newest: Entry) -> bool:
    """Whether a document that says that it is sealed is not what was sealed."""
    if document.seal is None or document.seal.hash != newest.hash:
        return True
    return sha256_of(facts_of(document)) != newest.content.facts_sha256


def _trouble(file: SealedFile, sha256: str) -> Trouble | None:
    """What is wrong with a file that holds that now; empty where it is not there."""
    if file.sha256 == sha256:
        return None
    if not file.sha256:
        return Trouble.FILE_INSERTED
    return Trouble.FILE_CHANGED if sha256 else Trouble.FILE_MISSING


async def _documents(doors: Sealers) -> AsyncIterator[Document]:
    """Every recording, and every call."""
    cursor: str | None = None
    while True:
        page = await doors.recordings.page(RecordingFilter(), cursor=cursor, limit=PAGE)
        for recording in page.items:
            yield recording
        cursor = page.next_cursor
        if cursor is None:
            break
    while True:
        calls = await doors.calls.page(CallFilter(), cursor=cursor, limit=PAGE)
        for call in calls.items:
            yield call
        cursor = calls.next_cursor
        if cursor is None:
            return

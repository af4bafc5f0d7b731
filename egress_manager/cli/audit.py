"""`egress-manager audit`: the chain of seals, and whether all is as it was sealed."""

import asyncio
import sys
from collections import deque
from dataclasses import asdict
from typing import Annotated, Final

from cyclopts import App, Parameter

from egress_manager.cli.plainly import line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import console, moment, print_json, table
from egress_manager.domain.chain import Finding
from egress_manager.domain.seal import Entry, Facts, entry_of
from egress_manager.flows.audit import verify as auditing
from egress_manager.flows.audit.verify import Audited
from egress_manager.settings import load_settings

audit = App("audit", help="Whether recordings, documents and their seals are what they were.")

#: So much of a hash tells entries apart on a screen.
_SHORT: Final = 16
#: Findings are told under each other. Columns.
_WIDE: Final = 28


@audit.command
def verify(
    *,
    known: str = "",
    files: Annotated[bool, Parameter(negative="--no-files")] = True,
    as_json: AsJson = False,
) -> None:
    """Hold every document and every file against its seal; name what is not what it was.

    Run it on the service's host, as its user; the service may go on running meanwhile. Nothing is
    changed. The exit code is 1 if anything was found.

    Parameters
    ----------
    known
        The hash of an entry that you noted: the chain has to have it still.
    files
        Read all files; without it only the chain, the documents and the sidecars.
    as_json
        For scripts.
    """
    found = asyncio.run(_verify(known, with_files=files, as_json=as_json))
    if as_json:
        findings = [{**asdict(each), "words": each.words} for each in found.findings]
        print_json({**asdict(found), "findings": findings})
    else:
        _sum_up(found, with_files=files)
    sys.exit(1 if found.findings else 0)


@audit.command
def show(subject: str | None = None, /, *, limit: int = 20, as_json: AsJson = False) -> None:
    """Show entries of the chain, the newest last.

    Parameters
    ----------
    subject
        All entries about this recording or call.
    limit
        At most so many of all.
    as_json
        For scripts.
    """
    found = asyncio.run(_entries(subject, limit))
    if as_json:
        print_json({"items": found})
        return
    rows = [_row(entry) for facts in found if (entry := entry_of(facts))]
    console().print(table(["entry", "sealed", "what", "about", "files", "hash"], rows))


async def _verify(known: str, *, with_files: bool, as_json: bool) -> Audited:
    from egress_manager.wiring.audit import open_sealers

    async with open_sealers(load_settings()) as doors:
        tell = (lambda finding: None) if as_json else _tell
        return await auditing.verify(doors, tell, with_files=with_files, known=known)


async def _entries(subject: str | None, limit: int) -> list[Facts]:
    from egress_manager.wiring.audit import open_sealers

    async with open_sealers(load_settings()) as doors:
        if subject is not None:
            return list(await doors.audit.about(subject))
        newest: deque[Facts] = deque(maxlen=max(limit, 1))
        async for facts in doors.audit.entries():
            newest.append(facts)
        return list(newest)


def _tell(finding: Finding) -> None:
    """A finding as soon as it is known."""
    number = _numbers(finding)
    who = finding.subject or (f"entry {number}" if number else "")
    line(f"{who:{_WIDE}}  {finding.words}")
    where = f" (entry {number})" if number and finding.subject else ""
    if finding.path or where:
        line(f"{'':4}{finding.path}{where}".rstrip())


def _numbers(finding: Finding) -> str:
    if finding.entry is None:
        return ""
    is_row = finding.until is not None and finding.until != finding.entry
    return f"{finding.entry} to {finding.until}" if is_row else str(finding.entry)


def _sum_up(found: Audited, *, with_files: bool) -> None:
    looked = f"{found.files} files" if with_files else "no files"
    line(f"{found.entries} entries, {found.documents} documents and {looked} were looked at.")
    if found.elsewhere:
        line(f"{found.elsewhere} files are not on this host and were not looked at.")
    if found.waiting:
        line(f"{len(found.waiting)} documents wait for the service to seal them: they are new, or")
        line(f"it changed them since. {' '.join(found.waiting[:5])}")
    count = len(found.findings)
    line(f"{count} things are not as they were." if count else "All is as it was sealed.")
    line(f"The newest entry has the hash {found.newest or 'of none'}")


def _row(entry: Entry) -> list[str]:
    return [
        str(entry.number),
        moment(entry.at),
        entry.kind.value,
        entry.content.subject,
        str(len(entry.content.files)),
        entry.hash[:_SHORT],
    ]

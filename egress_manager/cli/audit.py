"""`egress-manager audit`: the chain of seals, and whether all is as it was sealed."""

import asyncio
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from egress_manager.cli.plainly import line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import console, moment, print_json, table
from egress_manager.domain.chain import Finding, Noted
from egress_manager.domain.downloads import is_download
from egress_manager.domain.notes import checkpoint_of
from egress_manager.domain.seal import Entry, Facts, entry_of
from egress_manager.errors import BadRequest, NotFound
from egress_manager.flows.audit import verify as auditing
from egress_manager.flows.audit.extend import signed_end
from egress_manager.flows.audit.verify import Audited
from egress_manager.settings import load_settings

audit = App("audit", help="Whether recordings, documents and their seals are what they were.")

#: So much of a hash tells entries apart on a screen.
_SHORT: Final = 16
#: So many of what is listed are shown; `--json` has all.
_LISTED: Final = 5
#: Findings are told under each other. Columns.
_WIDE: Final = 28


@audit.command
def verify(
    *,
    known: str = "",
    checkpoint: Path | None = None,
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
    checkpoint
        A file with a checkpoint that you noted: the chain has to go on from it still.
    files
        Read all files; without it only the chain, the documents and the sidecars.
    as_json
        For scripts.
    """
    noted = [_read_checkpoint(checkpoint)] if checkpoint else []
    found = asyncio.run(_verify(known, noted, with_files=files, as_json=as_json))
    if as_json:
        findings = [{**asdict(each), "words": each.words} for each in found.findings]
        print_json({**asdict(found), "findings": findings})
    else:
        _sum_up(found, with_files=files)
    sys.exit(1 if found.findings else 0)


@audit.command
def show(subject: str | None = None, /, *, limit: int = 20, as_json: AsJson = False) -> None:
    """Show entries of the chain, the newest last. The exit code is 1 if there are none.

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
        sys.exit(0 if found else 1)
    if not found:
        of_what = f"about {subject}" if subject else "in the chain"
        raise NotFound(f"there is no entry {of_what}")
    rows = [row for facts in found if (row := _row(facts))]
    console().print(table(["entry", "at", "what", "about", "files or who", "hash"], rows))


@audit.command
def checkpoint() -> None:
    """Print the newest checkpoint: how many entries there are, their root, and its signature.

    It is a signed note (C2SP): keep it elsewhere, and hold the chain against it later, or with
    tools of others. The key for them is what `audit key` prints.
    """
    print(asyncio.run(_checkpoint()), end="")


@audit.command
def key() -> None:
    """Print the public key that checks checkpoints and sidecars, as verifiers of notes take it."""
    from egress_manager.wiring.audit import verifier_key_of

    print(verifier_key_of(load_settings()))


def _read_checkpoint(path: Path) -> Noted:
    try:
        return Noted(checkpoint_of(path.read_text(encoding="utf-8"))[0], str(path))
    except (OSError, ValueError) as error:
        raise BadRequest(f"{path} is no checkpoint: {error}") from None


async def _checkpoint() -> str:
    from egress_manager.wiring.audit import open_sealers

    async with open_sealers(load_settings(), makes_key=False) as doors:
        return await signed_end(doors)


async def _verify(known: str, noted: list[Noted], *, with_files: bool, as_json: bool) -> Audited:
    from egress_manager.wiring.audit import open_sealers

    async with open_sealers(load_settings(), makes_key=False) as doors:
        tell = (lambda finding: None) if as_json else _tell
        return await auditing.verify(
            doors, tell, with_files=with_files, known=known, checkpoints=noted
        )


async def _entries(subject: str | None, limit: int) -> list[Facts]:
    from egress_manager.wiring.audit import open_sealers

    async with open_sealers(load_settings(), makes_key=False) as doors:
        if subject is not None:
            return list(await doors.audit.history(subject))
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
    if found.downloads:
        line(f"{found.downloads} of the entries say who was given audio.")
    if found.elsewhere:
        line(f"{found.elsewhere} files are not on this host and were not looked at.")
    if found.waiting:
        line(f"{len(found.waiting)} documents wait for the service to seal them: they are new, or")
        line(f"it changed them since. {' '.join(found.waiting[:_LISTED])}")
    count = len(found.findings)
    line(f"{count} things are not as they were." if count else "All is as it was sealed.")
    _say_of_entries(found)
    line(f"The newest entry has the hash {found.newest or 'of none'}")


def _say_of_entries(found: Audited) -> None:
    """What is no finding, and worth a look."""
    if found.changed:
        line(f"{len(found.changed)} entries say that something was changed and not made again:")
        line(_listed(found.changed))
    if found.adopted:
        line(f"{len(found.adopted)} entries are about documents that an older version had written:")
        line(_listed(found.adopted))
    if not found.key:
        line("There is no signing key here: no signature was looked at, nor who wrote a document.")
        line("EGRESS_MANAGER_SIGNING_KEY has to name the file of the service's key.")
    if found.signed_from is None and found.entries:
        line("No entry is signed: the service signs new ones.")
    elif found.signed_from != 1 and found.entries:
        line(f"Entries are signed from {found.signed_from} on; it stands for those before it, too.")


def _listed(entries: list[tuple[int, str]]) -> str:
    """The newest of entries, by number, with what they are about."""
    return " ".join(f"{number} ({subject})" for number, subject in entries[-_LISTED:])


def _row(facts: Facts) -> list[str] | None:
    """An entry for people; None for what is none."""
    if is_download(facts):
        told = ("number", "at", "kind", "subject")
        who = f"{facts.get('principal')} at {facts.get('address')}: {facts.get('role')}"
        row = [str(facts.get(name, "")) for name in told]
        return [*row, who, str(facts.get("hash", ""))[:_SHORT]]
    entry = entry_of(facts)
    return None if entry is None else _row_of(entry)


def _row_of(entry: Entry) -> list[str]:
    return [
        str(entry.number),
        moment(entry.at),
        entry.kind.value,
        entry.content.subject,
        str(len(entry.content.files)),
        entry.hash[:_SHORT],
    ]

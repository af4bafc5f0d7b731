"""`egress-manager rebuild`: the database, restored from the sidecars beside the files."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from egress_manager.cli.plainly import Yes, line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import print_json
from egress_manager.domain.sidecars import Unreadable
from egress_manager.errors import BadRequest
from egress_manager.flows.audit import rebuild as rebuilding
from egress_manager.flows.audit.rebuild import Rebuilt
from egress_manager.flows.sharing.adoption import adopt_directory
from egress_manager.settings import load_settings


def rebuild(
    directory: Path,
    /,
    *,
    yes: Yes = False,
    accept_unsigned: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore calls, recordings and the audit chain from sidecars: shows what; does it with --yes.

    Nothing that the database has is overwritten; the directory of the settings belongs to their
    database then. Do it before the service is started, with its signing key in its place: a sidecar
    that the key did not sign is refused. The exit code is 1 if anything could not be restored as it
    was sealed.

    Parameters
    ----------
    directory
        Where the recordings and their sidecars are, with the folder `.sidecars`.
    yes
        Restore it.
    accept_unsigned
        Take sidecars without a signature as they are, which older versions wrote.
    as_json
        For scripts.
    """
    if not directory.is_dir():
        raise BadRequest(f"{directory} is no directory: name the one that has the recordings")
    found = asyncio.run(_rebuild(directory.absolute(), yes, accept_unsigned, as_json=as_json))
    if as_json:
        print_json({"done": yes, **asdict(found)})
    else:
        _sum_up(found, is_meant=yes)
    sys.exit(1 if found.troubles or found.missing else 0)


async def _rebuild(
    directory: Path, is_meant: bool, accepts_unsigned: bool, *, as_json: bool
) -> Rebuilt:
    from egress_manager.wiring.audit import open_rebuilding
    from egress_manager.wiring.beside import open_marks

    tell, settings = (lambda trouble: None) if as_json else _tell, load_settings()
    async with open_rebuilding(directory, settings, is_meant=is_meant) as (sidecars, doors):
        found = await rebuilding.rebuild(
            sidecars,
            doors,
            tell,
            is_meant=is_meant,
            accepts_unsigned=accepts_unsigned,
        )
    if is_meant and settings.recordings_dir.absolute() == directory:
        async with open_marks(settings) as marks:
            await adopt_directory(marks)
    return found


def _tell(trouble: Unreadable) -> None:
    line(f"{trouble.path}: {trouble.why}")


def _sum_up(found: Rebuilt, *, is_meant: bool) -> None:
    deed = "were restored" if is_meant else "would be restored"
    line(
        f"{found.recordings} recordings, {found.calls} calls and {found.entries} entries of the "
        f"audit chain {deed}; {found.known} documents were there already."
    )
    if found.unsigned:
        line(f"{found.unsigned} sidecars have no signature and were taken as they are.")
    for first, last in found.missing:
        line(f"No sidecar has entry {first}{f' to {last}' if last > first else ''} of the chain.")
    if found.troubles:
        line(f"{len(found.troubles)} times something was not as it should be.")
    if not is_meant and found.recordings + found.calls + found.entries:
        line("Nothing was changed. Do it with --yes.")

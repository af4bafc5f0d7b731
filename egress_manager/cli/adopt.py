"""`egress-manager adopt`: a database moves to another LiveKit, a directory to another database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

from cyclopts import App, Parameter

from egress_manager.cli.plainly import Yes, line
from egress_manager.domain.identity import DatabaseIdentity
from egress_manager.flows.sharing.adoption import Marks, adopt_directory, adopt_livekit
from egress_manager.settings import load_settings

adopt = App("adopt", help="Which LiveKit, database and recordings directory belong together.")

Deed = Callable[[Marks], Awaitable[DatabaseIdentity]]


@adopt.command
def livekit(*, also: Annotated[bool, Parameter(negative="")] = False, yes: Yes = False) -> None:
    """Give the database of the settings to their LiveKit; shows what, and does it with --yes.

    Stop all processes that work on the database first. Calls that still go on in the other LiveKit
    end in the database within a minute.

    Parameters
    ----------
    also
        It is the same LiveKit at one more address: the addresses that are known stay.
    yes
        Do it.
    """
    asyncio.run(_adopt(lambda marks: adopt_livekit(marks, also=also), is_meant=yes))


@adopt.command
def recordings(*, yes: Yes = False) -> None:
    """Give the recordings directory of the settings to their database; does it with --yes.

    Stop all processes that work on the directory first.

    Parameters
    ----------
    yes
        Do it.
    """
    asyncio.run(_adopt(adopt_directory, is_meant=yes))


async def _adopt(deed: Deed, *, is_meant: bool) -> None:
    from egress_manager.wiring.beside import open_marks

    async with open_marks(load_settings()) as marks:
        await _show(marks, await marks.identities.read())
        if not is_meant:
            line("Nothing was changed. Do it with --yes.")
            return
        after = await deed(marks)
        line("")
        await _show(marks, after)


async def _show(marks: Marks, identity: DatabaseIdentity) -> None:
    known = identity.livekit
    line(f"database {marks.name}, id {identity.id}")
    line(f"  belongs to LiveKit at {' and '.join(known.addresses) if known else '(none yet)'}")
    line(f"  LiveKit of the settings: {marks.livekit.own.addresses[-1]}")
    line(f"recordings directory {marks.directory.path}")
    owner = await marks.directory.owner("")
    line(f"  belongs to the database with the id {owner or '(none yet)'}")

"""`egress-manager migrate files | undo --yes` that is killed after so many steps, by itself.

    python -m tests.integration.mortal_migration files 30

A step is a verb of a store, of the ledger or of the shelf: going in is one, coming out another. It
ends with 0 when it came to its end before its life did.
"""

import asyncio
import os
import signal
import sys

from egress_manager.flows.migration import files
from egress_manager.settings import load_settings
from egress_manager.wiring.beside import open_movers
from tests.unit.migration.mortal import Life, mortal


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(deed: str, steps: int) -> None:
    """The command, with doors that kill."""
    async with open_movers(load_settings()) as movers:
        doors = mortal(movers, Life(steps, end=_killed))
        if deed == "files":
            await files.move("rooms", doors, lambda outcome: None)
        else:
            await files.undo(doors, lambda outcome: None)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

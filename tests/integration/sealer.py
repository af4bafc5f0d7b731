"""Seals whatever waits for it, in a process of its own, by the settings of its environment.

python -m tests.integration.sealer
"""

import asyncio

from egress_manager.flows.audit.seal import Sealing
from egress_manager.settings import load_settings
from egress_manager.wiring.audit import open_sealers


async def main() -> None:
    """Turn after turn, until nothing waits."""
    async with open_sealers(load_settings()) as doors:
        sealing = Sealing()
        while await sealing.turn(doors):
            pass


if __name__ == "__main__":
    asyncio.run(main())

"""How the parts of the system are."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from egress_manager.api.recent import Recent
from egress_manager.errors import EgressManagerError

log = logging.getLogger(__name__)

#: How long one part may take to say how it is. Seconds.
TIMEOUT: Final = 2.0

#: Looks at one part of the system: returns how it is in a few words, raises where it is ill.
HealthCheck = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """How one part is."""

    ok: bool
    detail: str


class Probe:
    """Asks the parts, at most once a second: that costs a write, a query and a call to LiveKit."""

    def __init__(self) -> None:
        self._recent: Recent[dict[str, Part]] = Recent()

    async def look(self, checks: Mapping[str, HealthCheck]) -> Mapping[str, Part]:
        """How every part is, or was within the last second."""
        return await self._recent.get(partial(_ask, checks))


async def _ask(checks: Mapping[str, HealthCheck]) -> dict[str, Part]:
    parts = await asyncio.gather(*(_part(check) for check in checks.values()))
    return dict(zip(checks, parts, strict=True))


async def _part(check: HealthCheck) -> Part:
    """How one part is; whatever goes wrong in asking is its illness."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return Part(ok=True, detail=await check())
    except EgressManagerError as error:
        return Part(ok=False, detail=str(error) or error.code)
    except TimeoutError:
        return Part(ok=False, detail=f"no answer within {TIMEOUT:g} s")
    except Exception as error:
        log.exception("health_check_failed")
        return Part(ok=False, detail=type(error).__name__)

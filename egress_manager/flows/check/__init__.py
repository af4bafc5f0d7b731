"""Go through the checklist: one result after the other, and never the end at the first failure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from egress_manager.domain import checks
from egress_manager.domain.checks import CHECKS, Check, Checked, Result
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import EgressManagerError
from egress_manager.flows.check import call, house, livekit
from egress_manager.flows.check.doors import CheckDoors

#: Looks at one thing. Raises `CheckFailed` where it is wrong.
Verb = Callable[[CheckDoors], Awaitable[Result]]

#: What each check does, by its name.
VERBS: Final[Mapping[str, Verb]] = {
    "settings": house.settings,
    "livekit": livekit.answers,
    "key": livekit.knows_the_key,
    "clock": livekit.agrees_on_the_time,
    "dispatch_rules": livekit.shows_dispatch_rules,
    "redis": house.redis,
    "mongodb": house.mongodb,
    "directory": house.directory,
    "space": house.space,
    "bucket": house.bucket,
    "service": house.service,
    "health": house.health,
    "api_key": house.api_key,
    "webhook": livekit.sends_webhooks,
    "egress": livekit.has_egress,
    "call": call.is_recorded,
}


async def run(
    doors: CheckDoors, verbs: Mapping[str, Verb] = VERBS, checklist: Sequence[Check] = CHECKS
) -> AsyncIterator[Checked]:
    """Every check with its result, as soon as it is known."""
    found: dict[str, Result] = {}
    for check in checklist:
        result = checks.unmet(check, found) or await _result(check, verbs[check.name], doors)
        found[check.name] = result
        yield Checked(check, result)


async def _result(check: Check, verb: Verb, doors: CheckDoors) -> Result:
    """What a verb finds; whatever goes wrong is a result, too."""
    try:
        async with asyncio.timeout(check.timeout):
            return await verb(doors)
    except CheckFailed as error:
        return checks.wrong(error)
    except TimeoutError:
        return checks.wrong(CheckFailed(Trouble.TOO_SLOW, seconds=check.timeout))
    except EgressManagerError as error:
        return checks.wrong(CheckFailed(Trouble.UNEXPECTED, why=str(error) or error.code))
    except Exception as error:
        return checks.wrong(CheckFailed(Trouble.UNEXPECTED, why=type(error).__name__))

"""Going through the checklist, whatever happens on the way."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from egress_manager.domain.checks import CHECKS, Outcome, Result, ok
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import StorageFailed
from egress_manager.flows.check import VERBS, Verb, run

#: Nobody goes through them here.
DOORS: Any = None


async def is_well(_: Any) -> Result:
    """Nothing is wrong."""
    return ok("well")


def failing(error: Exception) -> Verb:
    """A verb that meets this."""

    async def fail(_: Any) -> Result:
        raise error

    return fail


async def found(*, timeout: float | None = None, **verbs: Verb) -> Mapping[str, Result]:
    """What is found where all is well but for these; nothing may take longer than `timeout`."""
    all_well: dict[str, Verb] = dict.fromkeys(VERBS, is_well)
    checklist = [replace(each, timeout=timeout or each.timeout) for each in CHECKS]
    checked = run(DOORS, all_well | verbs, checklist)
    return {each.check.name: each.result async for each in checked}


def test_every_check_has_a_verb() -> None:
    """And no verb is left over."""
    assert list(VERBS) == [each.name for each in CHECKS]


async def test_all_is_well() -> None:
    """Every check is carried out, in order."""
    findings = await found()

    assert list(findings) == list(VERBS)
    assert set(findings.values()) == {ok("well")}


async def test_a_failure_hides_nothing_that_does_not_need_it() -> None:
    """What needs it is skipped and says so; the rest is looked at."""
    findings = await found(livekit=failing(CheckFailed(Trouble.LIVEKIT_SILENT, url="ws://h")))

    by_outcome = {
        outcome: {name for name, each in findings.items() if each.outcome is outcome}
        for outcome in Outcome
    }
    assert by_outcome[Outcome.FAILED] == {"livekit"}
    skipped = {"key", "clock", "dispatch_rules", "webhook", "egress", "call"}
    assert by_outcome[Outcome.SKIPPED] == skipped
    assert findings["call"].words == "needs this first: LiveKit knows the API key"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StorageFailed("/r can't be written"), "/r can't be written"),
        (RuntimeError("a secret"), "RuntimeError"),
    ],
)
async def test_what_nobody_foresaw_is_a_finding_too(error: Exception, words: str) -> None:
    """Words that may hold secrets are not repeated."""
    findings = await found(space=failing(error))

    assert findings["space"].trouble is Trouble.UNEXPECTED
    assert findings["space"].words == words
    assert findings["health"] == ok("well")


async def test_a_check_that_hangs_ends_in_time() -> None:
    """Those behind it have their turn."""

    async def hang(_: Any) -> Result:
        await asyncio.Event().wait()
        return ok("never")

    findings = await found(timeout=0.5, redis=hang)

    assert findings["redis"].trouble is Trouble.TOO_SLOW
    assert findings["mongodb"] == ok("well")

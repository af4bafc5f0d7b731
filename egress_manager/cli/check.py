"""`egress-manager check`: the checklist, against everything that runs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.text import Text

from egress_manager.cli.service import HERE, Failed, KeyRefused, Service, ask, get, said_in
from egress_manager.cli.tables import console, harmless, print_json
from egress_manager.domain import checks
from egress_manager.domain.checks import Checked, Outcome
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.errors import SettingsWrong
from egress_manager.settings import load_settings

_STYLES: Final[Mapping[Outcome, str]] = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAILED: "bold red",
    Outcome.SKIPPED: "dim",
}
#: How wide the first two columns are.
_OUTCOME_WIDTH: Final = max(len(outcome) for outcome in Outcome) + 2
_TITLE_WIDTH: Final = max(len(check.title) for check in checks.CHECKS) + 2


def check(
    *,
    call: Annotated[bool, Parameter(negative="--no-call")] = True,
    service: Service = HERE,
) -> None:
    """Go through the checklist: is everything there that recording needs, and does it record?

    Run it where the service runs, with its settings and as its user, while it runs.
    Ends with 0 if nothing failed, else with 1.

    Parameters
    ----------
    call
        Place a test call of a few seconds; its recording stays.
    """
    checked = asyncio.run(_check(service, with_call=call))
    if service.as_json:
        print_json(
            {"ok": not checks.is_failure(checked), "checks": [_facts(each) for each in checked]}
        )
    sys.exit(1 if checks.is_failure(checked) else 0)


async def _check(service: Service, *, with_call: bool) -> Sequence[Checked]:
    """Everything that was found; printed as it is found, unless it is for scripts."""
    checked: list[Checked] = []
    async for each in _checks(service, with_call=with_call):
        checked.append(each)
        if not service.as_json:
            _show(each)
    return checked


async def _checks(service: Service, *, with_call: bool) -> AsyncIterator[Checked]:
    try:
        settings = load_settings()
    except SettingsWrong as error:
        for each in checks.without_settings(str(error)):
            yield each
        return
    from egress_manager.flows.check import run
    from egress_manager.wiring.beside import open_checks

    async with open_checks(settings, Running(service), with_call=with_call) as doors:
        async for each in run(doors):
            yield each


class Running:
    """The running service, as checks ask it (`flows.check.doors.Service`)."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.url = service.url.rstrip("/")

    async def is_there(self) -> None:
        """Whether Egress Manager answers. Raises `CheckFailed`."""
        try:
            answer = await asyncio.to_thread(get, self._service, "/health/live", {})
            said_in(answer, self._service)
        except Failed as error:
            raise CheckFailed(Trouble.SERVICE_AWAY, why=str(error)) from error

    async def health(self) -> Mapping[str, Any]:
        """What it says of itself, be it well or ill."""
        answer = await asyncio.to_thread(get, self._service, "/health", {})
        said: Mapping[str, Any] = said_in(answer, self._service)
        return said

    async def newest(self, path: str, room_name: str) -> Mapping[str, Any] | None:
        """The newest of a list in that room, or None. Raises `CheckFailed`."""
        where = {"room_name": room_name, "limit": 1}
        try:
            found = await asyncio.to_thread(ask, self._service, path, where)
        except KeyRefused as error:
            raise CheckFailed(Trouble.API_KEY_REFUSED, why=str(error)) from error
        return next(iter(found["items"]), None)

    async def audio(self, recording_id: str) -> bytes:
        """The mix."""
        path = f"/recordings/{recording_id}/audio"
        answer = await asyncio.to_thread(get, self._service, path, {})
        if not answer.is_success:
            why = f"the service answered {answer.status_code}"
            raise CheckFailed(Trouble.CALL_NOT_FINISHED, recording=recording_id, why=why)
        return answer.content


def _facts(checked: Checked) -> Mapping[str, object]:
    result = checked.result
    return {
        "check": checked.check.name,
        "title": checked.check.title,
        "outcome": result.outcome,
        "words": result.words,
        "trouble": result.trouble,
        "remedy": result.remedy,
    }


def _show(checked: Checked) -> None:
    """One line, and below it the remedy where there is one."""
    result = checked.result
    line = Text(result.outcome.ljust(_OUTCOME_WIDTH), style=_STYLES[result.outcome])
    line.append(checked.check.title.ljust(_TITLE_WIDTH), style="default not bold")
    line.append(_indented(result.words.splitlines()), style="default not bold")
    console().print(line, soft_wrap=True)
    if result.remedy:
        console().print(
            Text(" " * _OUTCOME_WIDTH + "-> " + harmless(result.remedy)), soft_wrap=True
        )


def _indented(lines: Iterable[str]) -> str:
    """Further lines stand below the first."""
    return ("\n" + " " * (_OUTCOME_WIDTH + _TITLE_WIDTH)).join(map(harmless, lines))

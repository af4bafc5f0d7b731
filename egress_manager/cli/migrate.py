"""`egress-manager migrate`: new names for the files of recordings that are there already."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from cyclopts import App

from egress_manager.cli.plainly import Yes, line
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import print_json
from egress_manager.domain.moves import REASONS, LeftAlone, Renaming
from egress_manager.domain.naming import check_pattern
from egress_manager.errors import BadRequest
from egress_manager.flows.migration import files as moving
from egress_manager.flows.migration.files import Outcome
from egress_manager.settings import load_settings

migrate = App("migrate", help="Give files of recordings that are there already new names.")

#: No need to be told of every single recording.
_ONLY_COUNTED: Final = frozenset({"in_place", "no_files"})

#: How far it is, is said after so many recordings.
_SAY_EVERY: Final = 1000


@migrate.command
def files(*, to: str = "rooms", yes: Yes = False, as_json: AsJson = False) -> None:
    """Move files to the names they would have: shows what would be moved; moves it with --yes.

    Run it on the service's host, as its user; the service may go on running meanwhile. A run that
    was interrupted is finished by the same command.

    Parameters
    ----------
    to
        `rooms`, `flat`, or a pattern as in EGRESS_MANAGER_NAMING.
    yes
        Move them.
    as_json
        For scripts.
    """
    try:
        check_pattern(to)
    except ValueError as error:
        raise BadRequest(f"--to can't be used: {error}") from None
    asyncio.run(_files(to, is_meant=yes, account=Account(as_json)))


@migrate.command
def undo(run: str | None = None, /, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take a run back: shows what would be moved; moves it with --yes.

    Parameters
    ----------
    run
        What is to be taken back, as `files` named it; the last where none is named.
    yes
        Move them.
    as_json
        For scripts.
    """
    asyncio.run(_undo(run, is_meant=yes, account=Account(as_json)))


@dataclass(slots=True)
class Account:
    """What became of each recording; said at once to people, kept for scripts."""

    as_json: bool
    moved: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, outcome: Outcome) -> None:
        """One recording more."""
        self.counts["seen"] += 1
        if self.counts["seen"] % _SAY_EVERY == 0:
            print(f"{self.counts['seen']} recordings so far", file=sys.stderr)
        if isinstance(outcome, LeftAlone):
            self._leave(outcome)
        else:
            self._move(outcome)

    def _move(self, change: Renaming) -> None:
        self.counts["moved"] += 1
        self.counts["files"] += len(change.moves)
        if self.as_json:
            pairs = [{"from": old, "to": new} for old, new in change.moves]
            self.moved.append({"recording_id": change.recording_id, "files": pairs})
            return
        for old, new in change.moves:
            line(old)
            line(f"  -> {new}")

    def _leave(self, left: LeftAlone) -> None:
        self.counts[left.why] += 1
        if left.why in _ONLY_COUNTED:
            return
        if self.as_json:
            self.left.append({"recording_id": left.recording_id, "why": left.why})
        else:
            line(f"{left.recording_id} stays: {REASONS[left.why]}")

    def close(self, *, is_done: bool, run: str = "") -> None:
        """Say how it went."""
        counts = {"recordings": self.counts["moved"], "files": self.counts["files"]}
        if self.as_json:
            stay = {why: self.counts[why] for why in REASONS if self.counts[why]}
            facts = {"done": is_done, "run": run or None, **counts, "stay": stay}
            print_json({**facts, "moved": self.moved, "left_alone": self.left})
            return
        for why in REASONS:
            if self.counts[why]:
                line(f"{self.counts[why]} stay: {REASONS[why]}")
        deed = "were moved" if is_done else "would be moved"
        line(f"{counts['files']} files of {counts['recordings']} recordings {deed}.")
        if counts["recordings"] and not is_done:
            line("Nothing was changed. Do it with --yes.")
        if run:
            line(f"`egress-manager migrate undo {run}` takes it back.")


async def _files(pattern: str, *, is_meant: bool, account: Account) -> None:
    from egress_manager.wiring.beside import open_movers

    settings = load_settings()
    async with open_movers(settings) as movers:
        if not is_meant:
            await _surveyed(moving.survey(pattern, movers), account)
            return
        run = await moving.move(pattern, movers, account.take)
        account.close(is_done=True, run=run)
    if check_pattern(pattern) != check_pattern(settings.naming) and not account.as_json:
        line(f"New recordings go on being named by EGRESS_MANAGER_NAMING={settings.naming}.")


async def _undo(run: str | None, *, is_meant: bool, account: Account) -> None:
    from egress_manager.wiring.beside import open_movers

    async with open_movers(load_settings()) as movers:
        if not is_meant:
            await _surveyed(moving.survey_undo(movers, run), account)
            return
        await moving.undo(movers, account.take, run)
        account.close(is_done=True)


async def _surveyed(found: AsyncIterator[Outcome], account: Account) -> None:
    async for outcome in found:
        account.take(outcome)
    account.close(is_done=False)

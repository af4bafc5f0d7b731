"""A stage in another process, and what happens on it.

parts = [Part(room="call-1", number="+15550100", lines=(Line(sound="chirp:5"),))]
async with Stage(livekit, parts) as stage:
    await stage.reached("answered", who="sip_+15550100")
    await stage.over()
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from lab import discretion, programs
from lab.plans import Address, Part, Plan
from lab.processes import Server, ServerFailed
from lab.tokens import Rooms, sip_port

_WAIT_TIMEOUT = 30.0
Report = dict[str, Any]


class Stage(Server):
    """Plays as soon as it is entered; `kill()` makes everybody vanish without a good-bye."""

    name = "stage"

    def __init__(self, rooms: Rooms, parts: Iterable[Part]) -> None:
        super().__init__()
        address = Address(rooms.url, rooms.api_key, rooms.api_secret, sip_port(rooms))
        self._plan = Plan(address, tuple(parts))
        for part in self._plan.parts:
            discretion.concerns(part.room, part.who, part.number)

    def command(self) -> list[str]:
        file = self.directory / "plan.json"
        file.write_text(self._plan.to_json())
        return [sys.executable, "-m", "lab.stage", str(file)]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(programs.ROOT)}

    async def answers(self) -> bool:
        return self.first("began") is not None

    @property
    def reports(self) -> list[Report]:
        """What has happened so far: dicts with `who`, `room`, `what`, `at` and more."""
        lines = self.log.read_text(errors="replace").splitlines(keepends=True)
        # The SDK writes its warnings beside; a line without an end is not written yet.
        return [json.loads(line) for line in lines if line[0] == "{" and line[-1] == "\n"]

    def all(self, what: str, who: str | None = None) -> list[Report]:
        """All reports of that name, of one participant or of all."""
        return [
            report
            for report in self.reports
            if report["what"] == what and who in (None, report.get("who"))
        ]

    def first(self, what: str, who: str | None = None) -> Report | None:
        return next(iter(self.all(what, who)), None)

    async def reached(
        self, what: str, *, who: str | None = None, times: int = 1, timeout: float = _WAIT_TIMEOUT
    ) -> Report:
        """Wait until it was reported so many times; returns the last of these reports."""

        async def enough() -> bool:
            return len(self.all(what, who)) >= times or self._is_hopeless()

        await self._until(enough, timeout, f"report {what!r}")
        reports = self.all(what, who)
        if len(reports) < times:
            raise ServerFailed(f"the play ended without {what!r}:\n{self.log_tail()}")
        return reports[times - 1]

    async def over(self, timeout: float = _WAIT_TIMEOUT) -> list[Report]:
        """Wait for the end and return all reports; raises when a part failed."""
        await self._until(self._has_ended, timeout, "end")
        if failed := self.all("failed") or self.first("over") is None:
            raise ServerFailed(f"the play failed: {failed}\n{self.log_tail()}")
        return self.reports

    def _is_hopeless(self) -> bool:
        return not self.is_running

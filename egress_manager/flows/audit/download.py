"""Whoever is given audio is noted in the chain first: no entry, no audio."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from egress_manager.domain.downloads import Download, Listeners, facts_of_download
from egress_manager.errors import ChainBroken, Conflict, StorageFailed
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.extend import end_of, extend

log = logging.getLogger(__name__)

#: Others who add to the chain at the same time are let by so often.
ROUNDS: Final = 100


@dataclass(slots=True)
class Downloads:
    """Notes downloads, and remembers who is listening."""

    doors: Sealers
    listeners: Listeners = field(default_factory=Listeners)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def note(self, download: Download) -> None:
        """Add an entry, unless the same was noted a moment ago.

        Raises `StoreUnavailable`, `StorageFailed`, `Conflict`. A chain that somebody broke
        keeps nobody from listening: the log has who it was.
        """
        if not self.listeners.are_new(download, self.doors.clock.now()):
            return
        async with self.lock:  # the parts of a file are asked for at once: one of them is noted
            now = self.doors.clock.now()
            if self.listeners.are_new(download, now):
                await self._note(download)
                self.listeners.note(download, now)

    async def _note(self, download: Download) -> None:
        try:
            entry = await self._append(download)
        except ChainBroken as error:
            log.error("download_not_sealed", extra={**_told(download), "why": str(error)})
            return
        try:
            await self.doors.sidecars.add_download(entry)
        except StorageFailed as error:  # the chain has it
            log.warning("download_not_on_disk", extra={"entry": entry["number"], "why": str(error)})
        log.info("downloaded", extra={**_told(download), "entry": entry["number"]})

    async def _append(self, download: Download) -> dict[str, object]:
        for _ in range(ROUNDS):
            end = await end_of(self.doors)
            facts = facts_of_download(download, self.doors.clock.now())
            try:
                return dict(await extend(end, facts, self.doors))
            except Conflict:
                continue
        raise Conflict("too many are adding to the chain at once")


def _told(download: Download) -> dict[str, str]:
    """Who was given what, for the log."""
    return {
        "recording": download.recording_id,
        "role": download.role,
        "pii.principal": download.principal,
        "pii.address": download.address,
    }

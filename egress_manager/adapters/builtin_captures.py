"""The captures on this host's disk (port `Captures`)."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from egress_manager.domain.captures import SETTLED
from egress_manager.domain.incoming import News
from egress_manager.domain.retelling import retell
from egress_manager.recorder import journal


class DiskCaptures:
    """Every directory below `directory` is a capture."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._settled: set[str] = set()  # they are many, and stay so

    async def left_behind(self) -> Sequence[str]:
        return await asyncio.to_thread(self._left_behind)

    async def retell(self, capture_id: str) -> Sequence[News]:
        return await asyncio.to_thread(self._retell, capture_id)

    async def settle(self, capture_id: str) -> None:
        await asyncio.to_thread(journal.settle, self._directory / capture_id)

    def _left_behind(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        names = set(os.listdir(self._directory))
        self._settled &= names
        self._settled |= {
            name for name in names - self._settled if (self._directory / name / SETTLED).exists()
        }
        return sorted(
            name
            for name in names - self._settled
            if (self._directory / name).is_dir() and not journal.is_held(self._directory / name)
        )

    def _retell(self, capture_id: str) -> list[News]:
        directory = self._directory / capture_id
        journal.close_left_behind(directory, journal.read_story(directory))
        return list(retell(capture_id, journal.read_journal(directory)))

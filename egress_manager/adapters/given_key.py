"""The API key where the settings give one (port `Keys`): it is stored nowhere."""

from datetime import datetime

from egress_manager.domain.access import fingerprint
from egress_manager.errors import Conflict


class GivenKey:
    """`Keys` with the one key of the settings, which only the settings can change."""

    def __init__(self, key: str) -> None:
        self._fingerprint = fingerprint(key)

    async def fingerprint(self) -> str | None:
        return self._fingerprint

    async def keep_first(self, fingerprint: str, at: datetime) -> bool:
        return False

    async def replace(self, fingerprint: str, at: datetime) -> None:
        raise Conflict("EGRESS_MANAGER_API_KEY gives the key: change it there, or remove it")

"""The stores stay closed until it is known that the database is that of this LiveKit.

While they are closed, all is as if MongoDB were away: captures begin and go on, nothing is written
and so no call is ended. A MongoDB that is really away at the start changes nothing of that.
"""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from egress_manager.domain.identity import (
    DatabaseIdentity,
    LiveKitIdentity,
    of_another_database,
    of_another_livekit,
)
from egress_manager.errors import LiveKitRefused, LiveKitUnavailable, SettingsWrong
from egress_manager.flows.sharing.adoption import Marks

log = logging.getLogger(__name__)

#: Why the stores are closed before anything is known.
UNDECIDED: Final = "it is not known yet which LiveKit and which directory the database belongs to"

#: What speaks against a LiveKit.
KEY_UNKNOWN: Final = "the LiveKit of these settings does not know the key that was used before"
NOT_THE_SAME: Final = "a room that is opened here is not listed there"

#: How often who waits looks, in seconds.
_LOOK: Final = 0.02


@dataclass(slots=True)
class Guard:
    """Compares marks; `look` is to be called again and again.

    `why` says why the stores are closed, and is empty while they are open. `known` is the mark that
    fitted last, `refused` one that did not: until it changes, nobody is asked again.
    """

    marks: Marks
    why: str = UNDECIDED
    known: DatabaseIdentity | None = None
    refused: DatabaseIdentity | None = None

    def reason(self) -> str:
        """Why the stores are closed now; empty while they are open."""
        return self.why

    @property
    def refusal(self) -> str:
        """The sentence for the operator; empty where nothing speaks against this process."""
        return self.why if self.refused else ""

    async def look(self) -> None:
        """Compare once, and open or close the stores. Raises `StoreUnavailable`."""
        identity = await self.marks.identities.read(self.known)
        if identity == self.refused:
            return
        try:
            await self._compare(identity)
        except SettingsWrong as error:
            self.why, self.refused = str(error), identity
            log.error("database_refused", extra={"why": self.why})
            return
        except (LiveKitUnavailable, LiveKitRefused):
            # A new database has nothing that could be mistaken for this LiveKit's.
            self.why, self.refused = UNDECIDED if identity.livekit else "", None
            return
        self.why, self.refused = "", None

    async def settle(self, seconds: float) -> None:
        """Wait so long, at most, until it is decided."""
        for _ in range(int(seconds / _LOOK)):
            if self.why != UNDECIDED:
                return
            await asyncio.sleep(_LOOK)

    async def _compare(self, identity: DatabaseIdentity) -> None:
        """Leave marks where there are none. Raises `SettingsWrong` where one does not fit."""
        await _check_directory(self.marks, identity)
        self.known = identity
        own, known = self.marks.livekit.own, identity.livekit
        is_key_new = known is None or known.credential != own.credential
        if is_key_new and not await self.marks.livekit.knows(own.credential):
            raise LiveKitRefused("the API key")
        if known is None:
            self.known = await self.marks.identities.save(identity, own)
            known = self.known.livekit or own
        await self._prove(known, own)
        if known.with_(own) != known:
            await self.marks.identities.save(replace(identity, livekit=known), known.with_(own))

    async def _prove(self, known: LiveKitIdentity, own: LiveKitIdentity) -> None:
        """Whether it is the same LiveKit. Raises `SettingsWrong` where that can't be proven."""
        is_key_known = known.credential == own.credential
        if not is_key_known and not await self.marks.livekit.knows(known.credential):
            raise SettingsWrong(of_another_livekit(self.marks.name, known, own, KEY_UNKNOWN))
        if known.is_at(own.addresses[-1]):
            return
        for address in reversed(known.addresses):
            if await self.marks.livekit.is_reached_at(address):
                return
        raise SettingsWrong(of_another_livekit(self.marks.name, known, own, NOT_THE_SAME))


async def check_directory(marks: Marks) -> None:
    """For commands: compare the directory's mark, if it has one, and leave none.

    Raises `SettingsWrong` where it is another database's, `StoreUnavailable`.
    """
    _expect(marks, (await marks.identities.read()).id, await marks.directory.owner(""))


async def _check_directory(marks: Marks, identity: DatabaseIdentity) -> None:
    """Leave a mark in a directory that has none. Raises `SettingsWrong` at another one."""
    _expect(marks, identity.id, await marks.directory.owner(identity.id))


def _expect(marks: Marks, own: str, owner: str) -> None:
    if owner and owner != own:
        raise SettingsWrong(of_another_database(marks.directory.path, marks.name, owner, own))

"""How to get into rooms, and where what is kept goes: what every attendance is given."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from egress_manager.domain.captures import Entry, ParticipantChanged
from egress_manager.domain.quotas import Shelf
from egress_manager.recorder.knocking import Turns


@dataclass(frozen=True, slots=True)
class Door:
    """The server (ws or wss), tokens for it, and where captures are kept.

    `token(room_name, identity)` makes a capture's token. `is_caller` says for whom a capture runs.
    `hear(capture_id, entry)` is told every entry of every journal. Seconds: `sync_interval`, and
    `rotate_after`, when a capture that goes on and on is followed by another. `place` is part of
    the captures' ids, if it is given. `turns` are those of all rooms of this process, and so is
    the `shelf` with what is left of participants' quotas. Rooms that are joined again have
    `turns_back` of their own: a call that begins does not wait behind hundreds of them.
    """

    session: aiohttp.ClientSession
    url: str
    token: Callable[[str, str], str]
    captures_dir: Path
    is_caller: Callable[[ParticipantChanged], bool]
    hear: Callable[[str, Entry], None]
    sync_interval: float = 2.0
    rotate_after: float = 3600.0
    place: str = ""
    turns: Turns = field(default_factory=Turns)
    turns_back: Turns = field(default_factory=Turns)
    shelf: Shelf = field(default_factory=Shelf)

    def make_pass(self, room_name: str) -> tuple[str, str]:
        """An identity for one attempt to join the room, and its token."""
        identity = f"recorder-{secrets.token_hex(6)}"
        return identity, self.token(room_name, identity)

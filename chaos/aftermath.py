"""What is there when all is quiet again: values only, for `invariants` to judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chaos.calls import Told

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault as it really was: from and to, seconds since 1970; `blinds` as its row says."""

    fault: str
    began: float
    healed: float
    blinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Heard:
    """How alike a word and the best place of a recording's side are, and the best place but one."""

    recording_id: str
    word: str
    score: float
    again: float


@dataclass(frozen=True, slots=True)
class Kept:
    """A capture on the disk: how many seconds of sound are in it, and whether it is settled."""

    capture_id: str
    seconds: float
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Everything that is left.

    `witnessed` are the identities of callers of whom livekit-server's own webhooks told.
    `present` are participants still in rooms, `handles` open files of ours, `files` those that no
    recording accounts for, `processes` ours that outlived their parent, `deaths` servers that
    ended by themselves.
    """

    calls: Sequence[Told]
    witnessed: frozenset[str]
    struck: Sequence[Struck]
    lines: Sequence[Facts]
    recordings: Sequence[Facts]
    captures: Sequence[Kept]
    heard: Sequence[Heard]
    present: Sequence[str] = ()
    handles: Sequence[str] = ()
    files: Sequence[str] = ()
    processes: Sequence[str] = ()
    deaths: Sequence[str] = field(default=())

    def recordings_of(self, identity: str) -> list[Facts]:
        """The recordings of a caller's call."""
        return [each for each in self.recordings if each["identity"] == identity]


def moment(text: str) -> float:
    """A time of the API in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()

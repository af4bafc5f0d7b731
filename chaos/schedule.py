"""Which faults strike at which stage of a call: drawn from a seed, or said in words."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

#: One process of ours does everything; LiveKit Egress records; the API, the jobs and two recorders
#: are processes of their own, with a Redis.
BUILTIN, EGRESS, SEVERAL = HOUSES = ("builtin", "egress", "several")
#: Of so many random schedules one is of each of the other houses.
_OTHER_EVERY: Final = 4
#: So many faults strike in a random run.
_STRIKES: Final = 2


class Stage(StrEnum):
    """The stages of a call, in order."""

    RINGING = "ringing"
    ANSWERED = "answered"
    TALKING = "talking"
    MUTED = "muted"
    HUNG_UP = "hung-up"
    RENDERING = "rendering"
    VERIFYING = "verifying"


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault, by its name, that begins when the first call reaches a stage."""

    fault: str
    stage: Stage

    def __str__(self) -> str:
        return f"{self.fault}@{self.stage}"

    @classmethod
    def read(cls, text: str) -> Self:
        """What `str` made; raises `ValueError` where there is no such stage."""
        fault, _, stage = text.partition("@")
        return cls(fault, Stage(stage))


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that chance decides in a run; `house` is one of `HOUSES`."""

    strikes: tuple[Strike, ...]
    house: str = BUILTIN
    seed: int = 1

    def __str__(self) -> str:
        where = "" if self.house == BUILTIN else f" ({self.house})"
        return " ".join(map(str, self.strikes)) + where

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m chaos run {' '.join(self.words)}"

    @property
    def words(self) -> list[str]:
        """The arguments of `run` that mean it."""
        strikes = [str(strike) for strike in self.strikes]
        return [*strikes, "--house", self.house, "--seed", str(self.seed)]


def drawn(seed: int, fits: Mapping[str, Collection[str]]) -> Schedule:
    """The random schedule of a seed; `fits` names the houses that each fault is one for."""
    chance = random.Random(seed)
    house = EGRESS if chance.randrange(_OTHER_EVERY) == 0 else BUILTIN
    if house == BUILTIN and random.Random(f"several {seed}").randrange(_OTHER_EVERY) == 0:
        house = SEVERAL
    faults = chance.sample(
        sorted(name for name, houses in fits.items() if house in houses), _STRIKES
    )
    strikes = (Strike(fault, chance.choice(list(Stage))) for fault in faults)
    return Schedule(tuple(strikes), house, seed)

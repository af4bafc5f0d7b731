"""Which faults strike at which stage of a call: drawn from a seed, or said in words."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

#: Of so many random schedules one is recorded by LiveKit Egress.
_EGRESS_EVERY: Final = 4
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
    """Everything that chance decides in a run; `engine` is who records."""

    strikes: tuple[Strike, ...]
    engine: str = "builtin"
    seed: int = 1

    def __str__(self) -> str:
        return " ".join(map(str, self.strikes)) + (
            f" ({self.engine})" if self.engine != "builtin" else ""
        )

    @property
    def command(self) -> str:
        """What repeats it."""
        return f"python -m chaos run {' '.join(self.words)}"

    @property
    def words(self) -> list[str]:
        """The arguments of `run` that mean it."""
        strikes = [str(strike) for strike in self.strikes]
        return [*strikes, "--engine", self.engine, "--seed", str(self.seed)]


def drawn(seed: int, engines: Mapping[str, str]) -> Schedule:
    """The random schedule of a seed; `engines` names each fault and the engine it needs, or ""."""
    chance = random.Random(seed)
    engine = "egress" if chance.randrange(_EGRESS_EVERY) == 0 else "builtin"
    fit = sorted(name for name, needed in engines.items() if needed in ("", engine))
    faults = chance.sample(fit, _STRIKES)
    strikes = (Strike(fault, chance.choice(list(Stage))) for fault in faults)
    return Schedule(tuple(strikes), engine, seed)

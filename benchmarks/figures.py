"""A figure that was measured, its target, and under what circumstances it came about."""

import json
import os
import platform
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number; `at_most` or `at_least` is its target, in the same unit.

    `beside` are the raw figures that it was made of.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured and how: `method` is a sentence, `measure(quick=…)` yields the figures.

    `binds`: its targets are about what is right, and no machine excuses that one is missed.
    """

    method: str
    measure: Callable[..., AsyncIterator[Figure]]
    binds: bool = False

    def broken(self, figures: Iterable[Figure]) -> list[str]:
        """The names of those figures that miss a target which binds."""
        return [figure.name for figure in figures if self.binds and figure.is_met is False]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    cores: int
    cpu: str
    python: str
    kernel: str

    @classmethod
    def here(cls) -> "Machine":
        """This one."""
        return cls(os.cpu_count() or 1, _cpu_model(), platform.python_version(), platform.release())

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.cpu}, Python {self.python}, {platform.system()} "
            f"{self.kernel}"
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its circumstances. `load`: the machine's 1-minute average as it began."""

    benchmark: str
    figure: Figure
    command: str
    machine: str
    load: float
    at: str

    @property
    def is_quick(self) -> bool:
        return "--quick" in self.command

    @property
    def key(self) -> tuple[str, str]:
        """What a newer measurement of the same replaces."""
        return self.benchmark, self.figure.name

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"is_met": self.figure.is_met}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Measured":
        """The inverse of `to_json`."""
        fields = json.loads(line)
        fields.pop("is_met")
        return cls(**fields | {"figure": Figure(**fields["figure"])})


def today() -> str:
    """The date, as it stands in results."""
    return datetime.now(UTC).date().isoformat()


def load_average() -> float:
    """How many processes wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 1)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

"""What is stored and not used, because nobody could read it or we did not write it: counted."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

log = logging.getLogger(__name__)

#: So many are told apart; what is beyond is neither counted nor logged.
MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Refusals:
    """Each is counted and logged once, however often it is read. All of them stay stored."""

    seen: set[tuple[str, str]] = field(default_factory=set)

    def note(self, event: str, noun: str, name: object) -> None:
        """One was refused; `event` is what the log says, `noun` what it is."""
        refused = (noun, str(name))
        if refused not in self.seen and len(self.seen) < MOST:
            self.seen.add(refused)
            log.error(event, extra={"kind": noun, "pii.id": str(name)[:200]})

    def of(self, noun: str) -> list[str]:
        """The names of those of a kind."""
        return [name for each, name in self.seen if each == noun]

    @property
    def words(self) -> str:
        """How many of each kind; empty where there are none."""
        counted = Counter(noun for noun, _ in self.seen)
        return ", ".join(f"{noun}: {count}" for noun, count in sorted(counted.items()))

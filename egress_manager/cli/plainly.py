"""What commands share that change something: a word that it is meant, and lines that say it."""

from typing import Annotated

from cyclopts import Parameter

#: Really do it; without it a command says what it would do.
Yes = Annotated[bool, Parameter(name="--yes", negative="")]


def line(text: str) -> None:
    """One line, whatever stands in it: what others chose tells a terminal nothing."""
    print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))

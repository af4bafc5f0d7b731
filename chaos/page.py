"""Writes the README's table of what can go wrong from the faults that the suite makes.

python -m chaos.page        # writes it anew; a test fails where it has drifted
"""

from collections.abc import Iterator
from pathlib import Path

from chaos.faults import FAULTS, ROWS

PAGE = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- generated: faults -->", "<!-- end of generated -->"


def page_with_faults(page: str) -> str:
    """The page, with what stands between the two marks written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{faults()}\n\n{END}{after}"


def faults() -> str:
    """The table."""
    return "\n".join(_table())


def _table() -> Iterator[str]:
    yield "| what goes wrong | what happens then | faults |"
    yield "|---|---|---|"
    for row in ROWS:
        names = ", ".join(f"`{name}`" for name, fault in FAULTS.items() if fault.row is row)
        yield f"| {row.what} | {row.then} | {names} |"


if __name__ == "__main__":
    PAGE.write_text(page_with_faults(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

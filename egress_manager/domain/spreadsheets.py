"""Text in a cell of a spreadsheet: what strangers chose must not be a formula there."""

import re
import unicodedata
from typing import Final

#: What a formula begins with, in the forms of East Asian keyboards too.
_FORMULA: Final = frozenset("=+-@＝＋－＠")
#: Some programs drop these at the beginning of a cell, and look at what comes then.
_SKIPPED: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
#: What begins with one of these is looked at from the next character on.
_SPLITTING: Final = frozenset("\t\r\n")
#: A number as telephones have it: the only formula that does what its text says.
_NUMBER: Final = re.compile(r"\+[0-9]+")

#: Before a cell: the rest of it is text.
QUOTE: Final = "'"


def as_text(value: str) -> str:
    """The value as a cell that no program takes for a formula; what is harmless stays as it is."""
    return f"{QUOTE}{value}" if _is_formula(value) else value


def _is_formula(value: str) -> bool:
    if _NUMBER.fullmatch(value):
        return False
    if value[:1] in _SPLITTING:
        return True
    first = next((each for each in value if unicodedata.category(each) not in _SKIPPED), "")
    return first in _FORMULA

"""No cell is a formula, and what is none stays as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.spreadsheets import as_text

#: What a program may drop before it looks for a formula.
BLANKS = st.text(st.sampled_from(" \t\r\n\x00\x0b\x0c\u00a0\u200b\ufeff\u3000"), max_size=4)
FIRST = st.sampled_from("=+-@＝＋－＠")


@given(BLANKS, FIRST, st.text())
def test_a_formula_is_text_whatever_blanks_are_before_it(blanks: str, sign: str, rest: str) -> None:
    """All of it is still there, behind the quote."""
    value = blanks + sign + rest
    is_number = sign == "+" and not blanks and rest.isascii() and rest.isdigit()

    assert as_text(value) == (value if is_number else f"'{value}")


@given(st.sampled_from("\t\r\n"), st.text())
def test_what_begins_with_a_tab_or_a_new_line_is_text(first: str, rest: str) -> None:
    """A program may begin another cell there."""
    assert as_text(first + rest) == f"'{first}{rest}"


@given(st.text(st.characters(categories=["L", "N"])), st.text())
def test_what_begins_with_a_letter_or_a_digit_stays(first: str, rest: str) -> None:
    """Names of rooms and people, and words of ours."""
    value = "a" + first + rest

    assert as_text(value) == value


@given(st.text())
def test_a_value_is_quoted_or_as_it_was(value: str) -> None:
    """Nothing is ever lost."""
    assert as_text(value) in (value, f"'{value}")


@pytest.mark.parametrize("number", ["+15550100", "+0", "15550100", ""])
def test_numbers_stay_as_they_are(number: str) -> None:
    """And so does nothing at all."""
    assert as_text(number) == number


@pytest.mark.parametrize(
    "value",
    [
        "+1 555",
        "+1+1",
        "+15550100\n",
        "+٣",
        "+",
        "-1",
        "@SUM(A1)",
        " =1",
        "\n=1",
        "+cmd|'/C calc'!A0",
    ],
)
def test_what_looks_like_a_number_may_be_none(value: str) -> None:
    """A plus sign is spared only before digits, to the end."""
    assert as_text(value) == f"'{value}"

"""Cursors of paged lists."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.cursors import Place
from egress_manager.domain.moments import to_milliseconds
from egress_manager.errors import BadRequest

moments = st.datetimes(timezones=st.just(UTC)).map(to_milliseconds)


@given(moments, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_cursor_leads_back_to_its_place(at: datetime, item_id: str) -> None:
    """And is safe in a URL."""
    cursor = Place(at, item_id).cursor()

    assert Place.of(cursor) == Place(at, item_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_whatever_is_given_it_is_a_place_or_a_bad_request(cursor: str) -> None:
    """Never another error."""
    try:
        place = Place.of(cursor)
    except BadRequest:
        return
    assert place.id


@pytest.mark.parametrize("cursor", ["", "houba", "é", "MTIz", "MTIzOg"])
def test_what_is_no_cursor_is_a_bad_request(cursor: str) -> None:
    """With a hint where cursors come from."""
    with pytest.raises(BadRequest, match="next_cursor"):
        Place.of(cursor)

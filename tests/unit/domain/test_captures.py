"""The journal: every entry can be read again, by this version and by later ones."""

import json
import typing
from collections.abc import Mapping
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.captures import (
    NAMES,
    Began,
    Ended,
    Entry,
    PageKept,
    Story,
    StretchBegan,
    StretchEnded,
    TrackChanged,
    TrackGone,
    from_json,
    to_json,
)

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(Mapping, st.dictionaries(st.text(), st.text()))

entries = st.one_of(*(st.from_type(kind) for kind in typing.get_args(Entry)))


def test_every_kind_of_entry_has_a_name_of_its_own():
    """And every name stands for an entry."""
    assert set(NAMES) == set(typing.get_args(Entry))
    assert len(set(NAMES.values())) == len(NAMES)


@given(entries)
def test_what_is_written_is_read(entry):
    """Through a line of JSON and back."""
    assert from_json(json.loads(json.dumps(to_json(entry)))) == entry


def test_what_a_later_version_adds_is_passed_over():
    """Unknown names and unknown fields do not stop an older version."""
    assert from_json({"is": "hologram", "at": 1.0}) is None
    assert from_json({"is": "ended", "at": 1.0, "reason": "left", "mood": "good"}) == Ended(
        1.0, "left"
    )


@pytest.mark.parametrize("kind", NAMES)
def test_every_entry_has_its_moment(kind):
    """The moment comes first."""
    assert fields(kind)[0].name == "at"


def test_a_story_is_told_in_parts():
    """Fed line by line or at once, it is the same story."""
    lines = [
        Began(1.0, "cap_1", "room"),
        TrackChanged(2.0, "TR_1", "PA_1"),
        StretchBegan(3.0, 1, "stretch-0001.ogg", "TR_1", "PA_1", 7, 0),
        PageKept(3.5, 1, 0, 3.0, 24_000, 25, 2000),
        StretchEnded(4.0, 1, 24_000, "unpublished"),
        TrackGone(4.0, "TR_1"),
        Ended(5.0, "left"),
    ]
    whole, parts = Story(), Story()

    whole.tell(lines)
    for line in lines:
        parts.tell([line])

    assert parts == whole
    assert whole.last_at == 5.0
    assert [stretch.until for stretch in whole.stretches_of("TR_1")] == [24_000]
    assert "TR_1" in whole.tracks_gone


def test_a_track_that_is_published_again_is_not_gone():
    """The last word counts."""
    told = Story()

    told.tell(
        [TrackChanged(1.0, "TR_1", "P"), TrackGone(2.0, "TR_1"), TrackChanged(3.0, "TR_1", "P")]
    )

    assert not told.tracks_gone

"""Values of the domain as documents, and back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.adapters.mongo_documents import document_of, value_of
from egress_manager.domain.calls import Call
from egress_manager.domain.moments import as_stored
from egress_manager.domain.recordings import Recording

# What `st.from_type` draws for the fields: what BSON can hold, and moments as we have them.
FIRST = datetime(1970, 1, 2, tzinfo=UTC)
SECONDS = 200 * 365 * 86_400
st.register_type_strategy(
    datetime, st.floats(0, SECONDS).map(lambda seconds: FIRST + timedelta(seconds=seconds))
)
st.register_type_strategy(int, st.integers(-(2**40), 2**40))
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(str, st.text(max_size=8))


@pytest.mark.parametrize("kind", [Call, Recording])
@given(data=st.data())
def test_every_value_comes_back_from_its_document(kind: type[Any], data: st.DataObject) -> None:
    """Through BSON and back, with every field's type."""
    value = as_stored(data.draw(st.from_type(kind)))

    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    stored = bson.decode(bson.encode(document_of(value)), options)

    assert value_of(kind, stored) == value


def test_a_document_may_lack_what_has_a_default_and_have_what_is_newer() -> None:
    """Documents outlive versions."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    document = {
        "_id": "call_1",
        "room": {"name": "palombia"},
        "identity": "sip_1",
        "stays": [{"participant_sid": "PA_1", "of_the_future": True}],
        "joined_at": at,
        "seen_at": at,
        "of_the_future": 1,
    }

    read = value_of(Call, document)

    assert read.room.sid == ""
    assert read.tracks == ()
    assert read.stays[0].participant_sid == "PA_1"

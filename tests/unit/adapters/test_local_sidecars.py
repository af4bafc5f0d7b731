"""Whatever is sealed has the same facts in MongoDB and in its sidecar."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egress_manager.adapters.local_sidecars import sidecar_of, text_of
from egress_manager.adapters.mongo_documents import document_of, value_of
from egress_manager.domain.calls import Call
from egress_manager.domain.moments import as_stored
from egress_manager.domain.recordings import Recording
from egress_manager.domain.seal import facts_of, sha256_of
from egress_manager.domain.sidecars import Sidecar

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
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_facts_are_the_same_wherever_they_are_kept(kind: type[Any], data: st.DataObject) -> None:
    """Through BSON, and through the text of a sidecar, every value comes back with its facts."""
    value = as_stored(data.draw(st.from_type(kind)))
    given_to = {"recording": value} if kind is Recording else {"call": value}

    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    stored = value_of(kind, bson.decode(bson.encode(document_of(value)), options))
    sidecar = sidecar_of(json.loads(text_of(Sidecar(value.id, ({"number": 1},), **given_to))))

    assert sidecar == Sidecar(value.id, ({"number": 1},), **given_to)
    hashes = {sha256_of(facts_of(each)) for each in (value, stored, sidecar.document)}
    assert len(hashes) == 1

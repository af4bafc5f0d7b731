"""What is sealed of a document, and that its hash stays the same for ever."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.recordings import Hole, Observation, Recording, State, TrackFile, Verdict
from egress_manager.domain.seal import (
    Content,
    Kind,
    Seal,
    SealedFile,
    entry_after,
    entry_of,
    facts_of,
    facts_of_entry,
    hash_of,
    kind_of,
    moment,
    sha256_of,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)
RECORDING = Recording(
    "rec_1",
    "call_1",
    "EG_1",
    "builtin",
    "palombia",
    Observation(State.CAPTURED, NOON),
    NOON,
    duration_sec=24.107,
    state=State.RENDERED,
    tracks=(TrackFile("TR_1", "sip_1", "SIP", "left", holes=(Hole(0.0, 0.126, "joining"),)),),
)
CONTENT = Content(
    "rec_1", "2026-11-22T12:00:00.123Z", "f" * 64, files=(SealedFile("mix", "/a.mp4", "a" * 64, 9),)
)


def test_the_hash_of_a_document_is_what_it_always_was() -> None:
    """What was sealed by an older version must be found as it was sealed: never change this."""
    assert sha256_of(facts_of(RECORDING)) == (
        "5305ddd5b41d7e8674dc2dcf0888fc036fc7b2181356aad0430a566636428c12"
    )


def test_moments_are_hashed_in_utc_to_the_millisecond() -> None:
    """Wherever they were told."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert moment(NOON) == moment(elsewhere) == "2026-11-22T12:00:00.123Z"


def test_what_is_volatile_is_no_fact() -> None:
    """Looking at a document again, or sealing it, changes nothing."""
    looked_at = replace(RECORDING, version=7, attempts=2, due_at=NOON, seal=Seal(1, "aa", 7))

    assert facts_of(looked_at) == facts_of(RECORDING)


@pytest.mark.parametrize(
    "change",
    [
        {"duration_sec": 24.108},
        {"verdict": Verdict.FLAWED},
        {"caller_number": "+15550100"},
        {"tracks": ()},
        {"tracks": (replace(RECORDING.tracks[0], lost=1),)},
        {"sha256": "ab"},
    ],
)
def test_what_a_document_says_is_a_fact(change: dict[str, object]) -> None:
    """Whatever of it changes, however deep."""
    changed = replace(RECORDING, **change)  # type: ignore[arg-type]

    assert sha256_of(facts_of(changed)) != sha256_of(facts_of(RECORDING))


def test_a_field_that_is_added_later_changes_no_hash() -> None:
    """Documents that do not have it have its default, and defaults are no facts."""

    @dataclass(frozen=True)
    class Today:
        id: str
        reason: str = ""

    @dataclass(frozen=True)
    class Tomorrow:
        id: str
        reason: str = ""
        mood: str = "fine"

    assert facts_of(Today("a")) == facts_of(Tomorrow("a")) == {"id": "a"}
    assert facts_of(Tomorrow("a", mood="")) == {"id": "a", "mood": ""}


def test_an_entry_comes_back_as_it_was_and_follows_the_one_before() -> None:
    """Its number, its hash, and the hash before it."""
    first = entry_after(None, CONTENT, Kind.SEALED, NOON)
    second = entry_after(facts_of_entry(first), CONTENT, Kind.CHANGED, NOON)

    assert (first.number, first.previous) == (1, "")
    assert (second.number, second.previous) == (2, first.hash)
    assert entry_of(facts_of_entry(second)) == second
    assert hash_of(facts_of_entry(second)) == second.hash
    assert entry_of({"number": 1}) is None


def test_an_entry_says_what_is_new() -> None:
    """Nothing where nothing is: so what is done twice leaves one entry."""
    (mix,) = CONTENT.files
    moved = replace(CONTENT, files=(replace(mix, path="/b.mp4"),), facts_sha256="e" * 64)
    other = replace(moved, files=(replace(mix, path="/b.mp4", sha256="b" * 64),))

    assert kind_of(None, CONTENT) is Kind.SEALED
    assert kind_of(CONTENT, CONTENT) is None
    assert kind_of(CONTENT, moved) is Kind.MOVED
    assert kind_of(CONTENT, other) is Kind.CHANGED
    assert kind_of(CONTENT, replace(CONTENT, facts_sha256="e" * 64)) is Kind.CHANGED
    assert kind_of(CONTENT, replace(other, made_at="later")) is Kind.MADE_AGAIN


@given(
    st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers(), st.floats())),
    st.randoms(),
)
def test_the_order_of_facts_does_not_matter(facts: dict[str, object], random: object) -> None:
    """Stores keep the order of fields, files need not."""
    names = list(facts)
    random.shuffle(names)  # type: ignore[attr-defined]

    assert sha256_of({name: facts[name] for name in names}) == sha256_of(facts)

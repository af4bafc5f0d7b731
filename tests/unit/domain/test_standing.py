"""What a document is beside the newest entry about it, whoever wrote either."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from egress_manager.domain.chain import Trouble
from egress_manager.domain.provenance import (
    Provenance,
    document_key,
    mac_for,
    provenance_of,
)
from egress_manager.domain.recordings import Observation, Recording, State
from egress_manager.domain.seal import Content, Entry, Kind, Seal, facts_of, sha256_of
from egress_manager.domain.standing import (
    ADOPTED_WITHIN,
    is_older,
    made_at,
    may_be_sealed,
    standing_of,
    standing_of_unsealed,
    waits_for_code,
)

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
SEALED = Recording(
    "rec_1",
    "call_1",
    None,
    "builtin",
    "palombia",
    Observation(State.CAPTURED, NOON),
    NOON,
    state=State.VERIFIED,
    since=NOON,
    seal=Seal(7, "hash", 4),
    version=4,
)
ENTRY = Entry(
    7,
    "at",
    Kind.SEALED,
    Content("rec_1", made_at(SEALED), sha256_of(facts_of(SEALED))),
    "",
    "hash",
    version=3,
)
#: The same entry, by a version that noted no versions of documents.
OLDER = replace(ENTRY, version=None)
UNSIGNED, FOREIGN = Provenance.UNSIGNED, Provenance.FOREIGN


def test_what_was_sealed_stands() -> None:
    """By whichever version of the service."""
    assert standing_of(SEALED, ENTRY).trouble is None
    assert standing_of(SEALED, OLDER).trouble is None
    assert standing_of(replace(SEALED, provenance=UNSIGNED), OLDER).trouble is None


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"provenance": FOREIGN}, Trouble.DOCUMENT_FOREIGN),
        ({"provenance": FOREIGN, "version": 5}, Trouble.DOCUMENT_FOREIGN),
        ({"provenance": FOREIGN, "seal": None}, Trouble.DOCUMENT_FOREIGN),
        ({"provenance": FOREIGN, "caller_number": "+1"}, Trouble.DOCUMENT_CHANGED),
        ({"provenance": FOREIGN, "since": LATER}, Trouble.DOCUMENT_CHANGED),
        ({"provenance": FOREIGN, "state": State.CAPTURED}, Trouble.DOCUMENT_CHANGED),
        ({"provenance": FOREIGN, "seal": Seal(7, "other", 4)}, Trouble.DOCUMENT_CHANGED),
        ({"provenance": UNSIGNED}, Trouble.DOCUMENT_FOREIGN),
        ({"provenance": UNSIGNED, "caller_number": "+1"}, Trouble.DOCUMENT_CHANGED),
        ({"version": 2, "seal": None}, Trouble.DOCUMENT_ROLLED_BACK),
        ({"caller_number": "+1"}, Trouble.DOCUMENT_CHANGED),
        ({"seal": Seal(6, "other", 4)}, Trouble.DOCUMENT_CHANGED),
    ],
)
def test_what_is_not_as_it_was_sealed_is_named(
    changes: dict[str, object], trouble: Trouble
) -> None:
    """Whatever the document says of itself."""
    assert standing_of(replace(SEALED, **changes), ENTRY).trouble is trouble  # type: ignore[arg-type]


def test_what_an_older_version_sealed_is_not_to_be_changed_before_it_is_signed() -> None:
    """A document without a code that says that it waits may have been written by anybody."""
    for changes in ({"version": 5}, {"seal": None}):
        document = replace(SEALED, provenance=UNSIGNED, **changes)  # type: ignore[arg-type]
        assert standing_of(document, OLDER).trouble is Trouble.DOCUMENT_CHANGED


def test_what_a_flow_changed_waits() -> None:
    """Its files may be others only if they are being made again, or were."""
    noted = standing_of(replace(SEALED, version=5, caller_number="+1"), ENTRY)
    again = standing_of(replace(SEALED, version=5, state=State.CAPTURED, since=LATER), ENTRY)
    made = standing_of(replace(SEALED, version=7, since=LATER), ENTRY)

    assert (noted.trouble, noted.is_waiting, noted.may_differ) == (None, True, False)
    assert (again.trouble, again.is_waiting, again.may_differ) == (None, True, True)
    assert (made.trouble, made.is_waiting, made.may_differ) == (None, True, True)


def test_what_no_entry_is_about_is_ours_or_came_from_nowhere() -> None:
    """Without a code it counts only if it is older than the key, and for a day."""
    new = replace(SEALED, seal=None)
    late = LATER + ADOPTED_WITHIN

    assert standing_of_unsealed(new, LATER, late).is_waiting
    assert standing_of_unsealed(SEALED, LATER, late).trouble is Trouble.DOCUMENT_INSERTED
    for provenance, made, now, trouble in (
        (FOREIGN, LATER, LATER, Trouble.DOCUMENT_FOREIGN),
        (UNSIGNED, LATER, LATER, None),
        (UNSIGNED, LATER, late, Trouble.DOCUMENT_FOREIGN),
        (UNSIGNED, NOON, NOON, Trouble.DOCUMENT_FOREIGN),
        (UNSIGNED, None, late, None),
    ):
        found = standing_of_unsealed(replace(new, provenance=provenance), made, now)
        assert (found.trouble, found.is_waiting) == (trouble, trouble is None)


def test_only_what_is_ours_is_sealed() -> None:
    """And nothing that is older than what was."""
    changed = replace(SEALED, version=5, caller_number="+1")

    assert may_be_sealed(changed, ENTRY, NOON, LATER)
    assert may_be_sealed(replace(changed, seal=None), None, NOON, LATER)
    assert not may_be_sealed(replace(changed, version=2), ENTRY, NOON, LATER)
    assert not may_be_sealed(replace(changed, provenance=FOREIGN), ENTRY, NOON, LATER)
    for entry in (ENTRY, OLDER):
        assert not may_be_sealed(replace(changed, provenance=UNSIGNED), entry, LATER, LATER)
        assert may_be_sealed(replace(SEALED, provenance=UNSIGNED), entry, NOON, LATER)
    unsigned = replace(SEALED, seal=None, provenance=UNSIGNED)
    assert may_be_sealed(unsigned, None, LATER, LATER)
    assert not may_be_sealed(unsigned, None, LATER, LATER + ADOPTED_WITHIN)
    assert is_older(replace(SEALED, provenance=UNSIGNED))
    assert not is_older(SEALED)
    assert not is_older(unsigned)


def test_what_an_older_version_sealed_may_be_made_again() -> None:
    """It is worked on; what comes of it is sealed if it is older than the key, for a day."""
    sealed = replace(SEALED, provenance=UNSIGNED)
    opened = replace(sealed, version=5, state=State.CAPTURED, since=LATER)
    again = replace(sealed, version=6, since=LATER)
    late = LATER + ADOPTED_WITHIN

    assert waits_for_code(sealed)
    assert not any(map(waits_for_code, (opened, again, SEALED)))
    assert may_be_sealed(again, OLDER, LATER, LATER)
    assert not may_be_sealed(again, OLDER, LATER, late)
    assert not may_be_sealed(again, ENTRY, LATER, LATER)
    assert not may_be_sealed(replace(again, version=4), OLDER, LATER, LATER)


def test_a_code_shows_who_wrote_a_document() -> None:
    """The first key writes, any of them checks; what was foreign stays so."""
    old, new, other = (document_key(bytes([number]) * 32) for number in range(3))
    mac = mac_for(b"said", Provenance.SIGNED, [old])

    assert provenance_of(b"said", mac, [new, old]) is Provenance.SIGNED
    assert provenance_of(b"unsaid", mac, [new, old]) is Provenance.FOREIGN
    assert provenance_of(b"said", mac, [other]) is Provenance.FOREIGN
    assert provenance_of(b"said", None, [old]) is Provenance.UNSIGNED
    for told in ("", 7, "é", ["x"], mac_for(b"said", FOREIGN, [old])):
        assert provenance_of(b"said", told, [old]) is Provenance.FOREIGN
    assert mac_for(b"said", UNSIGNED, [old]) is None
    assert mac_for(b"said", Provenance.SIGNED, []) is None
    assert provenance_of(b"said", "whatever", []) is Provenance.UNKNOWN
    assert provenance_of(b"said", None, []) is Provenance.SIGNED

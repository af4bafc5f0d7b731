"""Whatever is done to the chain is found, and what is named is what it was done to."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.chain import (
    Finding,
    Trouble,
    Witness,
    check_chain,
    replaced_content,
    witnesses_of,
)
from egress_manager.domain.seal import (
    Content,
    Facts,
    Kind,
    SealedFile,
    entry_after,
    entry_of,
    facts_of_entry,
    hash_of,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LENGTH = 7

#: Any of the entries.
numbers = st.integers(1, LENGTH)


def content(subject: str, sha256: str = "a", made_at: str = "noon") -> Content:
    """A recording with one file."""
    return Content(subject, made_at, "f", files=(SealedFile("mix", f"/{subject}.mp4", sha256, 1),))


def chained(contents: Iterable[Content]) -> list[Facts]:
    """A chain of entries about these, as they are stored."""
    facts: list[Facts] = []
    for each in contents:
        entry = entry_after(facts[-1] if facts else None, each, Kind.SEALED, NOON)
        facts.append(facts_of_entry(entry))
    return facts


def chain() -> list[Facts]:
    """A chain as it ought to be."""
    return chained(content(f"rec_{number}") for number in range(1, LENGTH + 1))


def made_anew(facts: Facts, **changes: object) -> Facts:
    """An entry that says something else, with a hash that fits."""
    changed = {**facts, **changes}
    return {**changed, "hash": hash_of(changed)}


def witnesses(*known: Facts) -> dict[int, Witness]:
    """What sidecars know that lie beside the files of these."""
    return {
        number: witness
        for facts in known
        for number, witness in witnesses_of([facts], f"/{facts.get('subject')}.mp4.json")
    }


def named(findings: Iterable[Finding]) -> dict[int, Trouble]:
    """What was found, by the numbers of the entries."""
    return {
        number: each.trouble
        for each in findings
        if each.entry
        for number in range(each.entry, (each.until or each.entry) + 1)
    }


def test_a_chain_as_it_was_written_is_whole() -> None:
    """Nothing is found, with or without witnesses; nor in an empty one."""
    assert not [*check_chain(chain())]
    assert not [*check_chain(chain(), witnesses(*chain()), known=chain()[3]["hash"])]
    assert not [*check_chain([])]


@given(numbers, st.sampled_from(sorted(chain()[0].keys() - {"number", "hash"})), st.data())
def test_an_entry_that_was_changed_is_named(number: int, field: str, data: st.DataObject) -> None:
    """Whatever of it, to whatever: it alone is named."""
    entries = chain()
    before = entries[number - 1][field]
    values = st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text()))
    after = data.draw(values.filter(lambda value: value != before))
    entries[number - 1] = {**entries[number - 1], field: after}

    assert named(check_chain(entries)) == {number: Trouble.ENTRY_CHANGED}


@given(numbers, st.text())
def test_a_field_that_was_added_or_a_hash_that_was_written_over_is_a_change(
    number: int, text: str
) -> None:
    """What an entry says besides is part of it, too."""
    for change in ({"note": text}, {"hash": text}):
        entries = chain()
        entries[number - 1] = {**entries[number - 1], **change}

        assert named(check_chain(entries)) == {number: Trouble.ENTRY_CHANGED}


@given(st.integers(1, LENGTH - 1))
def test_an_entry_that_was_made_anew_is_known_by_the_one_after_it(number: int) -> None:
    """Its hash fits what it says, but not what was chained to it."""
    entries = chain()
    entries[number - 1] = made_anew(entries[number - 1], facts_sha256="0")

    assert named(check_chain(entries)) == {number: Trouble.ENTRY_REPLACED}


@given(numbers)
def test_a_chain_that_was_made_anew_from_an_entry_on_is_known_by_the_sidecars(number: int) -> None:
    """All hashes fit each other; the sidecars know the entries by other ones."""
    entries = chain()
    contents = [entry.content for facts in entries if (entry := entry_of(facts))]
    forged = contents[number - 1]
    contents[number - 1] = replace(forged, facts_sha256="0")
    anew = chained(contents)

    assert not [*check_chain(anew)]
    found = named(check_chain(anew, witnesses(*entries)))
    assert found == dict.fromkeys(range(number, LENGTH + 1), Trouble.ENTRY_REPLACED)
    assert [each.trouble for each in check_chain(anew, known=entries[-1]["hash"])] == [
        Trouble.ENTRY_UNKNOWN
    ]


@given(st.integers(1, LENGTH - 1), st.integers(1, LENGTH - 1))
def test_entries_that_were_removed_are_named(first: int, last: int) -> None:
    """One or several in a row, from the beginning or the middle."""
    first, last = sorted((first, last))
    entries = chain()
    del entries[first - 1 : last]

    gone = dict.fromkeys(range(first, last + 1), Trouble.ENTRY_REMOVED)
    assert named(check_chain(entries)) == gone


@given(numbers)
def test_an_end_that_was_cut_off_is_known_by_the_sidecars(number: int) -> None:
    """Also where nothing is left."""
    entries = chain()
    rest = entries[: number - 1]

    assert not [*check_chain(rest)]
    gone = dict.fromkeys(range(number, LENGTH + 1), Trouble.ENTRY_REMOVED)
    assert named(check_chain(rest, witnesses(entries[-1]))) == gone


@given(numbers, numbers)
def test_an_entry_that_was_inserted_is_named(place: int, number: int) -> None:
    """A second one of a number that there is, wherever it was put."""
    entries = chain()
    forged = made_anew(entries[number - 1], subject="rec_forged")
    after = place >= number
    entries.insert(place, forged)

    found = named(check_chain(entries, witnesses(*chain())))
    assert number in found
    if after:
        assert found == {number: Trouble.ENTRY_INSERTED}


@given(st.one_of(st.none(), st.text(), st.floats(), st.booleans(), st.integers(max_value=0)))
def test_what_has_no_number_is_no_entry(number: object) -> None:
    """It is named by what it says that it is about; the others are as they were."""
    entries = [{**chain()[0], "number": number, "subject": "rec_forged"}, *chain()]

    found = [*check_chain(entries)]

    assert [(each.trouble, each.subject) for each in found] == [
        (Trouble.ENTRY_INSERTED, "rec_forged")
    ]


@given(numbers, numbers)
def test_entries_that_changed_places_are_named(one: int, other: int) -> None:
    """By taking each other's numbers, or in the order in which they are read."""
    entries = chain()
    entries[one - 1], entries[other - 1] = entries[other - 1], entries[one - 1]
    renumbered = [{**facts, "number": number} for number, facts in enumerate(entries, 1)]

    found = named(check_chain(renumbered)), named(check_chain(entries))

    assert set(found[0]) == ({one, other} if one != other else set())
    assert (min(one, other) in found[1]) is (one != other)


@given(numbers)
def test_a_sidecar_that_was_changed_accuses_nobody(number: int) -> None:
    """One whose entry does not have its hash says nothing about the chain."""
    entries = chain()
    forged = {**entries[number - 1], "facts_sha256": "0"}

    assert not [*check_chain(entries, witnesses(forged, {"number": "x"}, {"number": 99}))]


@given(st.integers(2, LENGTH))
def test_of_two_entries_that_do_not_fit_a_sidecar_speaks_for_the_first(number: int) -> None:
    """Who was given another past is named, and not the past."""
    entries = chain()
    entries[number - 1] = made_anew(entries[number - 1], previous="0")

    found = named(check_chain(entries, witnesses(*chain()[: number - 1])))

    assert found[number] is Trouble.ENTRY_REPLACED
    assert number - 1 not in found


def test_a_file_that_is_another_one_without_being_made_again_is_named() -> None:
    """Sealed anew, it would pass for what it is not."""
    first, moved = content("rec_1"), content("rec_1")
    forged, again = content("rec_1", "b"), content("rec_1", "c", made_at="one o'clock")
    entries = [entry_of(facts) for facts in chained([first, moved, forged, forged, again])]

    found = [*replaced_content(entry for entry in entries if entry)]

    assert [(each.entry, each.trouble, each.path) for each in found] == [
        (3, Trouble.CONTENT_REPLACED, "/rec_1.mp4")
    ]

"""The fault suite judges rightly: laws on made-up aftermaths, schedules from seeds, the table."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chaos.aftermath import Aftermath, Heard, Kept, Struck
from chaos.calls import Said, Told
from chaos.faults import FAULTS, POLLING, WEBHOOKS
from chaos.invariants import broken
from chaos.matrix import FAST, matrix
from chaos.page import PAGE, page_with_faults
from chaos.rows import LISTS_LOST
from chaos.schedule import HOUSES, Schedule, Stage, Strike, drawn

NOON = 1_795_348_800.0
CALLER = "sip_+15550000"


def at(seconds: float) -> str:
    """So many seconds after noon, as the API says it."""
    return datetime.fromtimestamp(NOON + seconds, UTC).isoformat()


def recording(**other: Any) -> Mapping[str, Any]:
    """A completed one, of the whole call."""
    usual = {
        "id": "rec_1",
        "identity": CALLER,
        "state": "verified",
        "verdict": "verified",
        "findings": [],
        "reason": "",
        "captures": ["cap_1"],
        "filepath": "/recordings/1.mp4",
        "started_at": at(0),
        "duration_sec": 10.0,
        "holes": [],
        "tracks": [],
        "egresses": [],
    }
    return usual | other


def well() -> Aftermath:
    """What is left of one call after which all is as it should be."""
    told = Told(CALLER, "+15550000", "room-0", NOON, NOON + 10)
    told.said = [Said("first", NOON + 2, NOON + 3.5, is_owed=True)]
    return Aftermath(
        calls=[told],
        witnessed=frozenset({CALLER}),
        struck=(),
        lines=[{"identity": CALLER, "fate": "completed", "reason": ""}],
        recordings=[recording()],
        captures=[Kept("cap_1", 10.0, True)],
        heard=[Heard("rec_1", "first", 0.98, 0.1)],
    )


def test_where_all_is_well_no_law_is_broken() -> None:
    """A call, its line, its recording, its capture."""
    assert broken(well()) == []


HOLED = recording(holes=[{"start_sec": 2.5, "end_sec": 3.0, "cause": "loss"}])
UNOWED = [Said("first", NOON + 2, NOON + 3.5)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lines": []}, "is not in the ledger"),
        ({"lines": well().lines * 2}, "has the answers"),
        (
            {"lines": [{"identity": CALLER, "fate": "not_recorded", "reason": ""}]},
            "nothing says why",
        ),
        (
            {"lines": [{"identity": CALLER, "fate": "not_recorded", "reason": "not_answered"}]},
            "is called not answered",
        ),
        ({"recordings": [recording(state="captured")]}, "is still"),
        ({"recordings": [recording(state="failed", verdict="pending")]}, "without a reason"),
        ({"captures": [Kept("cap_1", 10.0, False)]}, "is not settled"),
        ({"captures": [Kept("cap_2", 1.0, True)]}, "is in no recording"),
        ({"recordings": [recording(), recording(id="rec_2", filepath=None)]}, "has 2 recordings"),
        ({"heard": [Heard("rec_1", "first", 0.9, 0.9)]}, "twice"),
        ({"heard": [Heard("rec_1", "first", 0.2, 0.1)]}, "was kept and is not in"),
        ({"heard": [], "recordings": [recording(state="failed", reason="x")]}, "no file"),
        ({"present": ["recorder-1 of room-0"]}, "is still in its room"),
        ({"handles": ["/journal.jsonl"]}, "is still open"),
        ({"files": ["1.mp4.part"]}, "is left"),
        ({"processes": ["renderer"]}, "still runs"),
        ({"deaths": ["manager"]}, "ended by itself"),
    ],
)
def test_each_law_names_what_breaks_it(changes: Mapping[str, Any], words: str) -> None:
    """One thing is wrong, and it is found."""
    assert any(words in each for each in broken(replace(well(), **changes)))


@pytest.mark.parametrize("fault", ["hostile-publisher", "hostile-clients"])
def test_who_is_hostile_costs_other_calls_nothing(fault: str) -> None:
    """A fault of another call is the product's, unless something else went wrong, too."""
    lacks = recording(findings=[{"name": "packets_missing", "track_id": "TR_1"}])
    lost = {"track_id": "TR_1", "participant_identity": CALLER, "holes": [], "lost": 3}
    hostile = Struck(fault, NOON, NOON + 10, frozenset())
    after = replace(well(), recordings=[lacks], struck=(hostile,))
    both = (hostile, Struck("loss-20", NOON, NOON + 10, frozenset()))

    assert any("has the finding packets_missing" in each for each in broken(after))
    assert any(
        "lacks 3 packets" in each
        for each in broken(replace(after, recordings=[recording(tracks=[lost])]))
    )
    assert broken(replace(after, struck=both)) == []
    assert broken(replace(after, recordings=[recording()])) == []


def test_a_word_that_was_not_promised_may_be_missing_where_a_hole_says_so() -> None:
    """Without the hole it may not."""
    after = replace(well(), heard=[Heard("rec_1", "first", 0.2, 0.1)])
    after.calls[0].said = UNOWED

    assert any("without a hole" in each for each in broken(after))
    assert broken(replace(after, recordings=[HOLED])) == []


def test_a_last_word_that_came_too_fast_may_be_missing_if_the_recording_says_so() -> None:
    """The call ended before it could be heard; a word of the middle has no such excuse."""
    cut = recording(
        findings=[{"name": "never_heard", "amount": 1.0, "track_id": "TR_1"}],
        tracks=[{"track_id": "TR_1", "participant_identity": CALLER, "holes": []}],
    )
    after = replace(well(), heard=[Heard("rec_1", "first", 0.2, 0.1)], recordings=[cut])
    assert any("was kept and is not in" in each for each in broken(after))

    after.calls[0].said = [Said("first", NOON + 8, NOON + 9.5, is_owed=True)]
    assert broken(after) == []
    after.calls[0].left_at = NOON + 30
    after.calls[0].said = [Said("first", NOON + 20, NOON + 21, is_owed=True)]
    assert any("was kept and is not in" in each for each in broken(after))


def test_nobody_can_tell_of_a_call_that_came_and_went_while_both_ways_were_closed() -> None:
    """With one of them open, somebody could."""
    both = frozenset({WEBHOOKS, POLLING})
    unseen = replace(well(), lines=[], recordings=[], captures=[], heard=[])
    blind = replace(unseen, struck=(Struck("freeze-manager", NOON - 1, NOON + 20, both),))
    half = replace(
        unseen, struck=(Struck("webhooks-lost", NOON - 1, NOON + 20, frozenset({WEBHOOKS})),)
    )

    assert broken(blind) == []
    assert any("is not in the ledger" in each for each in broken(half))


def test_a_seed_means_one_schedule_and_its_words_mean_it_too() -> None:
    """Two different faults that fit the house, and a command that repeats them."""
    fits = {name: fault.houses for name, fault in FAULTS.items()}
    for seed in range(200):
        schedule = drawn(seed, fits)
        words = schedule.command.removeprefix("python -m chaos run ").split()
        strikes = tuple(Strike.read(word) for word in words[:2])

        assert schedule == drawn(seed, fits)
        assert schedule == Schedule(strikes, words[3], int(words[5]))
        assert len({strike.fault for strike in strikes}) == 2
        assert all(schedule.house in fits[strike.fault] for strike in strikes)


def test_the_matrix_has_every_fault_and_every_stage() -> None:
    """Each fault at least once; the fast ones are among them."""
    strikes = [strike for schedule in matrix() for strike in schedule.strikes]

    assert {strike.fault for strike in strikes} == set(FAULTS)
    assert {strike.stage for strike in strikes} == set(Stage)
    assert len(set(map(str, matrix()))) == len(strikes)
    assert set(FAST) <= set(strikes)


def test_the_matrix_loses_livekits_lists_in_every_house() -> None:
    """Whose Redis it is and who reads the lists differs; what strikes there is a fault there."""
    runs = [(schedule.house, FAULTS[s.fault]) for schedule in matrix() for s in schedule.strikes]

    assert {house for house, fault in runs if fault.row is LISTS_LOST} == set(HOUSES)
    assert all(house in fault.houses for house, fault in runs)


def test_the_table_of_the_readme_is_what_the_suite_does() -> None:
    """`python -m chaos.page` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")

    assert page == page_with_faults(page)

"""The checklist, and how facts are judged."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain import checks
from egress_manager.domain.checks import (
    CHECKS,
    Database,
    Folder,
    Heard,
    Knock,
    Outcome,
    Result,
    WebhookTally,
)
from egress_manager.domain.troubles import ADVICE, CheckFailed, Trouble

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

#: Every fact that any advice names.
FACTS = {
    name: 1 if name in {"seconds", "hours", "percent", "dbfs", "stay", "plays"} else name
    for advice in ADVICE.values()
    for text in (advice.words, advice.remedy)
    for _, name, _, _ in string.Formatter().parse(text)
    if name
}


class TestTroubles:
    """What can be wrong."""

    @pytest.mark.parametrize("trouble", Trouble)
    def test_every_trouble_says_what_is_wrong_and_what_to_do(self, trouble: Trouble) -> None:
        """In words that need no more than the facts of the case."""
        failed = CheckFailed(trouble, **FACTS)

        assert str(failed)
        assert failed.remedy
        assert "{" not in str(failed) + failed.remedy

    def test_the_words_of_others_are_never_taken_for_a_pattern(self) -> None:
        """Braces in them stay what they are."""
        failed = CheckFailed(Trouble.LIVEKIT_FAILED, why="{url} {0!r}")

        assert str(failed) == "livekit-server answered: {url} {0!r}"

    def test_a_warning_is_no_failure(self) -> None:
        """Scripts are told of what is broken only."""
        facts = {"path": "/r", "free": "2.0 GB", "percent": 4, "hours": 22}
        warning = checks.wrong(CheckFailed(Trouble.SPACE_SHORT, **facts))

        assert warning.outcome is Outcome.WARNING
        assert not checks.is_failure([checks.Checked(CHECKS[0], warning)])


class TestOrder:
    """What needs what."""

    def test_what_a_check_needs_comes_before_it(self) -> None:
        """And its name is nobody else's."""
        names = [check.name for check in CHECKS]

        assert len(set(names)) == len(names)
        for place, check in enumerate(CHECKS):
            assert set(check.needs) <= set(names[:place])

    @pytest.mark.parametrize("outcome", Outcome)
    def test_a_check_is_skipped_where_a_need_of_it_is_not_met(self, outcome: Outcome) -> None:
        """It says which; a warning is as good as all is well."""
        clock = next(check for check in CHECKS if check.name == "clock")

        unmet = checks.unmet(clock, {"livekit": Result(outcome, "")})

        if outcome in (Outcome.OK, Outcome.WARNING):
            assert unmet is None
        else:
            assert unmet == checks.skipped("needs this first: livekit-server answers")

    def test_without_settings_nothing_can_be_looked_at(self) -> None:
        """Every line is there all the same."""
        checked = list(checks.without_settings("LIVEKIT_URL is missing"))

        assert [each.check for each in checked] == list(CHECKS)
        assert checked[0].result.words == "LIVEKIT_URL is missing"
        assert {each.result.outcome for each in checked[1:]} == {Outcome.SKIPPED}
        assert checks.is_failure(checked)


class TestClocks:
    """livekit-server's clock and ours."""

    @given(st.floats(-1e6, 1e6), st.floats(0, 3))
    def test_clocks_are_told_apart_by_whole_seconds(self, ahead: float, took: float) -> None:
        """Whichever is ahead, however long the answer took."""
        middle = NOON + timedelta(seconds=took / 2 + ahead)
        knock = Knock(NOON, NOON + timedelta(seconds=took), middle.replace(microsecond=0))

        if abs(ahead) < 4:
            assert checks.judge_clocks(knock).outcome is Outcome.OK
        elif abs(ahead) > 6:
            with pytest.raises(CheckFailed) as failed:
                checks.judge_clocks(knock)
            assert ("ahead of" if ahead > 0 else "behind") in str(failed.value)

    def test_a_server_that_tells_no_time_is_not_judged(self) -> None:
        """A proxy may leave the header out."""
        assert checks.judge_clocks(Knock(NOON, NOON, None)).outcome is Outcome.SKIPPED


class TestSpace:
    """Room for recordings."""

    @pytest.mark.parametrize(
        ("free", "total", "trouble"),
        [
            (999_000_000, 1_500_000_000, Trouble.DISK_FULL),
            (4_000_000_000, 100_000_000_000, Trouble.SPACE_SHORT),
        ],
    )
    def test_little_room_is_told_in_hours(self, free: int, total: int, trouble: Trouble) -> None:
        """Hours of calls are what an operator can compare with the day's."""
        with pytest.raises(CheckFailed) as failed:
            checks.judge_space(Folder("/r", 1000, free, total))

        assert failed.value.trouble is trouble
        assert f"{free / 90e6:.0f} hours" in str(failed.value)

    def test_enough_room_is_told_in_hours_too(self) -> None:
        """9 GB are a hundred hours."""
        found = checks.judge_space(Folder("/r", 1000, 9_000_000_000, 20_000_000_000))

        assert found == checks.ok("9.0 GB free: enough for 100 hours of calls")


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (Database("7.0.1", "rs0", is_ours=False), "of MONGO_URI, replica set rs0"),
        (Database("6.0.5", "", is_ours=True), "for this machine only, no replica set"),
    ],
)
def test_a_database_is_described(database: Database, words: str) -> None:
    """Its version, whose it is, and what it is."""
    assert words in checks.judge_database(database).words


@pytest.mark.parametrize(
    ("after", "trouble"),
    [
        (WebhookTally(3, 1), Trouble.WEBHOOK_SILENT),
        (WebhookTally(5, 1), Trouble.WEBHOOK_ELSEWHERE),
        (WebhookTally(5, 2, "signed by nobody"), Trouble.WEBHOOK_REFUSED),
    ],
)
def test_a_webhook_that_did_not_arrive_is_explained(after: WebhookTally, trouble: Trouble) -> None:
    """By what the service counted since the room was opened."""
    failed = checks.judge_silence(
        WebhookTally(3, 1), after, waited=10, example="http://h:5000/webhook", database="calls"
    )

    assert failed.trouble is trouble
    assert after.refused_because in str(failed)


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [("no_audio", Trouble.CALL_NOT_CAPTURED), ("encrypted", Trouble.CALL_NOT_FINISHED)],
)
def test_a_call_without_a_file_is_explained(reason: str, trouble: Trouble) -> None:
    """A recorder that heard nothing was behind a firewall, mostly."""
    failed = checks.judge_end("rec_1", reason)

    assert failed.trouble is trouble
    assert reason in str(failed)


class TestSound:
    """What was heard in the file of a test call."""

    GOOD = Heard(left=0.99, right=0.01, right_dbfs=-90, plays_sec=4.0)

    @staticmethod
    def judged(heard: Heard, *, goes_on_sec: float = 0.0, is_alone: bool = True) -> Result:
        """A call of 4.2 s in which 2 s were played."""
        return checks.judge_sound(
            heard,
            stay_sec=4.2,
            said_sec=2,
            goes_on_sec=goes_on_sec,
            is_alone=is_alone,
            path="/r/a.mp4",
            server="1.13.5",
        )

    def test_the_caller_is_on_the_left_and_nobody_on_the_right(self) -> None:
        """It says where the file is, since it stays."""
        found = self.judged(self.GOOD)

        assert found.outcome is Outcome.OK
        assert "/r/a.mp4" in found.words

    def test_a_recorder_that_goes_on_after_the_call_makes_a_longer_file(self) -> None:
        """LiveKit Egress has some of the call on its way into the file when the caller leaves."""
        longer = Heard(0.99, 0.01, -90, 4.2 + 3 + 1.5)

        assert self.judged(longer, goes_on_sec=3).outcome is Outcome.OK
        with pytest.raises(CheckFailed):
            self.judged(longer)

    def test_somebody_else_in_the_room_may_be_heard_on_the_right(self) -> None:
        """An agent answers every call, maybe this one too."""
        found = self.judged(Heard(0.99, 0.1, -12, 4.0), is_alone=False)

        assert "others on the right" in found.words

    @pytest.mark.parametrize(
        ("heard", "is_alone", "trouble"),
        [
            (Heard(0.5, 0.0, -120, 4.0), True, Trouble.SOUND_MISSING),
            (Heard(-0.1, 0.0, -120, 0.0), True, Trouble.SOUND_MISSING),
            (Heard(0.0, 0.99, -9, 4.0), True, Trouble.SOUND_ON_WRONG_SIDE),
            (Heard(0.99, 0.99, -9, 4.0), False, Trouble.SOUND_NOT_ALONE),
            (Heard(0.99, 0.01, -30, 4.0), True, Trouble.SOUND_NOT_ALONE),
            (Heard(0.99, 0.0, -120, 1.9), True, Trouble.LENGTH_WRONG),
            (Heard(0.99, 0.0, -120, 9.0), True, Trouble.LENGTH_WRONG),
        ],
    )
    def test_what_is_wrong_with_a_file_is_named(
        self, heard: Heard, is_alone: bool, trouble: Trouble
    ) -> None:
        """The first thing that is."""
        with pytest.raises(CheckFailed) as failed:
            self.judged(heard, is_alone=is_alone)

        assert failed.value.trouble is trouble

"""Where the packets of a capture lie in the files that were made of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from egress_manager.audio.listen import listen
from egress_manager.domain.captures import JOURNAL
from egress_manager.domain.proof import judge
from tests.unit.audio import made_up
from tests.unit.audio.made_up import BEGINS_AT
from tests.unit.proof import calls
from tests.unit.proof.calls import Made, Scene


def made(directory: Path, **how: object) -> Made:
    """A call in which two people take turns."""
    first, second = (made_up.babble(24.0, seed, pitch) for seed, pitch in ((1, 120), (2, 210)))
    lines = (
        made_up.Line("caller", first, **{"dtx": True, **how}),  # type: ignore[arg-type]
        made_up.Line("agent", second, kind="AGENT", dtx=True),
    )
    return calls.make(Scene("turns", lines), directory)


def faults(call: Made) -> set[str]:
    """What is found to be wrong."""
    return {finding.name for finding in judge(listen(call.claim)).faults}


@pytest.mark.parametrize(
    "how",
    [{}, {"ahead": 0.4}, {"ahead": 0.4, "dtx": False}, {"leaps": [(9.0, 0.5)]}, {"jitter": 0.05}],
)
def test_files_of_today_are_where_their_packets_came(tmp_path, how):
    """Whatever the publisher does with its timestamps."""
    assert not faults(made(tmp_path, **how))


#: A publisher without CPU time: so much later it sends what is due in these spans.
STARVED = {
    "stalls, and sends all at once": [(n, n + 0.02, 0.5 * n / 4) for n in (4.0, 9.0, 15.0, 19.0)],
    "stalls again before it caught up": [(9.0, 12.0, 1.0), (12.0, 12.02, 2.0)],
    "makes up for it bit by bit": [
        *((9 + n / 10, 9.1 + n / 10, 2 - 0.03 * n) for n in range(66)),
        (15.7, 15.72, 2.0),
    ],
    "is too slow, then catches up": [(5 + n / 10, 5.1 + n / 10, n / 40) for n in range(80)],
}


@pytest.mark.parametrize("late", STARVED.values(), ids=STARVED)
@pytest.mark.parametrize(("dtx", "noise"), [(True, 0.0), (False, 0.0), (False, 0.003)])
def test_what_a_starved_publisher_sends_late_was_said_where_its_counter_says(
    tmp_path, late, dtx, noise
):
    """Its timestamps are honest, and come in time again: who has patience hears it in its place."""
    sound = made_up.babble(24.0, 1, 120)
    sound += np.random.default_rng(1).normal(0, noise, len(sound)).astype(sound.dtype)

    line = made_up.Line("caller", sound, dtx=dtx, late=late, reports=False)

    assert not faults(_call(tmp_path, line))


@pytest.mark.parametrize("seconds", [0.4, -0.4, 1.5])
def test_words_that_are_played_when_they_had_not_come_are_found(tmp_path, seconds):
    """The journal says another time of arrival than the one that the files were made by."""
    call = made(tmp_path)
    came_later(call.claim.captures[0], seconds, after=10.0)

    assert faults(call) == {"misplaced"}


def came_later(capture: str, seconds: float, *, after: float) -> None:
    """Have a journal say that the first track's pages came at another time, from a moment on."""
    journal = Path(capture) / JOURNAL
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["is"] == "page" and line["stretch"] == 1 and line["at"] > BEGINS_AT + after:
            line["came"] += seconds
            line["arrived"] += seconds
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def overlapping(directory: Path, since: float, until: float, **how: Any) -> Made:
    """A call whose one capture is followed by another before it ends, by another stream."""
    sound = made_up.babble(24.0, 1, 120)
    line = made_up.Line("caller", sound, **how)
    other = replace(line, ssrc=9)
    made_up.capture([other], starts=since, ends_at=24.0, name="cap_2").write(directory / "cap_2")
    first = made_up.capture([line], ends_at=until)
    return calls.make(Scene("two captures", (line,)), directory, written=first, more=("cap_2",))


@pytest.mark.parametrize("span", [(9.0, 9.3), (11.3, 13.3)])
@pytest.mark.parametrize("how", [{}, {"jitter": 0.08}, {"loss": 0.05}])
def test_where_captures_overlap_either_may_be_played(tmp_path, span, how):
    """Each packet of it was kept twice, and is played once."""
    assert not faults(overlapping(tmp_path, *span, dtx=True, **how))


def test_what_was_sent_ahead_of_time_is_in_both_captures(tmp_path):
    """They meet as much of an utterance comes at once: it is played from the first one."""
    assert not faults(overlapping(tmp_path, 11.3, 13.3, dtx=True, ahead=1.5))


@pytest.mark.parametrize(("capture", "after"), [(0, 3.0), (1, 15.0)])
def test_captures_that_overlap_hide_nothing_elsewhere(tmp_path, capture, after):
    """A word before they meet is out of its place, or one after that."""
    call = overlapping(tmp_path, 9.0, 11.0, dtx=True)
    came_later(call.claim.captures[capture], 0.4, after=after)

    assert faults(call) == {"misplaced"}


def test_a_packet_of_two_captures_may_be_lacking_elsewhere(tmp_path):
    """Of what only the second one has some is in no file."""
    call = overlapping(tmp_path / "lacks", 9.0, 11.0, dtx=True, holes=[(14.0, 20.0)])
    whole = overlapping(tmp_path / "whole", 9.0, 11.0, dtx=True)
    for spoilt, intact in zip(call.claim.captures, whole.claim.captures, strict=True):
        shutil.rmtree(spoilt)
        shutil.copytree(intact, spoilt)
    claim = replace(call.claim, tracks=tuple(replace(t, holes=()) for t in call.claim.tracks))

    assert "not_played" in faults(replace(call, claim=claim))


@pytest.mark.parametrize("share", [-0.05, 0.03])
def test_a_clock_that_is_too_far_off_to_be_followed_is_named(tmp_path, share):
    """More than 2 %: nobody's sound card."""
    assert "misplaced" in faults(made(tmp_path, drift_ppm=share * 1e6, dtx=False))


def test_packets_that_are_in_no_file_are_found(tmp_path):
    """The capture has more of a voice than the files that are said to be made of it."""
    call = made(tmp_path / "lacks", holes=[(8.0, 14.0)])
    whole = made(tmp_path / "whole")
    shutil.rmtree(call.claim.captures[0])
    shutil.copytree(whole.claim.captures[0], call.claim.captures[0])
    claim = replace(call.claim, tracks=tuple(replace(t, holes=()) for t in call.claim.tracks))

    assert "not_played" in faults(replace(call, claim=claim))


def test_where_one_of_two_same_packets_is_played_is_not_guessed(tmp_path):
    """Somebody says the same word three times, and one of them is not in the file."""
    word = made_up.babble(0.6, 1, 120)
    sound = np.concatenate([np.concatenate([word, made_up.silence(1.4)]) for _ in range(3)])
    call = _call(tmp_path / "lacks", made_up.Line("caller", sound, dtx=True, holes=[(1.9, 2.7)]))
    whole = _call(tmp_path / "whole", made_up.Line("caller", sound, dtx=True))
    shutil.rmtree(call.claim.captures[0])
    shutil.copytree(whole.claim.captures[0], call.claim.captures[0])

    assert "misplaced" not in faults(call)


def test_what_was_sent_ahead_of_time_when_the_call_ended_was_never_heard(tmp_path):
    """Somebody hangs up in the middle of what a voice bot says."""
    line = made_up.Line("agent", made_up.babble(8.0, 1, 120), ahead=1.5, dtx=True)
    call = calls.make(Scene("hung up", (line,), seconds=5.6), tmp_path)
    found = judge(listen(call.claim))

    (cut,) = (finding for finding in found.findings if finding.name == "never_heard")
    assert cut.amount == pytest.approx(1.06, abs=0.05)
    assert not found.faults


def test_what_a_mistake_moved_beyond_the_end_is_missed(tmp_path):
    """The journal knows of nothing that was sent ahead of time; the files are late from 12 s on."""
    sound = made_up.babble(24.0, 1, 120)
    sound += np.random.default_rng(1).normal(0, 0.003, len(sound)).astype(sound.dtype)
    moved = _call(tmp_path / "moved", made_up.Line("caller", sound, late=[(12.0, 24.0, 3.0)]))
    whole = _call(tmp_path / "whole", made_up.Line("caller", sound))
    shutil.rmtree(moved.claim.captures[0])
    shutil.copytree(whole.claim.captures[0], moved.claim.captures[0])

    assert faults(moved) == {"misplaced", "not_played"}


def _call(directory: Path, caller: made_up.Line) -> Made:
    seconds = len(caller.sound) / made_up.TICKS - 0.1
    return calls.make(Scene("one line", (caller,), seconds=seconds), directory)

"""Recorders that come in the middle of a word that a voice bot had sent ahead of time."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from egress_manager.audio.listen import listen
from egress_manager.domain.captures import TICKS
from egress_manager.domain.proof import judge
from tests.unit.audio import made_up
from tests.unit.audio.made_up import Line
from tests.unit.audio.test_odd_timestamps import worst
from tests.unit.audio.test_played_packets import came_later
from tests.unit.proof import calls
from tests.unit.proof.calls import Made, Scene

LENGTH: Final = 24.0
#: When words begin that last for a second and a half, and marks in them.
WORDS: Final = (1.0, 4.0, 6.5, 11.0, 13.0, 18.0, 21.0)
LASTS: Final = 1.5
#: How far a mark may lie from where it was said. Seconds.
PLACE: Final = 0.02


def marks(since: float) -> list[float]:
    """Those that come after a moment, however early they are sent."""
    every = (word + 0.1 + n * 0.2 for word in WORDS for n in range(7))
    return [mark for mark in every if mark > since]


def bot(lead: float) -> Line:
    """Each word without a pause in it, the first part of it sent at once."""
    sound = made_up.with_chirps(LENGTH, marks(0.0))
    noise = np.random.default_rng(1).normal(0, 0.005, len(sound)).astype(sound.dtype)
    for word in WORDS:
        span = slice(round(word * TICKS), round((word + LASTS) * TICKS))
        sound[span] += noise[span]
    return Line("agent", sound, kind="AGENT", ahead=lead, dtx=True, jitter=0.005)


def joined(directory: Path, line: Line, since: float) -> Made:
    """A call whose recorder gets the track from a moment on."""
    heard = replace(line, heard_from=since)
    return calls.make(Scene("joined", (heard,), LENGTH), directory)


def handed_over(directory: Path, line: Line, since: float, until: float) -> Made:
    """A call of two captures, of which one begins before the other one ends."""
    second = made_up.capture([replace(line, ssrc=9)], starts=since, ends_at=LENGTH, name="cap_2")
    second.write(directory / "cap_2")
    first = made_up.capture([line], ends_at=until)
    scene = Scene("handed over", (line,), LENGTH)
    return calls.make(scene, directory, written=first, more=("cap_2",))


def off(call: Made, since: float = 0.0) -> float:
    """How far the worst mark is from its place in mix or track."""
    paths = [call.claim.path, *(track.path for track in call.claim.tracks if track.path)]
    sounds = [made_up.decoded(Path(path)).sum(axis=0) for path in paths]
    return max(worst(sound, marks(since)) for sound in sounds)


def faults(call: Made) -> set[str]:
    """What is found to be wrong."""
    return {finding.name for finding in judge(listen(call.claim)).faults}


LEADS = [0.2, 0.32, 0.5, 1.0]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("since", [1.2, 6.7])
def test_the_rest_of_a_word_and_what_follows_it_are_in_their_place(tmp_path, since, lead):
    """The witness does not call the rest too late: the packets before it were not seen."""
    call = joined(tmp_path, bot(lead), since)

    assert off(call, since + lead) < PLACE
    assert not faults(call)


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("span", [(4.2, 4.4), (6.6, 8.0), (11.2, 11.3)])
def test_a_word_in_which_one_capture_follows_another_is_whole(tmp_path, span, lead):
    """Both play it at the same time, so what the second one has goes on where the first ends."""
    call = handed_over(tmp_path, bot(lead), *span)

    assert off(call) < PLACE
    assert not faults(call)


@pytest.mark.parametrize("lead", LEADS)
def test_files_that_are_early_by_what_is_sent_ahead_are_found(tmp_path, lead):
    """All is played so much before it came, or what follows the first word is."""
    for n, after in enumerate((0.0, 3.5)):
        call = joined(tmp_path / str(n), bot(lead), since=1.2)
        came_later(call.claim.captures[0], lead, after=after)

        assert faults(call) == {"misplaced"}


@pytest.mark.parametrize("lead", [0.32, 0.5, 1.0])
def test_files_that_are_late_by_what_is_sent_ahead_are_found(tmp_path, lead):
    """What is said of the first word does not hold for those that follow."""
    call = joined(tmp_path, bot(lead), since=1.2)
    came_later(call.claim.captures[0], -lead, after=3.5)

    assert faults(call) == {"misplaced"}

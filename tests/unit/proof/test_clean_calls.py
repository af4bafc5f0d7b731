"""Nothing is found where nothing is wrong: calls of every kind that tests can make up.

`python -m benchmarks proof` makes ten times as many.
"""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from egress_manager.audio.listen import listen
from egress_manager.domain.captures import TICKS
from egress_manager.domain.evidence import Claim, TrackClaim
from egress_manager.domain.proof import judge
from tests.unit.audio import made_up
from tests.unit.proof import calls
from tests.unit.proof.calls import SCENES, Made


def made(name: str, directory: Path, n: int) -> Made:
    """A call of that kind, in one format or the other."""
    return calls.make(calls.scene(name, 40 + n, mix_format=("mp4", "ogg")[n % 2]), directory)


@pytest.mark.parametrize(("n", "name"), list(enumerate(SCENES)), ids=list(SCENES))
def test_a_clean_call_is_verified(n, name, tmp_path):
    """Whatever is said in it, and whatever its packets went through."""
    judgement = judge(listen(made(name, tmp_path, n).claim))

    assert not [finding.words for finding in judgement.faults]
    assert judgement.verdict == "verified"


@pytest.mark.parametrize(("n", "name"), list(enumerate(SCENES))[::5], ids=list(SCENES)[::5])
def test_a_clean_call_of_livekit_egress_is_verified(n, name, tmp_path):
    """Its files begin at other times than the call, and say so not too exactly."""
    claim = calls.as_theirs(made(name, tmp_path, n), tmp_path, seed=n)

    judgement = judge(listen(claim))

    assert not [finding.words for finding in judgement.faults]


@pytest.mark.parametrize("seed", [5009, 5054, 5141])
def test_a_single_packet_fits_at_any_speed_and_proves_no_fast_start(seed, tmp_path):
    """In a window of a second with one packet in it, any speed is as good."""
    made = calls.make(calls.scene("starved agent", seed), tmp_path)

    assert not [finding.words for finding in judge(listen(made.claim)).faults]


def test_a_track_that_is_too_quiet_after_a_silence_proves_no_leak(tmp_path):
    """Two of one process begin with the same words, of which single packets come."""
    words = made_up.babble(24.0)
    lines = []
    for who, until in (("caller", 24), ("agent", 1)):
        said = np.where(np.arange(len(words)) < until * TICKS, words, 0)
        sound, stops = calls.broken_off(said, random.Random(1), singles=10)
        lines.append(made_up.Line(who, sound, stops=stops, bits=96_000))
    made = calls.make(calls.Scene("one process", tuple(lines)), tmp_path)

    assert not [finding.words for finding in judge(listen(made.claim)).faults]


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5, 9.0])
def test_a_short_call_is_verified(seconds, tmp_path):
    """There may be less of it than is looked for at once."""
    lines = calls.scene("steady voice", seconds=10.0).lines
    scene = calls.Scene("short", lines, seconds)

    judgement = judge(listen(calls.make(scene, tmp_path).claim))

    assert not [finding.words for finding in judgement.faults]


def test_a_file_without_tracks_is_verified_as_far_as_that_goes(tmp_path):
    """An imported one: it can be decoded, and both sides are heard; more is not known."""
    claim = made("turns", tmp_path, 0).claim

    judgement = judge(listen(replace(claim, is_ours=False, tracks=())))

    assert judgement.verdict == "verified"
    assert "not_compared" in {finding.name for finding in judgement.findings}


def test_a_party_that_publishes_anew_is_found_in_its_place(tmp_path):
    """Two tracks on one side, with tones that are alike everywhere: neither is there alone."""
    sides = made_up.silence(5.0), made_up.silence(5.0)
    for sound, at, lasts in ((sides[0], 0.8, 1.0), (sides[1], 3.6, 1.3)):
        t = np.arange(round(lasts * TICKS)) / TICKS
        calls.put(sound, at, (0.35 * np.sin(2 * np.pi * 700 * t)).astype(np.float32))
    calls.write(tmp_path / "mix.mp4", np.stack([sides[0] + sides[1], 0 * sides[0]]), "aac", 96_000)
    tracks = []
    for n, sound in enumerate(sides):
        calls.write(tmp_path / f"{n}.ogg", sound[None], "libopus", 32_000)
        tracks.append(TrackClaim(f"TR_{n}", "left", str(tmp_path / f"{n}.ogg")))
    claim = Claim(str(tmp_path / "mix.mp4"), duration_sec=5.0, tracks=tuple(tracks))

    judgement = judge(listen(claim))

    assert not [finding.words for finding in judgement.faults]

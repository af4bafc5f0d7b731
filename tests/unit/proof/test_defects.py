"""What is wrong with a recording is found, under its right name, however little of it there is.

These are the first and the last degree of every kind; `python -m benchmarks proof` tries them all,
in both formats and on several calls.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from egress_manager.audio.listen import listen
from egress_manager.domain.evidence import Claim
from egress_manager.domain.findings import KINDS
from egress_manager.domain.proof import judge
from tests.unit.proof import calls, defects
from tests.unit.proof.defects import DEFECTS, Clean, Defect

#: What is worst of it, and what is least, alternating between the formats.
FORMATS = ("mp4", "ogg")

DEFECT = {str(defect): defect for defect in DEFECTS}


def some() -> Iterator[tuple[Defect, str]]:
    """The first and the last degree of each kind, each in one of the formats."""
    kinds: dict[str, list[Defect]] = defaultdict(list)
    for defect in DEFECTS:
        kinds[defect.name].append(defect)
    for n, degrees in enumerate(kinds.values()):
        for m, defect in enumerate(dict.fromkeys((degrees[0], degrees[-1]))):
            yield defect, defect.only or FORMATS[(n + m) % 2]


class Calls:
    """The calls that defects are made of, each rendered once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = cache(self._made)

    def _made(self, seed: int, mix_format: str, seconds: float) -> calls.Made:
        scene = calls.scene("lively", seed, seconds, mix_format=mix_format)
        return calls.make(scene, self.directory / f"{seed}-{mix_format}-{seconds}")

    def clean(self, mix_format: str, directory: Path, *, long: bool = False) -> Clean:
        """A call, and another one."""
        call = self.made(1, mix_format, 240.0 if long else 26.0)
        return Clean(call, self.made(2, mix_format, 26.0), directory)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """Calls that are shared by all tests of this file."""
    return Calls(tmp_path_factory.mktemp("calls"))


def faults(claim: Claim) -> set[str]:
    """The names of what is found to be wrong."""
    return {finding.name for finding in judge(listen(claim)).faults}


@pytest.mark.parametrize(("defect", "mix_format"), list(some()), ids=str)
def test_a_defect_is_found_by_its_name(defect, mix_format, made, tmp_path):
    """That name, and no other."""
    clean = made.clean(mix_format, tmp_path, long=defect.needs_long)

    assert faults(defect.spoil(clean)) == {defect.name}


IN_SHORT_CALLS = (
    "silent: left, digital silence",
    "swapped: all along",
    "leak: -20 dB both ways",
    "hole: 1 s, both",
    "clipped: 24 dB too loud",
    "clipped: cut at 0.25 of the peak",
    "level: left -6 dB",
)


@pytest.mark.parametrize("name", IN_SHORT_CALLS)
def test_a_defect_is_found_in_a_call_of_some_seconds(name, made, tmp_path):
    """There is little sound to tell it by."""
    defect = DEFECT[name]
    clean = Clean(made.made(1, "mp4", 8.0), made.made(2, "mp4", 8.0), tmp_path)

    assert faults(defect.spoil(clean)) == {defect.name}


@pytest.mark.parametrize("mix_format", FORMATS)
def test_what_is_only_encoded_again_is_not_spoilt(mix_format, made, tmp_path):
    """So it is the defects that are found, and not what was done to make them."""
    clean = made.clean(mix_format, tmp_path)

    assert not faults(defects.remixed(clean, clean.sound))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda data: b"", "empty"),
        (lambda data: bytes(len(data)), "unreadable"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[:20_000] + bytes(500) + data[20_500:], "damaged"),
    ],
)
def test_a_spoilt_track_file_flaws_the_recording(change, name, made, tmp_path):
    """The mix is what it was, and is judged by what is left of its tracks."""
    clean = made.clean("mp4", tmp_path)
    claim = defects.rewritten_track(clean, change)

    judgement = judge(listen(claim))

    of_the_track = {f.name for f in judgement.faults if f.track_sid == "TR_caller"}
    assert name in of_the_track
    assert judgement.verdict == "flawed"


def test_a_voice_that_is_in_no_file_is_never_verified(made, tmp_path):
    """The mix has lost what is in opposite phase, and so do players, under a mono head."""
    stereo = defects.in_stereo(made.clean("mp4", tmp_path), "mono, then stereo")

    judgement = judge(listen(defects.folded(defects.averaged(stereo))))

    assert {finding.name for finding in judgement.faults} == {"silent", "folded"}
    assert judgement.verdict == "rejected"


def test_a_track_file_that_is_not_there_is_a_fault(made, tmp_path):
    """The document names it, and nobody has it."""
    clean = made.clean("mp4", tmp_path)
    first, *rest = clean.call.claim.tracks
    gone = replace(first, path=str(tmp_path / "gone.ogg"))

    judgement = judge(listen(replace(clean.call.claim, tracks=(gone, *rest))))

    assert ("missing", "TR_caller") in {(f.name, f.track_sid) for f in judgement.faults}
    assert judgement.verdict == "flawed"


THEIRS = (
    "silent: left, digital silence",
    "swapped: all along",
    "both_sides_same: a mono mix on both",
    "other_call: both",
    "hole: 3.0 s, right",
    "goes_silent: right, from 8 s on",
    "leak: -10 dB on the left",
    "truncated: 50% of the bytes",
    "level: left -20 dB",
)


@pytest.mark.parametrize("name", THEIRS)
def test_defects_are_found_in_files_of_livekit_egress_too(name, made, tmp_path):
    """Although they begin at other times, and by other clocks."""
    defect = DEFECT[name]
    clean = made.clean("mp4", tmp_path)
    theirs = replace(clean.call, claim=calls.as_theirs(clean.call, tmp_path))

    assert faults(defect.spoil(replace(clean, call=theirs))) == {defect.name}


def test_every_fault_has_a_defect():
    """But for those that are in no file and no journal.

    Whether files can be listened to at all is tried in `tests/story/`, what a journal says of
    quotas in `tests/unit/domain/test_quotas.py`, which tracks claim encryption in `tests/story/`.
    """
    told_by_others = {"out_of_reach", "not_heard", "over_quota", "encrypted"}
    faults_known = {name for name, kind in KINDS.items() if kind.weight != "notes"}

    assert {defect.name for defect in DEFECTS} == faults_known - told_by_others

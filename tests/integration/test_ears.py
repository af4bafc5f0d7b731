"""What holds for whoever listens: the renderer process, and the ears that tests have."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.audio.listen import listen
from egress_manager.domain.evidence import Claim, TrackClaim
from egress_manager.domain.proof import judge
from egress_manager.domain.recordings import Verdict
from egress_manager.errors import ListenFailed
from egress_manager.ports import Ears
from egress_manager.testing import MemoryEars, MemoryFiles
from tests.unit.audio import made_up
from tests.unit.proof import calls
from tests.unit.proof.calls import Made


@dataclass
class Listener:
    """Ears, and a call that they can hear: its claim, with paths below the directory."""

    ears: Ears
    claim: Claim


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A call whose files are all right."""
    return calls.make(calls.scene("turns", seconds=14.0), tmp_path_factory.mktemp("call"))


@pytest.fixture(params=["memory", "process"])
async def listener(request: pytest.FixtureRequest, made: Made) -> AsyncIterator[Listener]:
    """The fake, then the process."""
    if request.param == "memory":
        files = MemoryFiles({made.claim.path, *(track.path or "" for track in made.claim.tracks)})
        yield Listener(MemoryEars(files), made.claim)
        return
    process = ProcessRenderer(Path(made.claim.path).parent)
    await process.start()
    try:
        yield Listener(process, made.claim)
    finally:
        await process.aclose()


class TestEars:
    """What holds for both."""

    async def test_a_good_call_is_heard_as_it_is_claimed(self, listener: Listener) -> None:
        """The mix, and every track."""
        evidence = await listener.ears.listen(listener.claim)

        assert evidence.claim == listener.claim
        assert len(evidence.tracks) == len(listener.claim.tracks)
        assert len(evidence.mix.channels) == 2
        assert judge(evidence).verdict is Verdict.VERIFIED

    async def test_what_is_not_there_is_told_and_not_raised(self, listener: Listener) -> None:
        """Neither the mix nor a track."""
        lost = TrackClaim("TR_lost", "left", "nowhere.ogg")

        evidence = await listener.ears.listen(Claim("nowhere.mp4", tracks=(lost,)))

        assert evidence.mix.problem == "missing"
        assert evidence.tracks[0].heard.problem == "missing"
        assert judge(evidence).verdict is Verdict.MISSING


async def test_paths_may_be_relative_to_the_recordings(made: Made) -> None:
    """So are those of objects that were brought here."""
    path = Path(made.claim.path)
    process = ProcessRenderer(path.parent)
    await process.start()
    try:
        evidence = await process.listen(Claim(path.name))
    finally:
        await process.aclose()

    assert not evidence.mix.problem


async def test_a_process_that_is_killed_listens_anew(made: Made) -> None:
    """Whoever asked does not notice."""
    process = ProcessRenderer(Path(made.claim.path).parent)
    await process.start()
    try:
        asked = [asyncio.create_task(process.listen(made.claim)) for _ in range(4)]
        await asyncio.sleep(0)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        evidence = await asyncio.gather(*asked)
    finally:
        await process.aclose()

    assert {judge(one).verdict for one in evidence} == {Verdict.VERIFIED}


async def test_a_mistake_of_ours_is_told_as_one(made: Made) -> None:
    """And the process goes on."""
    process = ProcessRenderer(Path(made.claim.path).parent)
    await process.start()
    try:
        with pytest.raises(ListenFailed, match="TypeError"):
            await process.listen(Claim(path=None))  # type: ignore[arg-type]
        assert not (await process.listen(made.claim)).mix.problem
    finally:
        await process.aclose()


@pytest.mark.parametrize("is_two", [True, False])
async def test_a_room_that_is_the_same_on_both_sides_is_verified(
    tmp_path: Path, is_two: bool
) -> None:
    """Nobody in it is a caller: everybody is heard on both."""
    made = calls.make(calls.scene("turns", seconds=14.0), tmp_path)
    sound = made_up.decoded(Path(made.claim.path)).sum(axis=0)
    one = np.clip(sound, -1, 1)
    mix = tmp_path / "room.mp4"
    calls.write(mix, np.stack([one, one]) if is_two else one[None], "aac", 96_000)
    tracks = tuple(TrackClaim(track.track_sid, "both", track.path) for track in made.claim.tracks)
    claim = Claim(str(mix), is_ours=False, duration_sec=14.0, tracks=tracks, has_two_sides=False)

    judgement = judge(listen(claim))

    assert not [finding.words for finding in judgement.faults]

"""The recordings directory, when a recording never gets its files."""

import os
from pathlib import Path

from egress_manager.adapters.local_files import LocalFiles

STEM = "room [1]/sip_1-rec_1"


async def test_what_never_came_leaves_nothing(tmp_path: Path) -> None:
    """Neither files that a process had begun and died, nor folders; the directory itself stays."""
    tracks = tmp_path / f"{STEM}.tracks"
    tracks.mkdir(parents=True)
    (tracks / ".TR_1.ogg.0a1b.part").touch()
    (tmp_path / "room [1]" / ".sip_1-rec_1.mp4.0a1b.part").touch()
    files = LocalFiles(tmp_path)

    await files.tidy(f"{STEM}.tracks/{{track_id}}")
    await files.tidy(STEM)
    await files.tidy(STEM)

    assert os.listdir(tmp_path) == []


async def test_what_others_have_in_the_room_stays(tmp_path: Path) -> None:
    """Another recording's mix, also one in the making, and whatever somebody put there."""
    room = tmp_path / "room [1]"
    room.mkdir()
    others = {".sip_2-rec_2.mp4.0a1b.part", "sip_3-rec_3.mp4", "sip_1-rec_1.mp4", "note.txt"}
    for name in others:
        (room / name).touch()

    await LocalFiles(tmp_path).tidy(STEM)

    assert {path.name for path in room.iterdir()} == others

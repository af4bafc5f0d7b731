"""The key is on the disk when it is used, on any disk, and its checkpoint never goes back."""

import asyncio
import errno
import os
import stat
from pathlib import Path

import pytest

from egress_manager.adapters.local_signing_key import signing_key


def note(size: int) -> str:
    """A checkpoint of that size, as nobody signed it."""
    return f"o\n{size}\nAAAA\n\n— o b\n"


def test_the_names_of_a_key_and_its_folders_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a host that loses its power loses the key, and what it signed."""
    synced: list[str] = []
    plain = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    signing_key(tmp_path / "a" / "b" / "key")

    assert synced[1:] == [str(tmp_path / each) for each in ("a/b", "a", "")]


def test_a_disk_without_hard_links_keeps_a_key_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is there stays."""

    def refusing(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refusing)
    made = signing_key(tmp_path / "key")

    assert signing_key(tmp_path / "key").verifier_key == made.verifier_key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


async def test_a_checkpoint_of_another_process_is_not_set_back(tmp_path: Path) -> None:
    """Whichever of them writes last."""
    here, there = (signing_key(tmp_path / "key") for _ in range(2))
    await there.note(1, note(1))
    await here.note(3, note(3))
    await there.note(2, note(2))
    assert await here.noted() == note(3)

    sizes = range(4, 60)
    keys = {size: signing_key(tmp_path / "key") for size in sizes}
    await asyncio.gather(*(key.note(size, note(size)) for size, key in keys.items()))

    assert await here.noted() == note(59)
    assert set(os.listdir(tmp_path)) == {"key", "key.checkpoint"}

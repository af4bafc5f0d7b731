"""Nobody but the owner and the group reads what is made, whatever umask a process was given."""

import gc
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from egress_manager import cli
from egress_manager.adapters.local_depot import _copy
from egress_manager.adapters.process_renderer import ProcessRenderer
from egress_manager.domain.roles import Role
from egress_manager.process import running
from egress_manager.recorder.append import AppendFile
from egress_manager.settings import Settings, load_settings
from egress_manager.wiring import cautions
from tests.integration.other_user import LIST, READ, needs_root, refused
from tests.integration.test_renderer import plan, script

OTHERS = stat.S_IRWXO
GROUP_WRITES = stat.S_IWGRP


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """The umask with which most shells and services begin."""
    before = os.umask(0o022)
    yield
    os.umask(before)
    gc.unfreeze()  # what a process of ours had frozen at its start


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where every user of this host can come, unlike pytest's own directory."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def settings(directory: Path, mongo_uri: str = "mongodb://127.0.0.1:1/", **given: str) -> Settings:
    """A service whose recordings go there; a LiveKit is not needed."""
    return load_settings(
        None,
        livekit_url="ws://127.0.0.1:1",
        livekit_api_key="key",
        livekit_api_secret="a secret of thirty-two characters",
        mongo_uri=mongo_uri,
        recordings_dir=directory / "recordings",
        **given,
    )


def open_to_others(directory: Path) -> list[str]:
    """Everything in it that others may read, or the group may write."""
    return [
        str(path)
        for path in [directory, *directory.rglob("*")]
        if path.lstat().st_mode & (OTHERS | GROUP_WRITES) and not path.is_symlink()
    ]


async def test_all_that_a_process_makes_is_for_its_owner_and_its_group(
    mongo_uri: str, mongo_database: str, directory: Path
) -> None:
    """Captures, mixes, tracks and the folders around them, of the renderer's process too."""
    made = directory / "recordings"
    with_database = settings(directory, mongo_uri, mongo_db=mongo_database)

    async with running(with_database, {Role.JOBS, Role.RECORDER}):
        script().write(made / ".captures/cap_1")
        file = AppendFile(made / ".captures/cap_1/more")
        file.write(b"packets")
        file.close()
        rendered = await _rendered(made)

    assert open_to_others(made) == []
    mix = made / rendered
    assert stat.S_IMODE(mix.stat().st_mode) == 0o640
    assert stat.S_IMODE(mix.parent.stat().st_mode) == 0o750
    assert list((made / ".processes").rglob("*"))


@needs_root
async def test_another_user_of_this_host_reads_nothing(directory: Path) -> None:
    """Not a mix, though somebody opened all the folders above it; and not the list of them."""
    made = directory / "recordings"
    async with running(settings(directory), {Role.RECORDER}):
        script().write(made / ".captures/cap_1")
        mix = made / await _rendered(made)
    assert refused(LIST, made) == "PermissionError"
    for folder in (made, mix.parent):
        folder.chmod(0o755)

    assert refused(READ, mix) == "PermissionError"
    assert refused(LIST, made / ".captures") == "PermissionError"
    assert refused(READ, mix, user=os.getuid()) == ""


async def _rendered(made: Path) -> str:
    """The mix that a renderer of its own makes of the capture there."""
    renderer = ProcessRenderer(made)
    await renderer.start()
    try:
        whole = plan()
        shutil.move(made / ".captures", made / "captures")
        return (await renderer.finish(whole)).filepath
    finally:
        await renderer.aclose()
        shutil.move(made / "captures", made / ".captures")


async def test_a_group_may_write_if_the_operator_says_so(directory: Path) -> None:
    """LiveKit Egress may run as another user of the same group."""
    made = directory / "recordings"
    async with running(settings(directory, umask="007"), {Role.RECORDER}):
        file = AppendFile(made / "room/file")
        file.write(b"packets")
        file.close()

    assert stat.S_IMODE((made / "room").stat().st_mode) == 0o770
    assert stat.S_IMODE((made / "room/file").stat().st_mode) == 0o660


def test_commands_have_the_umask_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`egress-manager rebuild` and `import` make files; one that can't be used is a sentence."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["settings", "--env-example"])
    assert _umask() == 0o027

    monkeypatch.setenv("EGRESS_MANAGER_UMASK", "077")
    with pytest.raises(SystemExit):
        cli.main(["settings", "--env-example"])
    assert _umask() == 0o077

    monkeypatch.setenv("EGRESS_MANAGER_UMASK", "rwx")
    with pytest.raises(SystemExit) as ended:
        cli.main(["calls"])
    assert ended.value.code == 2
    assert "EGRESS_MANAGER_UMASK can't be used" in capsys.readouterr().err


def _umask() -> int:
    """The umask of this process."""
    now = os.umask(0o022)
    os.umask(now)
    return now


def test_a_copy_does_not_take_over_the_rights_of_the_original(tmp_path: Path) -> None:
    """A file that is imported may have been open to all."""
    os.umask(0o027)
    original, copy = tmp_path / "original.ogg", tmp_path / "room/copy.ogg"
    original.write_bytes(b"sound")
    original.chmod(0o666)
    os.utime(original, (1, 1))

    _copy(original, copy)

    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert copy.stat().st_mtime == 1


def test_settings_that_others_can_read_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As are secrets that LiveKit takes with --dev only, and a Redis that others can write to."""
    monkeypatch.chdir(tmp_path)
    env = Path(".env")
    env.touch()
    careless = load_settings(
        None,
        livekit_url="ws://127.0.0.1:1",
        livekit_api_key="devkey",
        livekit_api_secret="secret",
        webhook_secret="short",
        redis_url="redis://redis.example.com:6379/0",
    )

    for mode, said in ((0o644, True), (0o640, False), (0o600, False)):
        env.chmod(mode)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cautions.say(careless)
        events = [record.message for record in caplog.records]
        assert ("env_file_open" in events) is said
        assert events.count("secret_short") == 2
        assert events.count("redis_unprotected") == 1

    made = tmp_path / "recordings"
    for mode, said in ((0o755, True), (0o711, True), (0o750, False)):
        made.mkdir(exist_ok=True)
        made.chmod(mode)
        caplog.clear()
        cautions.say(settings(tmp_path))
        assert ["recordings_open"] * said == [record.message for record in caplog.records]

    caplog.clear()
    cautions.say(settings(tmp_path, redis_url="rediss://me:secret@redis.example.com/0"))
    assert not caplog.records

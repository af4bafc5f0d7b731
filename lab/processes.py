"""A server as a child process: started, watched, paused, killed and started again by its handle."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

#: A busy machine may take its time.
START_TIMEOUT = 90.0
#: How long a server may take to end after being asked politely, before it is killed.
STOP_TIMEOUT = 5.0
_POLL = 0.02
_TAIL_LINES = 25
#: Ask whether all threads of a child have stopped, and leave it to be asked again.
_STOPPED = os.WSTOPPED | os.WNOHANG | os.WNOWAIT


class ServerFailed(Exception):
    """A server did not do what it was told in time; the message ends with its last log lines."""


class Server:
    """One server process with its own directory and log file; not bound to an event loop.

    A subclass says what to run (`command`) and when it is ready (`answers`).
    `async with` starts it and, whatever happens, ends it and removes its directory.
    If our own process dies, the kernel kills it.
    """

    name = "server"
    #: How often a polite request to end is repeated before the server is killed.
    reminders = 0

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"lab-{self.name}-"))
        self.log = self.directory / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        #: How many files and connections it may have open from its next start on: the limit that
        #: it begins with, and the most that it may raise it to. None: as we.
        self.descriptors: tuple[int, int] | None = None

    def command(self) -> list[str]:
        """The program and its arguments; may write configuration into `directory`."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables it needs beside PATH and HOME; nothing else of ours reaches it."""
        return {}

    async def answers(self) -> bool:
        """Whether it does its work by now; asked again and again until it does."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id; raises when it does not run."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self) -> str:
        """The last lines it wrote, for messages."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        return ""

    async def start(self, timeout: float = START_TIMEOUT) -> None:
        """Start it and wait until it answers."""
        if self.is_running:
            raise ServerFailed(f"{self.name} runs already")
        self._spawn()
        try:
            await self._until(self._is_ready, timeout, "answer")
        except BaseException:
            await self.kill()
            raise

    async def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Ask it to end (SIGTERM); one that has not ended after `timeout` seconds is killed."""
        if not self.is_running:
            return
        self.resume()
        process, requests = self._running(), 1 + self.reminders
        for _ in range(requests):
            process.terminate()
            with contextlib.suppress(ServerFailed):
                await self._until(self._has_ended, timeout / requests, "end")
                return
        await self.kill()

    async def ended(self, timeout: float) -> int:
        """Ask it to end (SIGTERM) once, and wait until it has; its exit code.

        Raises `ServerFailed` when it has not ended by itself after `timeout` seconds.
        """
        process = self._running()
        process.terminate()
        await self._until(self._has_ended, timeout, "end")
        return int(process.returncode)

    async def kill(self) -> None:
        """End it without notice (SIGKILL); it gets no chance to tidy up."""
        if self._process is None:
            return
        self._process.kill()
        await self._until(self._has_ended, STOP_TIMEOUT, "die")

    async def restart(self, timeout: float = START_TIMEOUT) -> None:
        """Stop it if it runs, and start it with the same ports and data."""
        await self.stop()
        await self.start(timeout)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its sockets stay open and nobody answers, from when this returns."""
        process, deadline = self._running(), time.monotonic() + STOP_TIMEOUT
        process.send_signal(signal.SIGSTOP)
        # A signal is on its way for a moment, in which a server may still answer.
        while os.waitid(os.P_PID, process.pid, _STOPPED) is None:
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not stand still:\n{self.log_tail()}")
            time.sleep(_POLL)

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """End it at once and remove its directory."""
        await self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _spawn(self) -> None:
        # setpriv (util-linux) asks the kernel to kill the server when the thread that
        # started it ends, and then becomes the server: same process id, no fork of ours.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *self._limited(), *self.command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _limited(self) -> list[str]:
        """What starts the command with other limits than ours (prlimit becomes it, too)."""
        if self.descriptors is None:
            return []
        soft, hard = self.descriptors
        return ["prlimit", f"--nofile={soft}:{hard}", "--"]

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": str(self.directory), **self.environment()}

    async def _is_ready(self) -> bool:
        if not self.is_running:
            code = self._process.returncode if self._process else None
            raise ServerFailed(f"{self.name} ended with {code}:\n{self.log_tail()}")
        return await self.answers()

    async def _has_ended(self) -> bool:
        return not self.is_running

    async def _until(
        self, condition: Callable[[], Awaitable[bool]], timeout: float, deed: str
    ) -> None:
        deadline = time.monotonic() + timeout
        while not await condition():
            if time.monotonic() > deadline:
                message = f"{self.name} did not {deed} within {timeout:g} s"
                raise ServerFailed(f"{message}:\n{self.log_tail()}")
            await asyncio.sleep(_POLL)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise ServerFailed(f"{self.name} does not run:\n{self.log_tail()}")
        return self._process

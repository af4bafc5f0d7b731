"""`Renderer`, `Ears`: a process of its own makes the files and listens to them.

So decoding never holds up the event loop. The process is started before it is needed, and again
whenever it dies; calls that were being finished are then finished from scratch, without whoever
asked noticing.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from egress_manager.audio import messages
from egress_manager.audio.as_json import from_json, to_json
from egress_manager.audio.finished import Encrypted, NeverCaptured, NoAudio
from egress_manager.domain.evidence import Claim, Evidence
from egress_manager.domain.recordings import Rendered, RenderPlan
from egress_manager.errors import ListenFailed, RenderFailed, StorageFailed

log = logging.getLogger(__name__)

MODULE: Final = "egress_manager.audio.worker"

#: The process has to be ready within this, and to answer what takes no work. Seconds.
ANSWER_TIMEOUT: Final = 30.0

#: Finishing from scratch takes a hundredth of the call's time on an idle core; this is enough for
#: a busy one. Seconds, and seconds for each second of the call.
FINISH_TIMEOUT: Final = 60.0
FINISH_TIMEOUT_SHARE: Final = 0.2

#: So many recordings are listened to at once; others wait, and their time does not run meanwhile.
LISTENED_AT_ONCE: Final = 2

#: A process that dies again and again is started so often for one question.
ATTEMPTS: Final = 3
RESTART_AFTER: Final = 0.1

#: How long it may take to end when its input is closed; then it is killed. Seconds.
CLOSE_TIMEOUT: Final = 1.0

#: The longest line that it may say, in bytes.
LONGEST_LINE: Final = 64 * 2**20

#: Which error of ours each code of the process is.
_FAILURES: Final = {
    error.code: error
    for error in (RenderFailed, StorageFailed, NoAudio, NeverCaptured, Encrypted, ListenFailed)
}


class _Died(Exception):
    """The process died before it answered."""


class ProcessRenderer:
    """The renderer process, and what was asked of it. `start` comes first, `aclose` last."""

    def __init__(self, recordings_dir: Path) -> None:
        self._recordings_dir = recordings_dir
        self._process: Process | None = None
        self._is_up = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._followed: dict[str, RenderPlan] = {}
        self._listening = asyncio.Semaphore(LISTENED_AT_ONCE)

    @property
    def pid(self) -> int | None:
        """The process, if it is up."""
        return self._process.pid if self._process and self._is_up.is_set() else None

    async def start(self) -> None:
        """Start the process, and wait until it answers. Raises `RenderFailed` where it does not."""
        if self._life is None:
            self._life = asyncio.create_task(self._live())
        await self._ask("ping")

    async def aclose(self) -> None:
        """End the process."""
        life, self._life = self._life, None
        if life is None:
            return
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    async def follow(self, plan: RenderPlan) -> None:
        """Begin, and keep going while the call goes on; harmless to repeat with a newer plan.

        A call that is over is not followed: `finish` is what is wanted.
        """
        if plan.ends_at is not None:
            return
        self._followed[plan.recording_id] = plan
        await self._ask("follow", plan=messages.plan_to_json(plan))

    async def finish(self, plan: RenderPlan) -> Rendered:
        """The finished files. Raises `RenderFailed` in any of its kinds, `StorageFailed`."""
        if plan.ends_at is None:
            raise RenderFailed("a call that goes on can't be finished")
        self._followed.pop(plan.recording_id, None)
        length = plan.ends_at - plan.begins_at
        done = await self._ask(
            "finish",
            wait_for=FINISH_TIMEOUT + FINISH_TIMEOUT_SHARE * length,
            plan=messages.plan_to_json(plan),
        )
        return messages.rendered_from_json(done)

    def followed(self) -> Collection[str]:
        """The recordings that are being followed."""
        return tuple(self._followed)

    async def forget(self, recording_id: str) -> None:
        """Stop following, and remove what was begun."""
        self._followed.pop(recording_id, None)
        await self._ask("forget", recording_id=recording_id)

    async def listen(self, claim: Claim) -> Evidence:
        """What is to be heard in the files. Raises `ListenFailed`."""
        length = claim.duration_sec or 0.0
        async with self._listening:
            try:
                done = await self._ask(
                    "listen",
                    wait_for=FINISH_TIMEOUT + FINISH_TIMEOUT_SHARE * length,
                    claim=to_json(claim),
                )
            except RenderFailed as error:
                raise ListenFailed(str(error)) from error
        return from_json(Evidence, done)

    async def _ask(self, verb: str, *, wait_for: float = ANSWER_TIMEOUT, **fields: Any) -> Any:
        """The answer of the process, whichever one gives it."""
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(wait_for):
                    return await self._exchange(verb, fields)
            except _Died:
                continue
            except TimeoutError:
                log.warning("renderer_hangs", extra={"verb": verb, "waited_for": wait_for})
                self._kill()
                raise RenderFailed(f"the renderer did not answer within {wait_for:.0f} s") from None
        raise RenderFailed("the renderer process died again and again")

    async def _exchange(self, verb: str, fields: dict[str, Any]) -> Any:
        """Say something to the process that is up, and wait for what it answers."""
        await self._is_up.wait()
        asked = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[asked] = answer
        try:
            self._say({"id": asked, "do": verb, **fields})
            return await answer
        finally:
            self._waiting.pop(asked, None)

    def _say(self, message: dict[str, Any]) -> None:
        """Write a line to the process. Raises `_Died`."""
        if self._process is None or self._process.stdin is None:
            raise _Died
        try:
            self._process.stdin.write(messages.line(message))
        except (RuntimeError, OSError) as error:  # uvloop's word for a pipe without a reader
            raise _Died from error

    async def _live(self) -> None:
        """Keep a process up for ever, and hear what it says."""
        while True:
            try:
                await self._live_once()
            except Exception:  # no fork for now, a line that is no answer: another process may do
                log.exception("renderer_failed")
            await asyncio.sleep(RESTART_AFTER)

    async def _live_once(self) -> None:
        """One process, from its start to its end."""
        process = await self._spawned()
        try:
            await self._hear(process)
        finally:
            self._is_up.clear()
            await _ended(process)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(_Died())
        log.warning("renderer_died", extra={"code": process.returncode})

    async def _spawned(self) -> Process:
        """A new process that follows what was followed before."""
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", MODULE, str(self._recordings_dir)),
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._process = process
        for plan in self._followed.values():
            self._say({"id": 0, "do": "follow", "plan": messages.plan_to_json(plan)})
        self._is_up.set()
        return process

    async def _hear(self, process: Process) -> None:
        """Hand on answers until the process ends."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said = json.loads(line)
            answer = self._waiting.get(said["id"])
            if answer is None or answer.done():
                continue
            if "failed" in said:
                answer.set_exception(_FAILURES.get(said["failed"], RenderFailed)(said["message"]))
            else:
                answer.set_result(said["done"])

    def _kill(self) -> None:
        """End a process that does not answer; another is started."""
        if self._process and self._process.returncode is None:
            self._process.kill()


async def _ended(process: Process) -> None:
    """Close its input, wait for its end, and kill it if need be."""
    if process.stdin:
        process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

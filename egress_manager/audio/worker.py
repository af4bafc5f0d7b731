"""The renderer process: follows all calls that are going on, and finishes those that are over.

    python -m egress_manager.audio.worker <recordings directory>

It is told what to do on its standard input (`messages.py`), answers on its standard output, and
ends when its input does. One thread does everything in turn, a slice of some 20 ms at a time: calls
that are over first; following and listening take turns.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from egress_manager.audio import messages
from egress_manager.audio.as_json import from_json, to_json
from egress_manager.audio.listen import listening
from egress_manager.audio.render import Render
from egress_manager.domain.evidence import Claim, Evidence
from egress_manager.domain.recordings import Rendered, RenderPlan
from egress_manager.errors import ListenFailed, RenderFailed

#: How often each call that is going on gets its turn. Seconds.
FOLLOW_EVERY: Final = 1.5

#: The web server and the recorder, on the same machine, come first.
NICE: Final = 5

_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Following:
    """A call that is going on: its work, the pass that is under way, and when the next is due."""

    render: Render
    due: float
    turn: Iterator[None] | None = None


@dataclass(slots=True)
class Finishing:
    """A call that is being finished, and who asked for it."""

    asked_by: list[int]
    render: Render
    work: Generator[None, None, Rendered]


@dataclass(slots=True)
class Listening:
    """Files that are listened to, and who asked for it."""

    asked_by: int
    work: Generator[None, None, Evidence]


class Worker:
    """All calls, and whose turn it is."""

    def __init__(self, recordings_dir: Path, say: Callable[[dict[str, Any]], None]) -> None:
        self._recordings_dir = recordings_dir
        self._say = say
        self._following: dict[str, Following] = {}
        self._finishing: dict[str, Finishing] = {}
        self._turns: deque[str] = deque()
        self._listening: deque[Listening] = deque()
        self._has_listened = False
        self._is_untidy = False

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message. Whatever is wrong with it is answered."""
        verbs = {
            "ping": self._ping,
            "follow": self._follow,
            "finish": self._finish,
            "forget": self._forget,
            "listen": self._listen,
        }
        try:
            verbs[message["do"]](message)
        except Exception as error:
            self._say(failure(message.get("id"), error))

    def work(self) -> float:
        """Do one slice of work; for how many seconds there is nothing more to do then."""
        if self._turns:
            self._finish_on(self._turns.popleft())
            return 0.0
        now = time.monotonic()
        due = min(self._following.values(), key=lambda f: f.due, default=None)
        is_due = due is not None and due.due <= now
        if self._listening and not (is_due and self._has_listened):
            self._listen_on(self._listening.popleft())
            self._has_listened = True
            return 0.0
        self._has_listened = False
        if due is not None and is_due:
            self._follow_on(due, now)
            return 0.0
        if self._is_untidy:
            self._is_untidy = False
            give_memory_back()
        return due.due - now if due else 60.0

    def _ping(self, message: dict[str, Any]) -> None:
        self._say({"id": message["id"], "done": None})

    def _follow(self, message: dict[str, Any]) -> None:
        plan = messages.plan_from_json(message["plan"])
        known = self._following.get(plan.recording_id)
        if known:
            known.turn = None
            known.render.replan(plan)
        elif plan.recording_id not in self._finishing:
            render = Render(self._recordings_dir, plan)
            self._following[plan.recording_id] = Following(render, time.monotonic())
        self._say({"id": message["id"], "done": None})

    def _finish(self, message: dict[str, Any]) -> None:
        plan = messages.plan_from_json(message["plan"])
        name = plan.recording_id
        if name in self._finishing:
            self._finishing[name].asked_by.append(message["id"])
            return
        render = self._taken_over(plan)
        self._finishing[name] = Finishing([message["id"]], render, render.finish())
        self._turns.append(name)

    def _taken_over(self, plan: RenderPlan) -> Render:
        """What has followed that call so far, or a new beginning."""
        followed = self._following.pop(plan.recording_id, None)
        if followed is None:
            return Render(self._recordings_dir, plan)
        followed.turn = None
        followed.render.replan(plan)
        return followed.render

    def _forget(self, message: dict[str, Any]) -> None:
        name = message["recording_id"]
        followed = self._following.pop(name, None)
        if followed:
            followed.render.forget()
        finishing = self._finishing.pop(name, None)
        if finishing:
            self._turns.remove(name)
            finishing.render.forget()
            self._answer(finishing, RenderFailed("the recording was forgotten meanwhile"))
        self._is_untidy = True
        self._say({"id": message["id"], "done": None})

    def _listen(self, message: dict[str, Any]) -> None:
        work = listening(from_json(Claim, message["claim"]), self._recordings_dir)
        self._listening.append(Listening(message["id"], work))

    def _listen_on(self, job: Listening) -> None:
        """One slice of listening."""
        try:
            next(job.work)
            self._listening.append(job)
            return
        except StopIteration as end:
            self._say({"id": job.asked_by, "done": to_json(end.value)})
        except Exception as error:
            name = type(error).__name__
            words = f"listening to it failed: {name}"
            self._say({"id": job.asked_by, "failed": ListenFailed.code, "message": words})
        self._is_untidy = True

    def _finish_on(self, name: str) -> None:
        """One slice of a call that is being finished."""
        job = self._finishing[name]
        try:
            next(job.work)
            self._turns.append(name)
            return
        except StopIteration as end:
            result = end.value
        except Exception as error:
            job.render.forget()
            result = error
        del self._finishing[name]
        self._is_untidy = True
        self._answer(job, result)

    def _answer(self, job: Finishing, result: Rendered | Exception) -> None:
        for asked_by in job.asked_by:
            if isinstance(result, Rendered):
                self._say({"id": asked_by, "done": messages.rendered_to_json(result)})
            else:
                self._say(failure(asked_by, result))

    def _follow_on(self, followed: Following, now: float) -> None:
        """One slice of a call that is going on."""
        followed.turn = followed.turn or followed.render.follow()
        try:
            next(followed.turn)
            followed.due = now  # behind those that are due longer
        except StopIteration:
            followed.turn = None
            followed.due = now + FOLLOW_EVERY


def failure(asked_by: int | None, error: Exception) -> dict[str, Any]:
    """The answer that says what went wrong: a code of ours, and a sentence."""
    if isinstance(error, RenderFailed):
        return {"id": asked_by, "failed": error.code, "message": str(error)}
    if isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)
        return {"id": asked_by, "failed": "storage_failed", "message": f"can't write: {reason}"}
    name = type(error).__name__
    return {"id": asked_by, "failed": "render_failed", "message": f"the mix failed: {name}"}


def serve(recordings_dir: Path, incoming: int, outgoing: int) -> None:
    """Work until the input ends, or nobody listens to the output."""

    def say(message: dict[str, Any]) -> None:
        data = memoryview(messages.line(message))
        while data:
            data = data[os.write(outgoing, data) :]

    worker = Worker(recordings_dir, say)
    rest = b""
    wait = 0.0
    while True:
        if select.select([incoming], [], [], wait)[0]:
            data = os.read(incoming, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for found in lines:
                worker.take(json.loads(found))
        wait = worker.work()


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends. Linux only."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def give_memory_back() -> None:
    """Have the C library hand back what is free. It takes milliseconds.

    By itself glibc keeps all that so many calls at once ever took, for as long as the process
    lives. Another C library has no such function, and may do better by itself.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def main() -> None:
    """The process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent; we end with it
    with suppress(OSError):
        os.nice(NICE)
    with suppress(BrokenPipeError):
        serve(Path(sys.argv[1]), sys.stdin.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()

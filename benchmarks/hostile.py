"""What hostile clients and participants cost: calls under way, calls that begin, the machine."""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import psutil

from benchmarks.figures import Figure
from benchmarks.joining import APART, BEGINS_AT, Heard, heard, rings
from benchmarks.premises import Document, Premises, premises, say
from benchmarks.scenes import dialogue
from lab.hostile_clients import ATTACKS, HostileClients
from lab.hostile_publishers import HostilePublishers
from lab.manager import Worker
from lab.servers import Redis
from lab.theatre import Stage

METHOD = (
    "One call goes on while others begin one after another, and a process of hostile clients "
    "(`lab/hostile_clients.py`) does one thing, or all of them: bodies in chunks of one byte, 1100 "
    "connections that say nothing, 800 bodies without an end, headers without an end, 16 clients "
    "that ask for `/health`, guess keys or forge webhooks as fast as they are answered, 16 that "
    "ask and hang up. The same with the API as a process of its own "
    "(`EGRESS_MANAGER_ROLES=none`); and two participants with every trick of `lab/hostile.py`, one "
    "a guest in the call that goes on. Lost: packets of the call that goes on, or 1 if it is not "
    "verified. Ready: from a phone's being in its room to media in the capture's journal; later: "
    "than with nobody. CPU, memory and descriptors are those of the manager's process."
)
CALLS, QUICK_CALLS = 5, 2
#: The number of the call that goes on.
LONG = 100
#: The most by which an attack may delay the capture of a new call. Milliseconds.
LATER_AT_MOST = 50.0
#: Memory and descriptors are looked at so often. Seconds.
LOOK_EVERY = 0.25


@dataclass(slots=True)
class Peak:
    """The most that a process took, and what it used: MiB, descriptors, CPU seconds a second."""

    memory: float = 0.0
    descriptors: int = 0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """What clients do, by name, and whether participants are hostile.

    `is_apart`: the API is a process of its own.
    """

    what: str
    attacks: Sequence[str] = ()
    has_publishers: bool = False
    is_apart: bool = False

    @property
    def is_hostile(self) -> bool:
        """Whether anybody is."""
        return bool(self.attacks) or self.has_publishers


CASES = (
    Case("nobody"),
    *(Case(name, (name,)) for name in ATTACKS),
    Case("all at once", tuple(ATTACKS)),
    Case("participants", has_publishers=True),
    Case("nobody, the API apart", is_apart=True),
    Case("all at once, the API apart", tuple(ATTACKS), is_apart=True),
)


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Nobody, each attack by itself, all at once; and with the API as a process of its own."""
    calls = QUICK_CALLS if quick else CALLS
    usual: dict[bool, float] = {}
    for case in CASES:
        say(f"{calls} calls, {case.what}")
        lost, ready = await under(case, calls)
        yield lost
        yield ready
        usual.setdefault(case.is_apart, ready.value)
        if case.is_hostile:
            yield _later(case, ready.value - usual[case.is_apart])


def _later(case: Case, milliseconds: float) -> Figure:
    """How much later captures are ready than with nobody."""
    name = f"capture ready later (median), {case.what}"
    return Figure(name=name, value=milliseconds, unit="ms", at_most=LATER_AT_MOST)


async def under(case: Case, calls: int) -> tuple[Figure, Figure]:
    """The figures of one case: packets lost, and when captures are ready."""
    times = {call: BEGINS_AT + APART * (call - 1) for call in range(1, calls + 1)}
    seconds = APART * calls
    parts = [part for call, at in times.items() for part in rings(call, at)]
    parts += dialogue(LONG, begins_at=1.0, seconds=seconds)
    async with contextlib.AsyncExitStack() as servers:
        here = await _built(case, servers)
        async with contextlib.AsyncExitStack() as stack:
            peak = Peak()
            watching = asyncio.create_task(_watch(here.manager.pid, peak))
            stack.callback(watching.cancel)
            stage = await stack.enter_async_context(Stage(here.livekit, parts))
            told: dict[str, int] = {}
            if case.attacks:
                hostile = HostileClients(here.manager.port, *case.attacks)
                await stack.enter_async_context(hostile)
            if case.has_publishers:
                guests_room = f"call-{LONG}"
                await stack.enter_async_context(HostilePublishers(here.livekit, guests_room))
            reports = await stage.over(BEGINS_AT + seconds + 60)
            if case.attacks:
                told = dict(hostile.told)
        recordings = await here.judged(calls + 1 + case.has_publishers, timeout=300)
        recordings = [r for r in recordings if r["room_name"].startswith("call-")]
        joined = {r["who"]: r["at"] for r in reports if r["what"] == "joined"}
        webhooks = {**joined, **await here.joined_webhooks()}
        long = next(r for r in recordings if r["room_name"] == f"call-{LONG}")
        begun = [heard(here, reports, r, webhooks) for r in recordings if r is not long]
    return _figures(case.what, long, begun, peak, told)


async def _built(case: Case, stack: contextlib.AsyncExitStack) -> Premises:
    """The servers of a case."""
    settings = {"EGRESS_MANAGER_STANDING_ROOMS": "none"}
    if not case.is_apart:
        return await stack.enter_async_context(premises(settings))
    redis = await stack.enter_async_context(Redis())
    settings |= {"REDIS_URL": redis.url, "EGRESS_MANAGER_ROLES": "none"}
    here = await stack.enter_async_context(premises(settings))
    for role in ("recorder", "jobs"):
        await stack.enter_async_context(Worker(role, here.manager))
    return here


async def _watch(pid: int, peak: Peak) -> None:
    process = psutil.Process(pid)
    loop = asyncio.get_running_loop()
    began, used = loop.time(), sum(process.cpu_times()[:2])
    while True:
        await asyncio.sleep(LOOK_EVERY)
        peak.memory = max(peak.memory, process.memory_info().rss / 2**20)
        peak.descriptors = max(peak.descriptors, process.num_fds())
        peak.cpu = (sum(process.cpu_times()[:2]) - used) / (loop.time() - began)


def _ready(call: Heard) -> float:
    """From the phone's being in to media in the capture's journal, webhook and all."""
    return call.ready + call.webhook_after_join


def _figures(
    what: str, long: Document, begun: Sequence[Heard], peak: Peak, told: dict[str, int]
) -> tuple[Figure, Figure]:
    lost = sum(track["lost"] for track in long["tracks"])
    return (
        Figure(
            name=f"packets lost of a call that goes on, {what}",
            value=lost or int(long["verdict"] != "verified"),
            unit="packets",
            at_most=0,
            beside={
                "verdict": long["verdict"],
                "holes": len(long["holes"]),
                "CPU of a second": round(peak.cpu, 2),
                "MiB, most": round(peak.memory),
                "descriptors, most": peak.descriptors,
                **told,
            },
        ),
        Figure(
            name=f"capture ready (median), {what}",
            value=round(statistics.median(_ready(h) for h in begun)),
            unit="ms",
            beside={
                "worst": round(max(_ready(h) for h in begun)),
                "speech lost, worst": round(max(h.lost for h in begun)),
                "webhook after the phone was in, worst": round(
                    max(h.webhook_after_join for h in begun)
                ),
            },
        ),
    )

"""How soon a capture is ready, and what speech after the answer it loses."""

import statistics
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import Figure
from benchmarks.premises import Document, Premises, premises, say, seconds_of
from benchmarks.scenes import number
from lab.plans import Line, Part
from lab.sounds import PCM, RATE, chirp, levels, locate
from lab.theatre import Report, Stage
from tests.e2e.listening import listen

METHOD = (
    "Calls one after another through the whole manager with livekit-server's own webhooks; the "
    "caller says a chirp the moment the call is answered. Ready: from the manager's receiving "
    "`participant_joined` (`kept_at` in the inbox) to media in the capture's journal. Lost: the "
    "beginning of the chirp that is silent in the finished mix, to 5 ms (what comes late by the "
    "SDK's own path is not lost), of the worst call, for none is to lose any."
)
CALLS, QUICK_CALLS = 20, 4
#: From one call to the next. Seconds.
APART = 6.0
BEGINS_AT = 5.0
#: How long the agent waits before the phone comes. Seconds.
WAITS = 2.0
#: From the phone's beginning to join to its answer: it rings for less. Seconds.
RINGS = 0.55
WORDS_SECONDS = 3.0
WORDS = chirp(WORDS_SECONDS)
#: What is heard is louder than this. dBFS.
HEARD = -40.0
WINDOW = 0.005


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which a call begins, and how much may be lost. Milliseconds."""

    what: str
    parts: Callable[[int, float], Sequence[Part]]
    lost_at_most: float
    is_standing: bool = False

    def settings(self, calls: int) -> Mapping[str, str]:
        """The manager's settings for it."""
        rooms = ",".join(f"call-{call}" for call in range(1, calls + 1))
        return {"EGRESS_MANAGER_STANDING_ROOMS": rooms if self.is_standing else "none"}


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one call. Milliseconds; `ready` counts from the webhook."""

    ready: float
    ready_after_answer: float
    webhook_after_join: float
    rang: float
    lost: float
    delay: float


async def measure(*, quick: bool) -> AsyncIterator[Figure]:
    """Every case with its own manager."""
    calls = QUICK_CALLS if quick else CALLS
    for case in CASES:
        say(f"{calls} calls: {case.what}")
        heard = await heard_of(case, calls)
        for figure in figures(case, heard):
            yield figure


async def heard_of(case: Case, calls: int) -> list[Heard]:
    """Place the calls and look at each."""
    times = {call: BEGINS_AT + APART * (call - 1) for call in range(1, calls + 1)}
    parts = [part for call, at in times.items() for part in case.parts(call, at)]
    async with premises(case.settings(calls)) as here:
        async with Stage(here.livekit, parts) as stage:
            reports = await stage.over(BEGINS_AT + APART * calls + 60)
        recordings = await here.completed(calls)
        webhooks = await here.joined_webhooks()
        return [heard(here, reports, recording, webhooks) for recording in recordings]


def heard(
    here: Premises, reports: Sequence[Report], recording: Document, webhooks: Mapping[str, float]
) -> Heard:
    """One call, from what everybody wrote down."""
    who = f"sip_{recording['caller_number']}"
    told_at = webhooks[who]
    media_at = next(c.at for c in here.story(recording).connections if c.state == "media")
    did = {report["what"]: report for report in reversed(reports) if report.get("who") == who}
    joined_at, answered_at = did["joined"]["at"], did["answered"]["at"]
    said_at = did["said"]["started_at"] - seconds_of(recording, "started_at")
    begin, lost = silent_beginning(listen(recording["filepath"]).left)
    return Heard(
        ready=(media_at - told_at) * 1000,
        ready_after_answer=(media_at - answered_at) * 1000,
        webhook_after_join=(told_at - joined_at) * 1000,
        rang=(answered_at - joined_at) * 1000,
        lost=lost * 1000,
        delay=(begin - said_at) * 1000,
    )


def silent_beginning(pcm: PCM) -> tuple[float, float]:
    """Where the words begin by their middle, and how much of their beginning is silent. Seconds."""
    middle = WORDS[RATE : 2 * RATE]
    begin = locate(pcm, middle).at - 1.0
    first = round(begin * RATE)
    words = np.pad(pcm, (max(0, -first), len(WORDS)))[max(0, first) :][: len(WORDS)]
    is_loud = levels(words, window=WINDOW) > HEARD
    return begin, float(np.argmax(is_loud)) * WINDOW


def figures(case: Case, heard: Sequence[Heard]) -> Iterator[Figure]:
    """Ready (where a capture has to join) and lost."""
    if not case.is_standing:
        yield Figure(
            name=f"capture ready (median), {case.what}",
            value=round(statistics.median(h.ready for h in heard)),
            unit="ms",
            at_most=150,
            beside={
                "worst": round(max(h.ready for h in heard)),
                "after the answer": round(statistics.median(h.ready_after_answer for h in heard)),
                "webhook after the phone was in": round(
                    statistics.median(h.webhook_after_join for h in heard)
                ),
            },
        )
    yield Figure(
        name=f"speech lost (worst), {case.what}",
        value=round(max(h.lost for h in heard)),
        unit="ms",
        at_most=case.lost_at_most,
        beside={
            "median": round(statistics.median(h.lost for h in heard)),
            "calls": len(heard),
            "rang, median": round(statistics.median(h.rang for h in heard)),
            "rang, shortest": round(min(h.rang for h in heard)),
            "delay in SDK and network, median": round(statistics.median(h.delay for h in heard)),
        },
    )


def rings(call: int, at: float) -> Sequence[Part]:
    """A phone that nobody waits for; it is answered a little later."""
    return [_phone(call, at, answer="never", answers_at=at + RINGS)]


def is_waited_for(call: int, at: float) -> Sequence[Part]:
    """An agent is there: livekit-sip answers at once."""
    agent = Part(
        room=f"call-{call}",
        kind="agent",
        identity=f"agent-{call}",
        joins_at=at - WAITS,
        leaves_at=at + APART,
    )
    return [agent, _phone(call, at)]


def _phone(call: int, at: float, **answer: object) -> Part:
    words = (Line(sound=f"chirp:{WORDS_SECONDS:g}"), Line(sound="silence:0.5"))
    fields = {"room": f"call-{call}", "number": number(call), "joins_at": at, "lines": words}
    return Part(**fields | answer)  # type: ignore[arg-type]


CASES = (
    Case("it rings 300 ms or longer", rings, lost_at_most=0),
    Case("an agent waits and answers at once", is_waited_for, lost_at_most=200),
    Case("standing capture", is_waited_for, lost_at_most=0, is_standing=True),
)

"""The checklist: its checks in order, what each needs of earlier ones, and how facts are judged.

Adapters bring facts, what is here judges them; what can be wrong is in `domain/troubles.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from egress_manager.domain.troubles import ADVICE, CheckFailed, Trouble

#: Rooms that a check opens are called this, and something random behind it.
ROOM_PREFIX: Final = "egress-manager-check-"

#: Clocks that are further apart than this are set wrongly: NTP keeps them within milliseconds.
CLOCKS_WITHIN: Final = timedelta(seconds=5)

#: An hour of a call: its mix at 64 kbit/s, two tracks, and the same two as captures. Bytes.
HOUR_BYTES: Final = 90_000_000
#: Less than this is as good as nothing. Bytes.
FREE_AT_LEAST: Final = 1_000_000_000
#: A disk with less than this part of it free is about to be full.
FREE_SHARE: Final = 0.05

#: How much of the sound has to be found again (1 is all): codecs take some hundredths.
WHOLE: Final = 0.9
#: What is found of it on the other side by chance is less than this.
LEAKED: Final = 0.5
#: A side is silent below this level. dBFS.
SILENT: Final = -60.0
#: A recording may begin and end so much outside of the call as we saw it. Seconds.
STAY_MARGIN: Final = 2.0

#: Reasons of recordings that mean: the recorder heard nothing (docs/recordings.md).
UNHEARD: Final = frozenset({"no_audio", "never_captured", "left_before_capture"})


class Outcome(StrEnum):
    """What came of a check. A warning is no failure yet."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


#: A check whose needs ended so has what it needs.
PASSED: Final = frozenset({Outcome.OK, Outcome.WARNING})


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found, in words; with a remedy and the trouble's name where it is wrong."""

    outcome: Outcome
    words: str
    remedy: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist. `timeout` is what it may take in all, in seconds."""

    name: str
    title: str
    needs: tuple[str, ...] = ()
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A check and what it found."""

    check: Check
    result: Result


#: In the order in which they are carried out. Starting a mongod of our own takes its time, a
#: dispatch of LiveKit that finds no egress half a minute.
CHECKS: Final[Sequence[Check]] = (
    Check("settings", "Settings can be read"),
    Check("livekit", "livekit-server answers"),
    Check("key", "LiveKit knows the API key", ("livekit",)),
    Check("clock", "Clocks agree", ("livekit",)),
    Check("dispatch_rules", "SIP dispatch rules can be read", ("key",)),
    Check("redis", "Redis answers"),
    Check("mongodb", "MongoDB writes durably", timeout=65.0),
    Check("directory", "The recordings directory can be written"),
    Check("space", "There is room for recordings", ("directory",)),
    Check("bucket", "The bucket can be written and read", timeout=60.0),
    Check("service", "The service runs"),
    Check("health", "The service is well", ("service",)),
    Check("api_key", "The service's API opens", ("service",)),
    Check("webhook", "Webhooks arrive", ("key", "service", "mongodb"), timeout=30.0),
    Check("egress", "LiveKit Egress accepts", ("key",), timeout=50.0),
    Check("call", "A test call is recorded", ("key", "api_key"), timeout=120.0),
)


def ok(words: str) -> Result:
    """All is well."""
    return Result(Outcome.OK, words)


def skipped(words: str) -> Result:
    """It was not looked at; the words say why."""
    return Result(Outcome.SKIPPED, words)


def wrong(failed: CheckFailed) -> Result:
    """This is the trouble."""
    is_warning = ADVICE[failed.trouble].is_warning
    outcome = Outcome.WARNING if is_warning else Outcome.FAILED
    return Result(outcome, str(failed), failed.remedy, failed.trouble)


def unmet(check: Check, found: Mapping[str, Result]) -> Result | None:
    """Why a check can't be carried out after what was found; None where it can."""
    titles = {each.name: each.title for each in CHECKS}
    missing = (need for need in check.needs if found[need].outcome not in PASSED)
    return next((skipped(f"needs this first: {titles[need]}") for need in missing), None)


def without_settings(why: str) -> Iterator[Checked]:
    """What a check comes to where the settings can't be read."""
    first, *others = CHECKS
    yield Checked(first, wrong(CheckFailed(Trouble.SETTINGS_WRONG, why=why)))
    for check in others:
        yield Checked(check, skipped(f"needs this first: {first.title}"))


def is_failure(checked: Sequence[Checked]) -> bool:
    """Whether any check failed."""
    return any(each.result.outcome is Outcome.FAILED for each in checked)


@dataclass(frozen=True, slots=True)
class Knock:
    """livekit-server's answer to a knock at its door; `server_at` is its clock, to the second."""

    asked_at: datetime
    answered_at: datetime
    server_at: datetime | None


def judge_clocks(knock: Knock) -> Result:
    """Whether livekit-server's clock agrees with ours. Raises `CheckFailed`."""
    if knock.server_at is None:
        return skipped("livekit-server did not tell its time")
    ours = knock.asked_at + (knock.answered_at - knock.asked_at) / 2
    ahead = knock.server_at + timedelta(seconds=0.5) - ours  # it tells whole seconds, cut off
    if abs(ahead) > CLOCKS_WITHIN:
        direction = "ahead of" if ahead > timedelta() else "behind"
        seconds = abs(ahead).total_seconds()
        raise CheckFailed(Trouble.CLOCKS_APART, seconds=seconds, direction=direction)
    return ok("livekit-server's and ours, to a second or so")


@dataclass(frozen=True, slots=True)
class Database:
    """A MongoDB that was written to; `replica_set` is empty where it is none."""

    version: str
    replica_set: str
    is_ours: bool


def judge_database(database: Database) -> Result:
    """What is known of a MongoDB that wrote durably."""
    which = "one of our own, for this machine only" if database.is_ours else "of MONGO_URI"
    kind = f"replica set {database.replica_set}" if database.replica_set else "no replica set"
    return ok(f"MongoDB {database.version}, {which}, {kind}: written by a majority, journaled")


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory that was written to, by the user `uid`; free and total bytes of its disk."""

    path: str
    uid: int
    free: int
    total: int


def judge_space(folder: Folder) -> Result:
    """Whether recordings have room. Raises `CheckFailed`."""
    hours, share = folder.free / HOUR_BYTES, folder.free / max(folder.total, 1)
    free = f"{folder.free / 1e9:.1f} GB"
    facts = {"path": folder.path, "free": free, "hours": hours, "percent": 100 * share}
    if folder.free < FREE_AT_LEAST:
        raise CheckFailed(Trouble.DISK_FULL, **facts)
    if share < FREE_SHARE:
        raise CheckFailed(Trouble.SPACE_SHORT, **facts)
    return ok(f"{free} free: enough for {hours:.0f} hours of calls")


@dataclass(frozen=True, slots=True)
class WebhookTally:
    """What the service counted since it started: webhooks taken in, and refused ones with why."""

    taken: int
    refused: int
    refused_because: str = ""


def judge_silence(
    before: WebhookTally, after: WebhookTally, *, waited: float, example: str, database: str
) -> CheckFailed:
    """Why a webhook did not come into our inbox, by what the service counted meanwhile."""
    if after.refused > before.refused:
        return CheckFailed(Trouble.WEBHOOK_REFUSED, why=after.refused_because)
    if after.taken > before.taken:
        return CheckFailed(Trouble.WEBHOOK_ELSEWHERE, database=database)
    return CheckFailed(Trouble.WEBHOOK_SILENT, seconds=waited, example=example)


def judge_end(recording_id: str, reason: str) -> CheckFailed:
    """Why a test call, during which a recorder was in the room, has no file."""
    if reason in UNHEARD:
        return CheckFailed(Trouble.CALL_NOT_CAPTURED, why=reason)
    return CheckFailed(Trouble.CALL_NOT_FINISHED, recording=recording_id, why=reason)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in a file: how much of the sound is on each side (0 to 1), and its length.

    `right_dbfs` is the loudest moment of the right side.
    """

    left: float
    right: float
    right_dbfs: float
    plays_sec: float


def judge_sound(
    heard: Heard,
    *,
    stay_sec: float,
    said_sec: float,
    goes_on_sec: float,
    is_alone: bool,
    path: str,
    server: str,
) -> Result:
    """Whether a test call is in its file: whole, on the left, alone. Raises `CheckFailed`.

    It stayed and played for so long, in seconds, on livekit-server of the version `server`. A
    recorder may go on for so long after the caller has left.
    """
    if heard.left < WHOLE and heard.right > LEAKED:
        raise CheckFailed(Trouble.SOUND_ON_WRONG_SIDE, path=path)
    if heard.left < WHOLE:
        raise CheckFailed(Trouble.SOUND_MISSING, percent=100 * max(heard.left, 0), path=path)
    if heard.right > LEAKED or (is_alone and heard.right_dbfs > SILENT):
        raise CheckFailed(Trouble.SOUND_NOT_ALONE, dbfs=heard.right_dbfs, path=path)
    if not said_sec <= heard.plays_sec <= stay_sec + goes_on_sec + STAY_MARGIN:
        facts = {"stay": stay_sec, "plays": heard.plays_sec, "path": path}
        raise CheckFailed(Trouble.LENGTH_WRONG, **facts)
    right = "silence on the right" if is_alone else "others on the right"
    what = f"{heard.plays_sec:.1f} s, the sound whole on the left, {right}"
    return ok(f"on livekit-server {server}: {what}; the recording stays: {path}")

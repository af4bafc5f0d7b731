"""What must be true after any fault. Pure: each law looks at an aftermath and names what breaks it.

A law knows faults only where one makes it impossible to keep: nobody can tell of a call that came
and went while neither webhooks nor polling reached us.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

from chaos.aftermath import Aftermath, Facts, Heard, Struck, moment
from chaos.calls import FINAL, Said, Told
from chaos.faults import POLLING, WEBHOOKS

Law = Callable[[Aftermath], Iterator[str]]

#: A word that is there is that alike; what is left of one when it is taken away is not. 0 to 1.
THERE: Final = 0.5
#: Packets that were lost take something away from every word.
THERE_IN_LOSS: Final = 0.35
#: A word in two halves is a part of one in each place; the squares of how alike both are add up to
#: one, those of a word that is there twice to two.
ONCE: Final = 1.3
#: A call is noticed within so long after both ways are open again. Seconds.
NOTICED: Final = 6.0
#: What a job of LiveKit Egress needs until it has ended.
_EGRESSES: Final = ("egress", "redis", "livekit")
#: The faults of which no other call may have one of these findings.
HOSTILE: Final = frozenset({"hostile-publisher", "hostile-clients"})
COSTS: Final = frozenset({"over_quota", "not_kept", "packets_missing", "octets_missing"})
#: A hole and a word that it took need not fit more exactly. Seconds.
NEAR: Final = 1.0


def one_answer(after: Aftermath) -> Iterator[str]:
    """Every call that was let in has exactly one line in the ledger, and it is a true answer."""
    let_in = {call.identity for call in after.calls if call.joined_at is not None}
    talked = {call.identity for call in after.calls if call.said}
    for identity in sorted(let_in | after.witnessed):
        fates = [line["fate"] for line in after.lines if line["identity"] == identity]
        if len(fates) > 1 or ("under_way" in fates and not _uploads(identity, after)):
            yield f"{identity} has the answers {fates}"
        if not fates and not _went_unseen(identity, after):
            yield f"{identity} is not in the ledger"
    for line in after.lines:
        if line["fate"] == "not_recorded" and not line["reason"]:
            yield f"{line['identity']} was not recorded, and nothing says why"
        if line["reason"] == "not_answered" and line["identity"] in talked:
            yield f"{line['identity']} was answered, and is called not answered"


def final_with_a_reason(after: Aftermath) -> Iterator[str]:
    """Every recording is in a final state, with a reason if it is not a good one."""
    for recording in after.recordings:
        name = f"{recording['id']} of {recording['identity']}"
        if recording["state"] not in FINAL:
            if _uploads(recording["identity"], after):
                continue
            yield f"{name} is still {recording['state']}: {recording['reason']}"
        elif recording["verdict"] != "verified" and not (
            recording["reason"] or recording["findings"]
        ):
            yield f"{name} is {recording['state']}, {recording['verdict']}, without a reason"


def no_byte_lost(after: Aftermath) -> Iterator[str]:
    """Every capture is settled, and every sound that was on disk is in a recording."""
    used = {capture for recording in after.recordings for capture in recording["captures"]}
    for capture in after.captures:
        if not capture.is_settled:
            yield f"{capture.capture_id} is not settled"
        if capture.seconds > 0 and capture.capture_id not in used:
            yield f"{capture.capture_id} with {capture.seconds:.1f} s is in no recording"


def nothing_twice(after: Aftermath) -> Iterator[str]:
    """A call has one recording, a file is of one recording, and a word is heard once."""
    for call in after.calls:
        if len(found := after.recordings_of(call.identity)) > 1:
            yield f"{call.identity} has {len(found)} recordings"
    paths = sorted(each["filepath"] for each in after.recordings if each["filepath"])
    yield from (f"{one} is of two recordings" for one, other in pairwise(paths) if one == other)
    for heard in after.heard:
        if heard.score**2 + heard.again**2 > ONCE:
            yield f"{heard.recording_id} has the word {heard.word!r} twice"


def sound_is_there(after: Aftermath) -> Iterator[str]:
    """What was kept is heard; and whatever is missing, a hole of the recording says so."""
    heard = {(each.recording_id, each.word): each for each in after.heard}
    for call in after.calls:
        for recording in after.recordings_of(call.identity):
            for said in filter(partial(_was_in, call), call.said):
                yield from _missing(said, call, recording, heard, after)
        yield from (f"{call.identity}: {trouble}" for trouble in _own_troubles(call))


def nobody_pays(after: Aftermath) -> Iterator[str]:
    """If all that happened is that somebody was hostile, other calls lost nothing by it."""
    faults = {struck.fault for struck in after.struck}
    if not faults or not faults <= HOSTILE:
        return
    for call in after.calls:
        for recording in after.recordings_of(call.identity):
            costs = [f["name"] for f in recording["findings"] if f["name"] in COSTS]
            yield from (f"{call.identity} has the finding {name}" for name in costs)
            lost = sum(track.get("lost") or 0 for track in recording["tracks"])
            if lost:
                yield f"{call.identity} lacks {lost} packets"


def nothing_left(after: Aftermath) -> Iterator[str]:
    """No participant, open file, stray file or process of ours is left, and nobody died."""
    yield from (f"{who} is still in its room" for who in after.present)
    yield from (f"{handle} is still open" for handle in after.handles)
    yield from (f"{file} is left" for file in after.files)
    yield from (f"{process} still runs" for process in after.processes)
    yield from (f"{name} ended by itself" for name in after.deaths)


LAWS: Final[Mapping[str, Law]] = {
    "one answer": one_answer,
    "final with a reason": final_with_a_reason,
    "no byte lost": no_byte_lost,
    "nothing twice": nothing_twice,
    "sound is there": sound_is_there,
    "nobody pays": nobody_pays,
    "nothing left": nothing_left,
}


def broken(after: Aftermath) -> list[str]:
    """Everything that breaks a law."""
    return [f"{name}: {words}" for name, law in LAWS.items() for words in law(after)]


def _was_in(call: Told, said: Said) -> bool:
    """Whether the caller was in the room: livekit-server puts everybody out when it ends."""
    return call.left_at is None or said.ended <= call.left_at


def _missing(
    said: Said,
    call: Told,
    recording: Facts,
    heard: Mapping[tuple[str, str], Heard],
    after: Aftermath,
) -> Iterator[str]:
    """Whether a word is not there, and nothing says why."""
    found = heard.get((recording["id"], said.name))
    threshold = THERE_IN_LOSS if _is_lossy(after) else THERE
    if found is not None and found.score > threshold:
        return
    how = f"heard {found.score:.2f}" if found else f"no file: {recording['reason']}"
    if _was_never_heard(said, call.identity, recording):
        return
    if said.is_owed:
        yield f"{call.identity}: {said.name!r} was kept and is not in {recording['id']} ({how})"
    elif found is not None and not _is_explained(said, recording, after):
        yield f"{call.identity}: {said.name!r} is not in {recording['id']}, without a hole ({how})"


def _is_explained(said: Said, recording: Facts, after: Aftermath) -> bool:
    """Whether a hole of the recording, or of a track, covers some of it, or a track has no file.

    What LiveKit Egress lost while something was broken is lost in its files, and nobody can tell.
    """
    if _is_excused(said, recording, after) or _lacks_a_file(recording):
        return True
    holes = [*recording["holes"], *(h for track in recording["tracks"] for h in track["holes"])]
    if any(struck.fault.startswith("clock") for struck in after.struck):
        return bool(holes) or recording["duration_sec"] < said.ended - said.began
    if recording["started_at"] is None:
        return False
    start = moment(recording["started_at"])
    return any(
        start + hole["start_sec"] - NEAR < said.ended
        and start + hole["end_sec"] + NEAR > said.began
        for hole in holes
    )


def _was_never_heard(said: Said, said_by: str, recording: Facts) -> bool:
    """Whether the call ended before it, and the recording says so.

    A phone on a busy machine stands still, and then sends faster than it speaks.
    """
    own = {t["track_id"] for t in recording["tracks"] if t["participant_identity"] == said_by}
    unheard = [
        float(found["amount"])
        for found in recording["findings"]
        if found["name"] == "never_heard" and found["track_id"] in own
    ]
    if not unheard or recording["started_at"] is None:
        return False
    ended = moment(recording["started_at"]) + float(recording["duration_sec"])
    return said.ended > ended - max(unheard) - NEAR and said.began < ended + NEAR


def _lacks_a_file(recording: Facts) -> bool:
    """Whether a track or a job has no file, and says why: then all of it may be missing."""
    tracks = any(track["filepath"] is None and track["reason"] for track in recording["tracks"])
    return tracks or any(job["error"] for job in recording["egresses"] if not job["is_delivered"])


def _is_excused(said: Said, recording: Facts, after: Aftermath) -> bool:
    """Whether it was said during a fault that nobody can tell the consequences of."""
    during = [
        struck.fault
        for struck in after.struck
        if struck.began - NEAR < said.ended and said.began < struck.healed + NOTICED
    ]
    is_egress = any(job["is_delivered"] for job in recording["egresses"])
    return bool(during) and is_egress


def _own_troubles(call: Told) -> Iterator[str]:
    """What the harness promised itself; what the SDK raised is not ours."""
    yield from (trouble for trouble in call.troubles if trouble.startswith("nothing was kept"))


def _is_lossy(after: Aftermath) -> bool:
    return any(struck.fault.startswith("loss") for struck in after.struck)


def _uploads(identity: str, after: Aftermath) -> bool:
    """Whether a job of LiveKit Egress was broken while it ended: it has a quarter of an hour."""
    is_broken = any(struck.fault.partition("-")[2] in _EGRESSES for struck in after.struck)
    return is_broken and any(
        job["status"] == "ending" and not job["is_delivered"]
        for recording in after.recordings_of(identity)
        for job in recording["egresses"]
    )


def _went_unseen(identity: str, after: Aftermath) -> bool:
    """Whether at every moment of the call both ways of learning of it were closed."""
    call = next((each for each in after.calls if each.identity == identity), None)
    if call is None or call.joined_at is None or call.left_at is None:
        return False
    moments = [
        call.joined_at + step / 10 for step in range(int(10 * (call.left_at - call.joined_at)))
    ]
    return all(
        _is_closed(WEBHOOKS, call.joined_at, after.struck) and _is_closed(POLLING, at, after.struck)
        for at in moments
    )


def _is_closed(way: str, at: float, struck: Sequence[Struck]) -> bool:
    return any(
        way in each.blinds and each.began - NEAR <= at <= each.healed + NOTICED for each in struck
    )

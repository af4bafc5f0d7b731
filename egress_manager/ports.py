"""The doors: what we need of the world, in our own words.

Each is a Protocol with few verbs; the docstring says what happens at the edges. Behind each stands
an adapter (named in `wiring`), and in `testing.py` an in-memory fake, held to the same tests.
Stores keep moments to the millisecond, and return what they keep (`domain/moments.py`).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from egress_manager.domain.calls import Call
from egress_manager.domain.evidence import Claim, Evidence
from egress_manager.domain.incoming import EgressReported, News, Participant, Room, Webhook
from egress_manager.domain.ledger import Report
from egress_manager.domain.pages import CallFilter, Page, RecordingFilter
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import RoomView
from egress_manager.domain.recordings import Recording, Rendered, RenderPlan

Item = TypeVar("Item")


class Clock(Protocol):
    """What time it is: aware, UTC."""

    def now(self) -> datetime: ...


class Calls(Protocol):
    """The calls that were seen. All verbs raise `StoreUnavailable` when the store is away."""

    async def get(self, call_id: str) -> Call:
        """The call of that id. Raises `NotFound`."""
        ...

    async def add(self, call: Call) -> Call:
        """Store a call that is new. Raises `Conflict` where its id is taken."""
        ...

    async def save(self, call: Call) -> Call:
        """Write it if its version is still current, and return it with the next version.

        Raises `Conflict` where somebody wrote first, `NotFound` where it never was added.
        """
        ...

    async def going_on(self, room_name: str | None = None) -> Sequence[Call]:
        """Calls whose caller has not left, in that room or in all."""
        ...

    async def by_participant(self, room_name: str, participant_sid: str) -> Sequence[Call]:
        """Calls of that room whose caller had this stay (at most one, in practice)."""
        ...

    async def page(self, where: CallFilter, *, cursor: str | None, limit: int) -> Page[Call]:
        """Newest first. Raises `BadRequest` for a cursor that is not ours."""
        ...


class Recordings(Protocol):
    """The recordings. All verbs raise `StoreUnavailable` when the store is away."""

    async def get(self, recording_id: str) -> Recording:
        """The recording of that id. Raises `NotFound`."""
        ...

    async def by_egress_id(self, egress_id: str) -> Recording | None:
        """The recording whose recorder calls it, or one of its jobs, that; if there is one."""
        ...

    async def add(self, recording: Recording) -> Recording:
        """Store a recording that is new. Raises `Conflict` where its id or egress id is taken."""
        ...

    async def save(self, recording: Recording) -> Recording:
        """Write it if its version is still current, and return it with the next version.

        Raises `Conflict` where somebody wrote first, `NotFound` where it never was added.
        """
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Recording]:
        """Recordings whose `due_at` has come, the longest due first."""
        ...

    async def unfinished(self) -> Sequence[Recording]:
        """Recordings that are in no final state."""
        ...

    async def by_hand(self, room_name: str | None = None) -> Sequence[Recording]:
        """Recordings begun by hand that go on, in that room or in all."""
        ...

    async def page(
        self, where: RecordingFilter, *, cursor: str | None, limit: int
    ) -> Page[Recording]:
        """Newest first. Raises `BadRequest` for a cursor that is not ours."""
        ...


class Inbox(Protocol):
    """Webhooks as they came: durable before LiveKit hears 200."""

    async def keep(self, webhook: Webhook, at: datetime) -> bool:
        """Store it durably; False where that event id is kept already.

        Raises `StoreUnavailable`.
        """
        ...

    async def done(self, event_id: str, at: datetime, outcome: Mapping[str, Any]) -> None:
        """Note that it was worked on, and what came of it."""
        ...

    async def waiting(self, limit: int) -> Sequence[Webhook]:
        """Kept, but not done: the oldest first."""
        ...


class Keys(Protocol):
    """The API key, of which only the fingerprint is ever kept (`domain/access.py`).

    All verbs raise `StoreUnavailable` when the store is away.
    """

    async def fingerprint(self) -> str | None:
        """The fingerprint of the key that opens the API; None while there is no key."""
        ...

    async def keep_first(self, fingerprint: str, at: datetime) -> bool:
        """Store it if there is no key yet; False where there is one, which stays."""
        ...

    async def replace(self, fingerprint: str, at: datetime) -> None:
        """Store it in the place of the key there is: that one opens nothing any more."""
        ...


class Reports(Protocol):
    """Daily ledgers. All verbs raise `StoreUnavailable` when the store is away."""

    async def has(self, since: datetime) -> bool:
        """Whether the ledger of the day that begins then is kept."""
        ...

    async def keep(self, report: Report) -> bool:
        """Store it; False where that day has one already, which stays."""
        ...


class Webhooks(Protocol):
    """Checks and reads what LiveKit posts."""

    def admit(self, authorization: str | None, at: datetime) -> None:
        """Raise `SignatureRefused` where `read` would, whatever the body is."""
        ...

    def read(self, body: bytes, authorization: str | None, at: datetime) -> Webhook:
        """The webhook, in our words. `at` is when it came.

        Raises `SignatureRefused` where it is not signed by a key that we know, `BadRequest` where
        the body can't be read.
        """
        ...


class Rooms(Protocol):
    """LiveKit's rooms, asked for. Verbs raise `LiveKitUnavailable` or `LiveKitRefused`."""

    async def rooms(self) -> Sequence[Room]:
        """The rooms that are open now."""
        ...

    async def participants(self, room_name: str) -> Sequence[Participant]:
        """Who is in a room now; none where the room is not open."""
        ...

    async def carries(self, room_name: str, identity: str) -> bool:
        """Whether the server that carries the room has this participant now.

        It is asked itself: lists are read from Redis, and lack everybody when its keys were lost.
        Of a participant that is gone it takes seconds to answer.
        """
        ...


class Trunks(Protocol):
    """LiveKit's SIP settings. Verbs raise `LiveKitUnavailable` or `LiveKitRefused`."""

    async def direct_rooms(self) -> Sequence[str]:
        """The rooms that dispatch rules of the direct kind name."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """What a recorder is to record: a whole call, or one track (`track_sid`) of it.

    `path` is where the file is to go, below the recordings directory; it is known by it. `identity`
    is the caller's, empty where nobody's side is the left one; `hears_other_callers` says whether
    they are heard on the other side.
    """

    room_name: str
    path: str
    identity: str = ""
    track_sid: str = ""
    hears_other_callers: bool = True


#: What a recorder calls with what it has seen first-hand, in order. It may raise what is
#: retryable: then it is told the same again.
Listener = Callable[[News], Awaitable[None]]


class Recorder(Protocol):
    """Something that records what is said in a room.

    One kind is in the room itself (`attend`), and keeps all that is said there; the other is
    ordered to (`order`), a job for every file. Each kind takes what is the other's way as done.
    What becomes of anything is told to the listener.
    """

    @property
    def engine(self) -> Engine:
        """Which it is; stands in the recording."""
        ...

    async def attend(self, room_name: str, participant_sid: str = "") -> None:
        """See to it that the room is being captured; harmless to repeat.

        `participant_sid` is the stay of the caller for whom, where it is known. Returns at once.
        The recorder leaves by itself when the last caller has.
        """
        ...

    async def leave_alone(self, room_name: str, participant_sid: str) -> None:
        """This caller's stay is not recorded: nothing is captured for it alone."""
        ...

    async def keep(self, room_name: str, recording_id: str) -> str | None:
        """Be in the room, whoever is there, and keep what is said until `let_go`.

        Harmless to repeat, and to be repeated: what ends a capture ends with its room. Returns the
        capture that goes on there, if one does already.
        """
        ...

    async def let_go(self, room_name: str, recording_id: str) -> None:
        """This recording needs the room no more; harmless where it was never kept for it."""
        ...

    def kept_for(self, room_name: str) -> Collection[str]:
        """The recordings for which the room is kept."""
        ...

    async def order(self, order: Order) -> None:
        """Have a job done; ordered twice, it may be done twice. Returns at once."""
        ...

    async def stop(self, egress_id: str) -> None:
        """Have a job end; harmless to repeat. Returns at once."""
        ...

    async def jobs(self, room_name: str | None = None) -> Sequence[EgressReported]:
        """How jobs are doing, in that room or in all, for as long as anybody remembers them.

        Raises `LiveKitUnavailable`, `LiveKitRefused`.
        """
        ...

    async def stand(self, room_name: str) -> None:
        """Be in the room for as long as anybody is, so that the next caller costs no join."""
        ...

    def attends(self, room_name: str) -> bool:
        """Whether it is in the room, or on its way."""
        ...

    def view(self, room_name: str) -> RoomView | None:
        """Who is in the room, as the server tells whoever is in it; None where it is not there."""
        ...


class Captures(Protocol):
    """The captures that lie on this host's disk."""

    async def left_behind(self) -> Sequence[str]:
        """Captures that nobody writes any more and that are not settled."""
        ...

    async def retell(self, capture_id: str) -> Sequence[News]:
        """What a capture has to tell, from its journal, in order; again and again the same."""
        ...

    async def settle(self, capture_id: str) -> None:
        """Mark it: every call in it has its final files."""
        ...


#: One recording's steps, by its id.
Work = Callable[[str], Awaitable[None]]


class Queue(Protocol):
    """Work that is due now. The truth is in the stores: a lost queue costs a delay, not more."""

    async def soon(self, recording_id: str, place: str | None = None) -> None:
        """Have the recording's next step done as soon as may be; harmless to repeat.

        By who works at that place; empty: by anybody; None: as near as may be.
        """
        ...

    async def serve(self, work: Work) -> None:
        """Have what is waiting worked on, several at once, until cancelled.

        One recording is worked on by one worker at a time. `work` never raises.
        """
        ...


class Files(Protocol):
    """Where recordings lie: the recordings directory, and a bucket where there is one."""

    def path(self, relative: str) -> str:
        """Where a file below the recordings directory is, as the operator sees it.

        What is whole already, a path from `/` or a URL, stays as it is.
        """
        ...

    async def exists(self, path: str) -> bool | None:
        """Whether there is a file with something in it; None where that can't be told from here.

        So it is with the storage of others, and with a bucket that does not answer.
        """
        ...

    async def where(self, path: str) -> str | None:
        """Where a file is that LiveKit Egress was asked for by a path; None where none is.

        It is that path itself below the recordings directory, or an address in the bucket.
        """
        ...

    def at_hand(self, paths: Sequence[str]) -> AbstractAsyncContextManager[Mapping[str, str]]:
        """Have files on this host's disk for a while: their paths there, by their own.

        What lies there anyway is left out, and what is nowhere. Raises `StorageFailed`.
        """
        ...

    async def discard(self, relative: str) -> None:
        """Remove a file of ours that no document names. Raises `StorageFailed`."""
        ...

    async def tidy(self, stem: str) -> None:
        """Remove what was begun of a file that never came, and its folder if that is empty then.

        `stem` is the file's path below the recordings directory, without its ending; `{track_id}`
        in its name stands for every track.
        """
        ...


class Renderer(Protocol):
    """Makes a call's files from its captures."""

    async def follow(self, plan: RenderPlan) -> None:
        """Begin, and keep going while the call goes on; harmless to repeat with a newer plan."""
        ...

    async def finish(self, plan: RenderPlan) -> Rendered:
        """The finished files: the plan's `ends_at` is set, its captures are complete until then.

        Raises `RenderFailed` where nothing can be made of what is there; its message says why.
        """
        ...

    def followed(self) -> Collection[str]:
        """The recordings that are being followed."""
        ...

    async def forget(self, recording_id: str) -> None:
        """Stop following, and remove what was begun."""
        ...


class Ears(Protocol):
    """Listens to finished files."""

    async def listen(self, claim: Claim) -> Evidence:
        """What is heard in its files, here or below the recordings. Raises `ListenFailed`."""
        ...

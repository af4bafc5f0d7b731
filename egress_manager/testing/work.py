"""What work on a recording needs, in memory: captures, renderer, queue, files."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath

from egress_manager.domain.buckets import Stored
from egress_manager.domain.incoming import News
from egress_manager.domain.recordings import Rendered, RenderPlan
from egress_manager.errors import RenderFailed, StorageFailed
from egress_manager.ports import Work


@dataclass
class MemoryCaptures:
    """`Captures`: what a test lets each of them tell."""

    told: dict[str, list[News]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    async def left_behind(self) -> Sequence[str]:
        return sorted(self.told.keys() - self.settled)

    async def retell(self, capture_id: str) -> Sequence[News]:
        return list(self.told[capture_id])

    async def settle(self, capture_id: str) -> None:
        self.settled.add(capture_id)


@dataclass
class MemoryCarrier:
    """`Carrier`: `sent` is on its way, `brought` has come."""

    sent: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)

    async def send(self, capture_id: str) -> None:
        self.sent.add(capture_id)

    async def bring(self, capture_id: str) -> bool:
        self.brought |= self.sent & {capture_id}
        return capture_id in self.brought

    async def forget(self, capture_id: str) -> None:
        self.sent.discard(capture_id)


@dataclass
class MemoryRenderer:
    """`Renderer` whose files are as long as the call; while `trouble` is set it is raised.

    Its mixes are there in `files`, where it has some.
    """

    trouble: RenderFailed | None = None
    files: "MemoryFiles | None" = None
    followed_plans: list[RenderPlan] = field(default_factory=list)
    finished: list[RenderPlan] = field(default_factory=list)

    async def follow(self, plan: RenderPlan) -> None:
        self.followed_plans.append(plan)

    async def finish(self, plan: RenderPlan) -> Rendered:
        if self.trouble is not None:
            raise self.trouble
        self.finished.append(plan)
        if self.files is not None:
            self.files.there.add(self.files.path(plan.mix_filepath))
        length = (plan.ends_at or plan.begins_at) - plan.begins_at
        return Rendered(plan.mix_filepath, length, 1000, (), ())

    def followed(self) -> Collection[str]:
        done = {plan.recording_id for plan in self.finished}
        return [plan.recording_id for plan in self.followed_plans if plan.recording_id not in done]

    async def forget(self, recording_id: str) -> None:
        self.followed_plans = [p for p in self.followed_plans if p.recording_id != recording_id]


@dataclass
class MemoryQueue:
    """`Queue`; `serve` ends when nothing is waiting any more."""

    waiting: list[str] = field(default_factory=list)

    async def soon(self, recording_id: str, place: str | None = None) -> None:
        if recording_id not in self.waiting:
            self.waiting.append(recording_id)

    async def serve(self, work: Work) -> None:
        while self.waiting:
            await work(self.waiting.pop(0))


@dataclass
class MemoryFiles:
    """`Files` below `/recordings`, and in a bucket where `bucket` has its address.

    `there` has the paths and addresses that exist; `fetched` has what was to be at hand. While
    `away`, the bucket does not answer. `tidied` has the stems whose files never came.
    """

    there: set[str] = field(default_factory=set)
    bucket: str = ""
    away: bool = False
    fetched: list[str] = field(default_factory=list)
    tidied: list[str] = field(default_factory=list)

    def path(self, relative: str) -> str:
        return relative if "://" in relative else str(PurePosixPath("/recordings") / relative)

    async def exists(self, path: str) -> bool | None:
        return path in self.there if "://" not in path or self._is_object(path) else None

    async def where(self, path: str) -> str | None:
        address = path if "://" in path else f"{self.bucket}/{path}"
        if self._is_object(address) and address in self.there:
            return address
        return path if await self.exists(self.path(path)) else None

    @asynccontextmanager
    async def at_hand(self, paths: Sequence[str]) -> AsyncIterator[Mapping[str, str]]:
        here = {p: f".fetched/{PurePosixPath(p).name}" for p in paths if self._is_object(p)}
        self.fetched += here
        if self.away and here:
            raise StorageFailed("the bucket does not answer")
        brought = {name for path, name in here.items() if path in self.there}
        self.there |= brought
        try:
            yield here
        finally:
            self.there -= brought

    async def discard(self, relative: str) -> None:
        self.there.discard(self.path(relative))

    async def tidy(self, stem: str) -> None:
        self.tidied.append(stem)

    def _is_object(self, path: str) -> bool:
        return bool(self.bucket) and path.startswith(f"{self.bucket}/")


@dataclass
class MemoryObjects:
    """`Objects` of the API: what is in each object, by its address; none answers while `away`.

    `part` is how much is read at once, in bytes.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    away: bool = False
    part: int = 4
    written_at: datetime = datetime(2026, 11, 22, 12, tzinfo=UTC)

    async def about(self, address: str) -> Stored | None:
        self._answer()
        content = self.content.get(address)
        etag = f'"{len(content or b"")}"'
        return Stored(address, len(content), etag, self.written_at) if content else None

    async def read(self, stored: Stored, start: int, stop: int) -> AsyncIterator[bytes]:
        for at in range(start, stop, self.part):
            self._answer()
            yield self.content[stored.key][at : min(at + self.part, stop)]

    def _answer(self) -> None:
        if self.away:
            raise StorageFailed("the bucket does not answer")

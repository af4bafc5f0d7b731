"""What work on a recording needs, in memory: captures, renderer, queue, files."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from egress_manager.domain.incoming import News
from egress_manager.domain.recordings import Rendered, RenderPlan
from egress_manager.errors import RenderFailed
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
class MemoryRenderer:
    """`Renderer` whose files are as long as the call; while `trouble` is set it is raised."""

    trouble: RenderFailed | None = None
    followed: list[RenderPlan] = field(default_factory=list)
    finished: list[RenderPlan] = field(default_factory=list)

    async def follow(self, plan: RenderPlan) -> None:
        self.followed.append(plan)

    async def finish(self, plan: RenderPlan) -> Rendered:
        if self.trouble is not None:
            raise self.trouble
        self.finished.append(plan)
        length = (plan.ends_at or plan.begins_at) - plan.begins_at
        return Rendered(plan.mix_filepath, length, 1000, (), ())

    async def forget(self, recording_id: str) -> None:
        return None


@dataclass
class MemoryQueue:
    """`Queue`; `serve` ends when nothing is waiting any more."""

    waiting: list[str] = field(default_factory=list)

    async def soon(self, recording_id: str) -> None:
        if recording_id not in self.waiting:
            self.waiting.append(recording_id)

    async def serve(self, work: Work) -> None:
        while self.waiting:
            await work(self.waiting.pop(0))


@dataclass
class MemoryFiles:
    """`Files` below `/recordings`; `there` has the paths that exist."""

    there: set[str] = field(default_factory=set)

    def path(self, relative: str) -> str:
        return relative if "://" in relative else str(PurePosixPath("/recordings") / relative)

    async def exists(self, path: str) -> bool | None:
        return path in self.there if "://" not in path else None

    async def where(self, path: str) -> str | None:
        return path if await self.exists(self.path(path)) else None

    @asynccontextmanager
    async def at_hand(self, paths: Sequence[str]) -> AsyncIterator[Mapping[str, str]]:
        yield {}

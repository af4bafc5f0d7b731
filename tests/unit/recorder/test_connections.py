"""The connections of an attendance, where one of them has not read what has come."""

import asyncio
from dataclasses import dataclass, field

from egress_manager.recorder.clock import now
from egress_manager.recorder.connections import HANDOVER, Connections

#: How far one is behind that reads what came a while ago. Seconds.
BEHIND = 3.0


@dataclass
class Streams:
    """The tracks that a connection does not bring any more."""

    handed_over: list[str] = field(default_factory=list)
    are_handed_over: bool = False

    def hand_over(self, track_sid: str) -> None:
        if track_sid not in self.handed_over:
            self.handed_over.append(track_sid)


@dataclass(eq=False)
class Way:
    """A connection, as far as it matters here: how far it has read."""

    behind: float = 0.0
    has_media: bool = True
    streams: Streams = field(default_factory=Streams)

    def read_until(self, moment: float) -> float:
        return moment - self.behind


def test_who_has_read_all_hands_over_at_once_and_who_has_not_goes_on() -> None:
    """Else what waits in its socket would never be read: the new one begins behind it."""
    prompt, late, new = Way(), Way(behind=BEHIND), Way()
    connections = Connections()
    connections.fade(prompt)
    connections.fade(late)
    connections.current = new

    connections.flowing(new, "TR_1")
    connections.tick(now())
    before = (prompt.streams.handed_over, late.streams.handed_over[:])
    late.behind = 0.0
    connections.tick(now())

    assert before == (["TR_1"], [])
    assert late.streams.handed_over == ["TR_1"]


def test_who_has_not_read_all_that_came_before_the_new_one_fades_later() -> None:
    """The moment that it has for handing over is counted in what it has read."""
    prompt, late = Way(), Way(behind=BEHIND)
    connections = Connections()
    connections.fade(prompt)
    connections.fade(late)
    connections.current = Way()
    connections.media_up(100.0)

    assert connections.tick(100.0 + HANDOVER) == []
    assert connections.tick(100.1 + HANDOVER) == [prompt]
    assert connections.tick(100.1 + HANDOVER + BEHIND) == [late]


async def test_an_end_waits_until_all_that_had_come_was_read() -> None:
    """Who reads goes on reading meanwhile."""
    slow = Way(behind=BEHIND)
    connections = Connections()
    connections.current = slow
    ending = asyncio.create_task(connections.catch_up())
    await asyncio.sleep(0)
    before = ending.done()

    slow.behind = 0.0
    await ending

    assert not before


async def test_an_end_does_not_wait_for_ever(monkeypatch) -> None:
    """One that stays behind is left."""
    monkeypatch.setattr("egress_manager.recorder.connections.CATCH_UP", 0.2)
    connections = Connections()
    connections.current = Way(behind=BEHIND)

    async with asyncio.timeout(30):
        await connections.catch_up()

    assert connections.read_until(now()) < now()

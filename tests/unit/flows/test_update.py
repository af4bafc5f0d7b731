"""How a document changes: with as few looks at the store as can be, and none too few."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from egress_manager.domain.calls import Call
from egress_manager.domain.incoming import Room
from egress_manager.flows.update import update, upsert
from egress_manager.testing import MemoryCalls

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = Call("call_1", Room("palombia"), "sip_1", (), joined_at=NOON, seen_at=NOON)


@dataclass
class WatchedCalls(MemoryCalls):
    """Notes what is asked of it."""

    asked: list[str] = field(default_factory=list)

    async def get(self, call_id: str) -> Call:
        self.asked.append("get")
        return await super().get(call_id)

    async def add(self, call: Call) -> Call:
        self.asked.append("add")
        return await super().add(call)

    async def save(self, call: Call) -> Call:
        self.asked.append("save")
        return await super().save(call)


def because(call: Call) -> Call:
    return replace(call, reason=f"{call.reason}!")


async def test_what_was_read_just_before_is_not_read_again() -> None:
    """One write is all it takes."""
    calls = WatchedCalls({CALL.id: CALL})

    after = await update(calls, CALL.id, because, known=CALL)

    assert (after.reason, after.version) == ("!", 1)
    assert calls.asked == ["save"]


async def test_what_somebody_wrote_meanwhile_is_read_after_all() -> None:
    """Nothing of theirs is lost."""
    calls = WatchedCalls({CALL.id: CALL})
    await update(calls, CALL.id, because)

    after = await update(calls, CALL.id, because, known=CALL)

    assert (after.reason, after.version) == ("!!", 2)
    assert calls.asked == ["get", "save", "save", "get", "save"]


async def test_what_needs_no_change_is_not_written() -> None:
    """It is not even asked for."""
    calls = WatchedCalls({CALL.id: CALL})

    assert await update(calls, CALL.id, lambda call: call, known=CALL) == CALL
    assert calls.asked == []


async def test_what_is_new_is_added_without_a_look() -> None:
    """Of a caller who has just joined nothing is stored yet."""
    calls = WatchedCalls()

    await upsert(calls, CALL.id, lambda: CALL, because, is_new=True)

    assert calls.asked == ["add"]


async def test_what_seemed_new_and_is_not_is_changed() -> None:
    """Somebody else was told first."""
    calls = WatchedCalls({CALL.id: CALL})

    after = await upsert(calls, CALL.id, lambda: CALL, because, is_new=True)

    assert after.reason == "!"
    assert calls.asked == ["add", "get", "save"]

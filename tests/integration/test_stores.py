"""The contracts of the store ports, held by the in-memory stores and by MongoDB alike."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from egress_manager.adapters.mongo_client import Database
from egress_manager.domain.incoming import Room
from egress_manager.domain.pages import CallFilter, RecordingFilter
from egress_manager.domain.recordings import (
    DEADLINE,
    MANUAL,
    State,
)
from egress_manager.errors import (
    BadRequest,
    Conflict,
    NotFound,
)
from tests.integration.stored import (
    FULL_CALL,
    FULL_RECORDING,
    NOON,
    Stores,
    call,
    in_memory,
    in_mongo,
    read_again,
    recording,
    webhook,
)


@pytest.fixture(params=["memory", "mongo"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """The stores to be held to their contracts."""
    if request.param == "memory":
        return in_memory()
    db: Database = request.getfixturevalue("db")
    return in_mongo(db)


class TestVersionedStores:
    """What holds for calls and recordings alike."""

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_what_was_added_is_found_again_whole(self, stores: Stores, which: str) -> None:
        """Every field comes back, with its type."""
        store, value = _full(stores, which)

        added = await store.add(value)

        assert added == value
        assert await store.get(value.id) == value

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_an_id_is_taken_once(self, stores: Stores, which: str) -> None:
        """A second of the same id is a conflict."""
        store, value = _full(stores, which)
        await store.add(value)

        with pytest.raises(Conflict):
            await store.add(value)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_who_writes_second_hears_of_the_conflict(
        self, stores: Stores, which: str
    ) -> None:
        """Of two that read the same version, one writes; the other has to read again."""
        store, value = _full(stores, which)
        read = await store.add(value)

        first = await store.save(replace(read, reason="first"))

        assert first.version == read.version + 1
        with pytest.raises(Conflict):
            await store.save(replace(read, reason="second"))
        assert (await store.get(value.id)) == first

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_of_many_writers_at_once_exactly_one_wins(
        self, stores: Stores, which: str
    ) -> None:
        """Compare-and-swap holds under concurrency."""
        store, value = _full(stores, which)
        read = await store.add(value)

        async def write(number: int) -> bool:
            try:
                await store.save(replace(read, reason=f"writer {number}"))
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(*map(write, range(8)))) == 1

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_what_nobody_added_is_not_found(self, stores: Stores, which: str) -> None:
        """Neither read nor saved."""
        store, value = _full(stores, which)

        with pytest.raises(NotFound):
            await store.get(value.id)
        with pytest.raises(NotFound):
            await store.save(value)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_moments_are_kept_to_the_millisecond(self, stores: Stores, which: str) -> None:
        """What add and save return is what get returns, though finer moments were given."""
        store, value = _full(stores, which)
        fine = NOON + timedelta(microseconds=456)
        field = "joined_at" if which == "calls" else "started_at"

        added = await store.add(replace(value, **{field: fine}))
        saved = await store.save(replace(added, **{field: fine}))

        assert getattr(added, field) == NOON
        assert saved == await store.get(value.id)

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_pages_follow_each_other_without_holes(self, stores: Stores, which: str) -> None:
        """Newest first, each once, also where moments are the same and more is added meanwhile."""
        store, make, where = _paged(stores, which)
        for number in range(7):
            await store.add(make(f"x{number}", NOON + timedelta(seconds=number // 2)))

        first = await store.page(where, cursor=None, limit=3)
        await store.add(make("newer", NOON + timedelta(hours=1)))
        second = await store.page(where, cursor=first.next_cursor, limit=3)
        third = await store.page(where, cursor=second.next_cursor, limit=3)

        seen = [item.id for page in (first, second, third) for item in page.items]
        assert seen == ["x6", "x5", "x4", "x3", "x2", "x1", "x0"]
        assert third.next_cursor is None

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    async def test_a_full_last_page_has_no_next(self, stores: Stores, which: str) -> None:
        """The cursor is there only if something comes after it."""
        store, make, where = _paged(stores, which)
        for number in range(3):
            await store.add(make(f"x{number}", NOON))

        page = await store.page(where, cursor=None, limit=3)

        assert len(page.items) == 3
        assert page.next_cursor is None

    @pytest.mark.parametrize("which", ["calls", "recordings"])
    @pytest.mark.parametrize("cursor", ["", "houba", "é", "bm8", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"])
    async def test_a_cursor_that_is_not_ours_is_a_bad_request(
        self, stores: Stores, which: str, cursor: str
    ) -> None:
        """It is not an internal error, and not the first page."""
        store, _, where = _paged(stores, which)

        with pytest.raises(BadRequest):
            await store.page(where, cursor=cursor, limit=3)


def _full(stores: Stores, which: str) -> tuple[Any, Any]:
    if which == "calls":
        return stores.calls, FULL_CALL
    return stores.recordings, FULL_RECORDING


def _paged(stores: Stores, which: str) -> tuple[Any, Any, Any]:
    if which == "calls":
        return stores.calls, lambda i, at: call(i, joined_at=at), CallFilter()
    return stores.recordings, lambda i, at: recording(i, created_at=at), RecordingFilter()


class TestCalls:
    """What holds for calls."""

    async def test_calls_go_on_until_the_caller_left(self, stores: Stores) -> None:
        """In one room, or in all."""
        await stores.calls.add(call("a"))
        await stores.calls.add(call("b", room=Room("elsewhere")))
        await stores.calls.add(call("over", left_at=NOON))

        assert {c.id for c in await stores.calls.going_on()} == {"a", "b"}
        assert [c.id for c in await stores.calls.going_on("palombia")] == ["a"]
        assert await stores.calls.going_on("nowhere") == []

    async def test_a_call_is_found_by_any_stay_of_its_caller(self, stores: Stores) -> None:
        """Also by one before it dropped out and came back; only in its room."""
        await stores.calls.add(call("a", participant_sids=("PA_1", "PA_2")))
        await stores.calls.add(call("b", participant_sids=("PA_3",)))

        assert [c.id for c in await stores.calls.by_participant("palombia", "PA_2")] == ["a"]
        assert await stores.calls.by_participant("elsewhere", "PA_2") == []

    async def test_calls_are_filtered(self, stores: Stores) -> None:
        """By room, number, time and whether they are over."""
        await stores.calls.add(call("a", caller_number="+15550100"))
        await stores.calls.add(call("b", room=Room("elsewhere"), left_at=NOON))
        later = NOON + timedelta(minutes=1)
        await stores.calls.add(call("c", joined_at=later))

        async def ids(**where: Any) -> list[str]:
            page = await stores.calls.page(CallFilter(**where), cursor=None, limit=9)
            return [found.id for found in page.items]

        assert await ids() == ["c", "b", "a"]
        assert await ids(room_name="elsewhere") == ["b"]
        assert await ids(caller_number="+15550100") == ["a"]
        assert await ids(since=later) == ["c"]
        assert await ids(until=later) == ["b", "a"]
        assert await ids(since=NOON, until=NOON) == []
        assert await ids(is_over=True) == ["b"]
        assert await ids(is_over=False) == ["c", "a"]


class TestRecordings:
    """What holds for recordings."""

    async def test_an_egress_id_belongs_to_one_recording(self, stores: Stores) -> None:
        """Whether it is there from the beginning or comes later."""
        await stores.recordings.add(recording("a", egress_id="EG_1"))
        other = await stores.recordings.add(recording("b", egress_id="EG_2"))

        with pytest.raises(Conflict):
            await stores.recordings.add(recording("c", egress_id="EG_1"))
        with pytest.raises(Conflict):
            await stores.recordings.save(replace(other, egress_id="EG_1"))
        found = await stores.recordings.by_egress_id("EG_1")
        assert found is not None
        assert found.id == "a"
        assert await stores.recordings.by_egress_id("EG_9") is None

    async def test_any_number_of_recordings_lack_an_egress_id(self, stores: Stores) -> None:
        """Edge case 1 of the design: an egress that never started has none."""
        await stores.recordings.add(recording("a", egress_id=None))
        await stores.recordings.add(recording("b", egress_id=None))

        page = await stores.recordings.page(RecordingFilter(), cursor=None, limit=9)

        assert len(page.items) == 2

    async def test_the_longest_due_comes_first(self, stores: Stores) -> None:
        """What is due later, or never, is not due."""
        for name, seconds in {"second": -5, "first": -9, "now": 0, "later": 1}.items():
            await stores.recordings.add(recording(name, due_at=NOON + timedelta(seconds=seconds)))
        await stores.recordings.add(recording("never"))

        assert [r.id for r in await stores.recordings.due(NOON, 9)] == ["first", "second", "now"]
        assert [r.id for r in await stores.recordings.due(NOON, 1)] == ["first"]

    async def test_final_recordings_are_finished(self, stores: Stores) -> None:
        """The others are found, whatever their state."""
        for state in State:
            await stores.recordings.add(recording(state.value, state=state))

        unfinished = {r.state for r in await stores.recordings.unfinished()}

        assert unfinished == {state for state in State if DEADLINE[state]}

    async def test_what_was_begun_by_hand_is_found_while_it_goes_on(self, stores: Stores) -> None:
        """In a room, or in all."""
        for state in State:
            fields = {"state": state, "source": MANUAL, "call_id": None}
            await stores.recordings.add(recording(state.value, **fields))
        fields = {"state": State.ACTIVE, "source": MANUAL, "room_name": "$where"}
        await stores.recordings.add(recording("elsewhere", **fields))
        await stores.recordings.add(recording("of a call", state=State.ACTIVE))

        everywhere = {r.id for r in await stores.recordings.by_hand()}
        there = {r.id for r in await stores.recordings.by_hand("$where")}

        assert everywhere == {"planned", "starting", "active", "elsewhere"}
        assert there == {"elsewhere"}

    async def test_recordings_are_filtered(self, stores: Stores) -> None:
        """By room, number, time and public status."""
        await stores.recordings.add(recording("a", caller_number="+15550100"))
        await stores.recordings.add(recording("b", room_name="$where", state=State.VERIFIED))
        later = NOON + timedelta(minutes=1)
        by_hand = {"source": MANUAL, "identity": "seccotine"}
        await stores.recordings.add(recording("c", created_at=later, state=State.FAILED, **by_hand))

        async def ids(**where: Any) -> list[str]:
            page = await stores.recordings.page(RecordingFilter(**where), cursor=None, limit=9)
            return [found.id for found in page.items]

        assert await ids() == ["c", "b", "a"]
        assert await ids(room_name="$where") == ["b"]
        assert await ids(caller_number="+15550100") == ["a"]
        assert await ids(since=later) == ["c"]
        assert await ids(until=later) == ["b", "a"]
        assert await ids(status="completed") == ["b"]
        assert await ids(status="starting", room_name="palombia") == ["a"]
        assert await ids(source=MANUAL, identity="seccotine") == ["c"]
        assert await ids(source=MANUAL, identity="") == []


class TestInbox:
    """What holds for the inbox."""

    async def test_an_event_is_kept_once(self, stores: Stores) -> None:
        """The second of the same id is told from the first."""
        started = read_again(b"room_started", NOON)

        assert await stores.inbox.keep(started, NOON)
        assert not await stores.inbox.keep(started, NOON)

    async def test_what_is_not_done_waits_oldest_first(self, stores: Stores) -> None:
        """What is done does not wait, and is still known."""
        for number, name in enumerate(["one", "two", "three"]):
            await stores.inbox.keep(webhook(name), NOON + timedelta(seconds=number))

        await stores.inbox.done("one", NOON, {"call_id": "call_1"})

        assert [w.event_id for w in await stores.inbox.waiting(9)] == ["two", "three"]
        assert [w.event_id for w in await stores.inbox.waiting(1)] == ["two"]
        assert [w.body for w in await stores.inbox.waiting(9)] == [b"two", b"three"]
        assert not await stores.inbox.keep(webhook("one"), NOON)

    async def test_what_was_never_kept_can_be_done(self, stores: Stores) -> None:
        """Nothing comes of it."""
        await stores.inbox.done("unheard-of", NOON, {})

        assert await stores.inbox.waiting(9) == []


class TestKeys:
    """What holds for the API key."""

    async def test_the_first_key_stays_until_it_is_replaced(self, stores: Stores) -> None:
        """Two processes that start at once agree on one key."""
        assert await stores.keys.fingerprint() is None

        assert await stores.keys.keep_first("aa", NOON)
        assert not await stores.keys.keep_first("bb", NOON)
        assert await stores.keys.fingerprint() == "aa"

        await stores.keys.replace("cc", NOON)
        assert await stores.keys.fingerprint() == "cc"

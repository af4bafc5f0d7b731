"""The one way a document changes: read, apply a pure function, compare-and-swap, again."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from egress_manager.errors import Conflict, NotFound

Item = TypeVar("Item")

#: Writers that meet on one document are few: more rounds than this mean that something is wrong.
ROUNDS: Final = 50


class Store(Protocol[Item]):
    """What `update` needs of a store."""

    async def get(self, item_id: str, /) -> Item: ...

    async def save(self, item: Item, /) -> Item: ...

    async def add(self, item: Item, /) -> Item: ...


async def update(
    store: Store[Item],
    item_id: str,
    change: Callable[[Item], Item],
    *,
    known: Item | None = None,
) -> Item:
    """Read, apply a pure function, write back; if somebody wrote first, do it again.

    `known` is what was read just before: it spares the first reading. Raises `NotFound`,
    `StoreUnavailable`, and what `change` raises.
    """
    for _ in range(ROUNDS):
        before = await store.get(item_id) if known is None else known
        known = None
        after = change(before)
        if after == before:
            return before
        try:
            return await store.save(after)
        except Conflict:
            continue
    raise Conflict(f"{item_id} is being changed by too many at once")


async def upsert(
    store: Store[Item],
    item_id: str,
    new: Callable[[], Item],
    change: Callable[[Item], Item],
    *,
    is_new: bool = False,
) -> Item:
    """`update`, or add what `new` makes where there is nothing yet.

    With `is_new` there most likely is nothing: then adding is tried first.
    """
    if not is_new:
        with suppress(NotFound):
            return await update(store, item_id, change)
    try:
        return await store.add(new())
    except Conflict:
        return await update(store, item_id, change)

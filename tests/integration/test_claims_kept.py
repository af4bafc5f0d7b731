"""The contract of the claims, held in memory and by MongoDB alike."""

import asyncio

import pytest

from egress_manager.adapters.mongo_claims import MongoClaims
from egress_manager.adapters.mongo_client import Database
from egress_manager.domain.claims import NOBODY, Presence
from egress_manager.flows.sharing.doors import Claims
from egress_manager.testing import MemoryClaims

ROOM = "room:reception"


@pytest.fixture(params=["memory", "mongo"])
def claims(request: pytest.FixtureRequest) -> Claims:
    """The claims to be held to their contract."""
    if request.param == "memory":
        return MemoryClaims()
    db: Database = request.getfixturevalue("db")
    return MongoClaims(db)


async def test_of_many_who_claim_at_once_one_gets_it(claims: Claims) -> None:
    """And all hear which one."""
    names = [f"P{n}" for n in range(20)]

    got = await asyncio.gather(*(claims.claim(ROOM, name, ()) for name in names))

    holders = {claim.holder for claim in got}
    assert len(holders) == 1
    assert (await claims.held())[0].asked == len(names)


async def test_a_claim_is_taken_from_the_dead_and_from_nobody_else(claims: Claims) -> None:
    """Its token tells that it changed hands."""
    first = await claims.claim(ROOM, "P1", ())
    refused = await claims.claim(ROOM, "P2", {"P3"})
    taken = await claims.claim(ROOM, "P2", {"P1"})

    assert (first.holder, refused.holder, taken.holder) == ("P1", "P1", "P2")
    assert taken.token == refused.token + 1 == first.token + 1


async def test_what_was_asked_for_meanwhile_is_not_let_go(claims: Claims) -> None:
    """Who asked counts on the holder; unless that one is done for good."""
    claim = await claims.claim(ROOM, "P1", ())
    await claims.claim(ROOM, "P2", ())

    await claims.let_go(claim)
    assert [each.holder for each in await claims.held()] == ["P1"]

    await claims.let_go(claim, even_if_asked=True)
    assert await claims.held() == []


async def test_who_lost_a_claim_can_neither_let_it_go_nor_say_that_it_is_ready(
    claims: Claims,
) -> None:
    """The token is another one."""
    old = await claims.claim(ROOM, "P1", ())
    new = await claims.claim(ROOM, "P2", {"P1"})

    await claims.let_go(old, even_if_asked=True)
    await claims.set_ready(old)
    assert [(each.holder, each.is_ready) for each in await claims.held()] == [("P2", False)]

    await claims.set_ready(new)
    assert [each.is_ready for each in await claims.held()] == [True]


async def test_a_claim_that_changes_hands_is_not_ready_again(claims: Claims) -> None:
    """The new holder has yet to come."""
    await claims.set_ready(await claims.claim(ROOM, "P1", ()))

    assert not (await claims.claim(ROOM, "P2", {"P1"})).is_ready


async def test_what_was_asked_for_is_there_to_be_taken(claims: Claims) -> None:
    """By whoever looks first."""
    asked = await claims.claim(ROOM, NOBODY, ())

    assert asked.holder == NOBODY
    assert (await claims.claim(ROOM, "P1", ())).holder == "P1"


async def test_who_is_there_is_known_until_forgotten(claims: Claims) -> None:
    """With all that it says of itself, the last time."""
    await claims.say(Presence("P1", "place", "host", records=True))
    await claims.say(Presence("P1", "place", "host", records=True, beat=2, is_full=True))
    await claims.say(Presence("P2", "elsewhere", is_leaving=True))

    assert {each.id: each.beat for each in await claims.present()} == {"P1": 2, "P2": 0}
    await claims.forget("P1")
    await claims.forget("P1")
    assert list(await claims.present()) == [Presence("P2", "elsewhere", is_leaving=True)]

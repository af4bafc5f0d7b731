"""Who tries keys, and who asks too often without one."""

import httpx2
import pytest

from egress_manager.api import visitors
from egress_manager.api.visitors import Visitors
from tests.unit.api.house import KEY, NOON, STRANGER, House

TRIES = 9


@pytest.fixture(autouse=True)
def few(house: House) -> None:
    """A service that has had enough soon."""
    house.visitors.tries_per_minute = TRIES
    house.visitors.asks_per_second = 100_000


async def test_wrong_keys_are_counted_and_logged(
    house: House, anybody: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A line that there was one, and a line that there are too many; not a line each."""
    said = [
        (await anybody.get("/calls", headers={"X-API-Key": f"{n:03}-guess"})).status_code
        for n in range(TRIES * 3)
    ]
    health = (await anybody.get("/health")).json()

    assert said == [401] * TRIES + [429] * TRIES * 2
    assert health["keys"]["refused"] == TRIES * 3
    assert health["keys"]["last_refused_at"] is not None
    events = [record.message for record in caplog.records]
    assert (events.count("key_refused"), events.count("keys_guessed")) == (1, 1)


async def test_guessing_locks_nobody_out(house: House, anybody: httpx2.AsyncClient) -> None:
    """Behind a proxy or on one host, the attacker and the owner have the same address."""
    for n in range(TRIES * 2):
        answer = await anybody.get("/calls", headers={"Authorization": f"Bearer {n:03}-guess"})

    assert answer.status_code == 429
    assert answer.json()["code"] == "too_many_requests"
    assert answer.json()["retryable"]
    assert answer.headers["retry-after"] == "60"
    assert (await anybody.get("/calls", headers={"X-API-Key": KEY})).status_code == 200


async def test_a_flood_of_guesses_is_no_flood_of_queries(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """The store is asked for the key's fingerprint once a second then."""
    for n in range(TRIES):
        await anybody.get("/calls", headers={"X-API-Key": f"{n:03}-guess"})
    asked = house.keys.asked

    for n in range(200):
        await anybody.get("/calls", headers={"X-API-Key": f"{n:03}-more"})

    assert house.keys.asked - asked < 100


async def test_tries_at_one_key_are_too_many_sooner(
    house: House, anybody: httpx2.AsyncClient
) -> None:
    """Keys that begin as another one does are tries at that one, which opens all the same."""
    for n in range(TRIES // 3):
        key = KEY[: visitors.KEY_ID] + str(n)
        assert (await anybody.get("/calls", headers={"X-API-Key": key})).status_code == 401

    near = {"X-API-Key": KEY[: visitors.KEY_ID] + "x"}
    assert (await anybody.get("/calls", headers=near)).status_code == 429
    assert (await anybody.get("/calls", headers={"X-API-Key": "other"})).status_code == 401
    assert (await anybody.get("/calls", headers={"X-API-Key": KEY})).status_code == 200


async def test_other_addresses_have_tries_of_their_own(house: House) -> None:
    """Others are told as before that their key is wrong."""
    for n in range(TRIES):
        async with client_at(house, "192.0.2.1") as hostile:
            await hostile.get("/calls", headers={"X-API-Key": f"{n:03}-guess"})

    async with client_at(house, "192.0.2.1") as hostile, client_at(house, "192.0.2.2") as honest:
        assert (await hostile.get("/calls", headers={"X-API-Key": "x"})).status_code == 429
        assert (await honest.get("/calls", headers={"X-API-Key": "x"})).status_code == 401


async def test_forged_webhooks_are_counted_and_logged_once(
    house: House, anybody: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """However many there are; those of LiveKit get in beside them."""
    for _ in range(100):
        answer = await anybody.post("/webhook", content=b"{}", headers={"Authorization": STRANGER})
        assert answer.status_code == 401

    assert (await anybody.post("/webhook", content=b"{}")).status_code == 200
    assert (await anybody.get("/health")).json()["webhooks"]["refused"] == 100
    assert [record.message for record in caplog.records].count("webhook_refused") == 1


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8::1", 1), "2001:db8::/64"),
        (("2001:db8::2%eth0", 1), "2001:db8::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_what_one_customer_has(given: tuple[str, int] | None, counted: str) -> None:
    """An IPv6 customer has 2**64 of them."""
    assert visitors.address_of(given) == counted


def test_who_asks_more_than_it_may_is_answered_in_its_turn() -> None:
    """By address: so many at once, then so many a second; who rests has them again."""
    among = Visitors(asks_per_second=4)

    assert [among.waits("192.0.2.1", 100.0) for _ in range(6)] == [0, 0, 0, 0, 0.25, 0.5]
    assert among.waits("192.0.2.2", 100.0) == 0
    assert among.waits("192.0.2.1", 110.0) == 0
    assert max(among.waits("192.0.2.1", 110.0) for _ in range(500)) == visitors.HELD_UP_AT_MOST


async def test_memory_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more addresses than are counted one by one, further ones share a count."""
    monkeypatch.setattr(visitors, "MOST_COUNTS", 10)
    among = Visitors(asks_per_second=1)

    waits = [among.waits(f"192.0.2.{n}", 100.0) for n in range(200)]
    for n in range(200):
        await among.tried(f"192.0.2.{n}", f"{n}-guess", NOON)

    assert waits[:10] == [0] * 10
    assert max(waits[10:]) == visitors.HELD_UP_AT_MOST
    assert among.waits("192.0.2.250", 200.0) == 0, "those that rest are forgotten"
    assert among.counted <= 15
    assert await among.is_guessing("192.0.2.251"), "it shares the count of all others"


def client_at(house: House, address: str) -> httpx2.AsyncClient:
    """A client that comes from there."""
    transport = httpx2.ASGITransport(app=house.app, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://manager")

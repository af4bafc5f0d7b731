"""Who may ask, and how a key is made."""

import io

import httpx2
import pytest

from egress_manager.api import auth
from egress_manager.domain import access
from tests.unit.api.house import KEY, House


class TestKey:
    """Who may ask."""

    @pytest.mark.parametrize(
        "path",
        [
            "/calls",
            "/calls/call_1",
            "/recordings",
            "/recordings/rec_1",
            "/recordings/rec_1/audio",
            "/recordings/rec_1/tracks/TR_1/audio",
        ],
    )
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {KEY}"},
            {"X-API-Key": "wrong"},
            {"X-API-Key": ""},
            {"X-API-Key": KEY[:-1]},
        ],
    )
    async def test_nothing_is_read_without_it(
        self, anybody: httpx2.AsyncClient, path: str, headers: dict[str, str]
    ) -> None:
        """Whether the thing exists or not."""
        answer = await anybody.get(path, headers=headers)

        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}])
    async def test_it_opens_in_either_header(
        self, anybody: httpx2.AsyncClient, headers: dict[str, str]
    ) -> None:
        """As people are used to."""
        assert (await anybody.get("/calls", headers=headers)).status_code == 200

    async def test_no_key_opens_while_there_is_none(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Nothing is open because nobody has set a key yet."""
        house.keys.kept = None

        assert (await client.get("/calls")).status_code == 401

    async def test_every_route_but_the_open_ones_wants_it(
        self, house: House, anybody: httpx2.AsyncClient
    ) -> None:
        """Also the routes that somebody will add."""
        described = (await anybody.get("/openapi.json")).json()["paths"]
        open_paths = {"/webhook", "/health", "/health/live"}

        for path, operations in described.items():
            for operation in operations.values():
                assert ("security" in operation) is (path not in open_paths), path

    async def test_the_first_one_is_shown_on_a_terminal_once(self, house: House) -> None:
        """And only its fingerprint is kept."""
        house.keys.kept = None
        terminal = Terminal()

        assert await auth.make_first_key(house.keys, house.clock, terminal)
        assert await auth.make_first_key(house.keys, house.clock, terminal)

        shown = terminal.getvalue().split()[-1]
        assert terminal.getvalue().count(shown) == 1
        assert access.opens(shown, house.keys.kept)
        assert shown not in str(house.keys.kept)

    async def test_none_is_made_where_nobody_would_see_it(self, house: House) -> None:
        """What is not a terminal is a log."""
        house.keys.kept = None
        not_a_terminal = io.StringIO()

        assert not await auth.make_first_key(house.keys, house.clock, not_a_terminal)
        assert not_a_terminal.getvalue() == ""
        assert house.keys.kept is None

    async def test_a_new_one_takes_the_place_of_the_old(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """From the next request on."""
        new = await auth.make_new_key(house.keys, house.clock)

        assert (await client.get("/calls")).status_code == 401
        client.headers["Authorization"] = f"Bearer {new}"
        assert (await client.get("/calls")).status_code == 200


class Terminal(io.StringIO):
    """Somebody is watching."""

    def isatty(self) -> bool:
        return True

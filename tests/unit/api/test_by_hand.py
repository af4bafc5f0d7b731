"""`POST /recordings` and `POST /recordings/{id}/stop` over ASGI."""

from typing import Any

import httpx2
import pytest

from egress_manager.domain.incoming import Kind, Participant
from tests.unit.api.house import House

KEY = {"Idempotency-Key": "6f2d3c1e"}
PALOMBIA = {"room_name": "palombia"}


@pytest.fixture(autouse=True)
def somebody(house: House) -> None:
    """Two are in a room, and nothing is recorded by itself."""
    house.rooms.people["palombia"] = [
        Participant("PA_1", "seccotine", kind=Kind.STANDARD),
        Participant("PA_2", "fantasio", kind=Kind.STANDARD),
    ]


async def started(client: httpx2.AsyncClient, **wanted: Any) -> httpx2.Response:
    """Have it recorded."""
    return await client.post("/recordings", json=PALOMBIA | wanted)


class TestStart:
    """`POST /recordings`."""

    async def test_a_room_is_recorded(self, client: httpx2.AsyncClient) -> None:
        """201, and where to find it."""
        answer = await started(client)

        shown = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/recordings/{shown['id']}"
        assert (shown["status"], shown["source"], shown["call_id"]) == ("starting", "manual", None)
        assert (await client.get(answer.headers["Location"])).json() == shown

    async def test_one_participant_is_recorded(self, client: httpx2.AsyncClient) -> None:
        """By the engine that is asked for."""
        shown = (await started(client, identity="fantasio", engine="egress")).json()

        assert (shown["identity"], shown["engine"]) == ("fantasio", "egress")

    async def test_what_is_being_recorded_is_answered_with(
        self, client: httpx2.AsyncClient
    ) -> None:
        """200, and the same recording."""
        first, second = await started(client), await started(client)

        assert second.status_code == 200
        assert second.json() == first.json()

    async def test_the_same_key_is_the_same_recording(self, client: httpx2.AsyncClient) -> None:
        """Also when it is over."""
        first = await client.post("/recordings", json=PALOMBIA, headers=KEY)
        stopped = await client.post(f"/recordings/{first.json()['id']}/stop")
        second = await client.post("/recordings", json=PALOMBIA, headers=KEY)

        assert [answer.status_code for answer in (first, stopped, second)] == [201, 200, 200]
        assert second.json() == stopped.json()

    async def test_a_key_of_something_else_is_a_conflict(self, client: httpx2.AsyncClient) -> None:
        """With a sentence."""
        await client.post("/recordings", json=PALOMBIA, headers=KEY)

        other = PALOMBIA | {"identity": "fantasio"}
        answer = await client.post("/recordings", json=other, headers=KEY)

        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "this key has begun" in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("wanted", "sentence"),
        [
            ({"room_name": "champignac"}, "room champignac is not open at LiveKit"),
            ({"identity": "zorglub"}, "nobody in room palombia has the identity zorglub"),
        ],
    )
    async def test_what_is_not_there_is_not_found(
        self, client: httpx2.AsyncClient, wanted: dict[str, str], sentence: str
    ) -> None:
        """The sentence says what."""
        answer = await started(client, **wanted)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert sentence in answer.json()["detail"]

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ({}, "room_name: Field required"),
            ({"room_name": ""}, "room_name: "),
            ({"room_name": 7}, "room_name: "),
            ({"room_name": "palombia", "identity": ""}, "identity: "),
            ({"room_name": "palombia", "engine": "tape"}, "engine: "),
            ({"room_name": "palombia", "roomName": "p"}, "roomName: Extra inputs"),
            ([], "body: "),
        ],
    )
    async def test_what_cannot_be_understood_is_refused(
        self, client: httpx2.AsyncClient, body: object, sentence: str
    ) -> None:
        """Before anything is looked for."""
        answer = await client.post("/recordings", json=body)

        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert sentence in answer.json()["detail"]

    @pytest.mark.parametrize("key", ["", "k" * 256])
    async def test_a_key_that_is_none_is_refused(
        self, client: httpx2.AsyncClient, key: str
    ) -> None:
        """An empty one would mean the same recording to everybody."""
        answer = await client.post("/recordings", json=PALOMBIA, headers={"Idempotency-Key": key})

        assert answer.status_code == 400

    async def test_a_server_that_is_away_is_said_so(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """503, and the same request may succeed later."""
        house.rooms.away = True
        livekit = await started(client)
        house.rooms.away, house.recordings.away = False, True
        store = await started(client)

        assert (livekit.status_code, livekit.json()["code"]) == (503, "livekit_unavailable")
        assert (store.status_code, store.json()["code"]) == (503, "store_unavailable")
        assert livekit.json()["retryable"]


class TestStop:
    """`POST /recordings/{id}/stop`."""

    async def test_it_may_be_stopped_twice(self, client: httpx2.AsyncClient) -> None:
        """The second time is answered like the first."""
        shown = (await started(client)).json()
        first, second = [
            await client.post(f"/recordings/{shown['id']}/stop") for _ in ("once", "twice")
        ]

        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json()["status"] == "processing"
        assert first.json()["stopped_at"] is not None
        assert second.json() == first.json()

    async def test_what_is_over_is_answered_with(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """As it is."""
        await house.has()

        answer = await client.post("/recordings/rec_1/stop")

        assert (answer.status_code, answer.json()["status"]) == (200, "completed")

    async def test_an_id_that_nobody_has_is_not_found(self, client: httpx2.AsyncClient) -> None:
        """As a problem document."""
        answer = await client.post("/recordings/rec_9/stop")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/recordings", "/recordings/rec_1/stop"])
async def test_nobody_records_without_the_key(
    house: House, anybody: httpx2.AsyncClient, path: str
) -> None:
    """Nor stops what is recorded."""
    answer = await anybody.post(path, json=PALOMBIA)

    assert answer.status_code == 401
    assert not house.recordings.kept

"""`GET /recordings` over ASGI, and the audio."""

import httpx2
import pytest

from egress_manager.domain.recordings import State, TrackFile, Verdict
from tests.unit.api.house import House


class TestRecordings:
    """`GET /recordings`."""

    async def test_a_recording_has_the_users_field_names(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """As in the user's document."""
        track = TrackFile("TR_1", "sip_1", "SIP", "left", reason="never_sent")
        await house.has(tracks=(track,), filepath="/r/a.mp4", duration_sec=30.5)

        shown = (await client.get("/recordings/rec_1")).json()

        assert list(shown)[1:11] == [
            "room_name",
            "egress_id",
            "caller_number",
            "agent_identity",
            "filepath",
            "started_at",
            "stopped_at",
            "duration_sec",
            "status",
            "tracks",
        ]
        assert shown["status"] == "completed"
        assert shown["tracks"][0]["track_id"] == "TR_1"
        assert shown["verdict"] == "pending"

    @pytest.mark.parametrize("state", State)
    async def test_every_state_has_a_public_status(
        self, house: House, client: httpx2.AsyncClient, state: State
    ) -> None:
        """And can be asked for by it."""
        recording = await house.has(state=state)

        shown = (await client.get("/recordings", params={"status": recording.status})).json()

        assert [found["state"] for found in shown["items"]] == [state.value]

    async def test_a_status_that_there_is_not_is_refused(self, client: httpx2.AsyncClient) -> None:
        """Instead of an empty list."""
        assert (await client.get("/recordings?status=done")).status_code == 400

    async def test_an_id_that_nobody_has_is_not_found(self, client: httpx2.AsyncClient) -> None:
        """As a problem document."""
        answer = await client.get("/recordings/rec_9")

        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:egress-manager:not_found"


class TestAudio:
    """`GET /recordings/{id}/audio` and that of a track."""

    @pytest.mark.parametrize(("name", "kind"), [("a.mp4", "audio/mp4"), ("a.ogg", "audio/ogg")])
    async def test_the_mix_is_sent_whole(
        self, house: House, client: httpx2.AsyncClient, name: str, kind: str
    ) -> None:
        """With its type; players are told that they may ask for parts."""
        await house.has(filepath=house.file(f"palombia/{name}"))

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 200
        assert answer.headers["content-type"] == kind
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.content == b"0123456789"

    async def test_a_part_is_sent_that_is_asked_for(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """What players do when somebody jumps."""
        await house.has(filepath=house.file("a.mp4"))

        part = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=3-5"})
        rest = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=-2"})
        none = await client.get("/recordings/rec_1/audio", headers={"Range": "bytes=99-"})

        assert (part.status_code, part.content) == (206, b"345")
        assert part.headers["content-range"] == "bytes 3-5/10"
        assert (rest.status_code, rest.content) == (206, b"89")
        assert none.status_code == 416

    @pytest.mark.parametrize(
        "ranges",
        [
            *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=--1", "chars=0-1"),
            *("bytes=0-1;q=1", "bytes=1_0-", "bytes=+1-2", "bytes=0-0, 5-6", "bytes=0-9,9-8"),
            *("bytes=" + "0-9," * 2000 + "0-9", "bytes=" + "9" * 5000 + "-", "bytes=\xb2-", "0-1"),
        ],
    )
    async def test_what_is_not_one_range_asks_for_all(
        self, house: House, client: httpx2.AsyncClient, ranges: str
    ) -> None:
        """Whatever else is written there, as RFC 9110 has it."""
        await house.has(filepath=house.file("a.mp4"))

        answer = await client.get(
            "/recordings/rec_1/audio", headers=[(b"Range", ranges.encode("latin-1"))]
        )

        assert (answer.status_code, answer.content) == (200, b"0123456789")

    async def test_a_range_of_huge_numbers_is_cut_or_is_not_there(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """However many digits they have."""
        await house.has(filepath=house.file("a.mp4"))

        for ranges, status in [(f"7-{10**98}", 206), (f"-{10**98}", 206), (f"{10**98}-", 416)]:
            answer = await client.get(
                "/recordings/rec_1/audio", headers={"Range": f"bytes={ranges}"}
            )
            assert answer.status_code == status

    @pytest.mark.parametrize(
        "name",
        ["..%2f..%2fetc%2fpasswd", "%2e%2e", "rec_1%2f..", "rec_1%00", "%ff", "%2fetc%2fpasswd"],
    )
    async def test_an_id_is_no_path(
        self, house: House, client: httpx2.AsyncClient, name: str
    ) -> None:
        """Whatever it looks like, it is looked for among ids only."""
        await house.has(filepath=house.file("a.mp4"))

        mix = await client.get(f"/recordings/{name}/audio")
        track = await client.get(f"/recordings/rec_1/tracks/{name}/audio")

        assert (mix.status_code, track.status_code) == (404, 404)

    async def test_its_size_can_be_asked_for_alone(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """With HEAD."""
        await house.has(filepath=house.file("a.mp4"))

        answer = await client.head("/recordings/rec_1/audio")

        assert answer.headers["content-length"] == "10"
        assert answer.content == b""

    async def test_a_track_has_its_own_file(self, house: House, client: httpx2.AsyncClient) -> None:
        """A track that there is not is not found; one without a file says so."""
        tracks = (
            TrackFile("TR_1", "sip_1", "SIP", "left", filepath=house.file("t/TR_1.ogg")),
            TrackFile("TR_2", "sip_2", "SIP", "left", reason="never_sent"),
        )
        await house.has(tracks=tracks)

        one = await client.get("/recordings/rec_1/tracks/TR_1/audio")
        two = await client.get("/recordings/rec_1/tracks/TR_2/audio")
        nine = await client.get("/recordings/rec_1/tracks/TR_9/audio")

        assert (one.status_code, one.headers["content-type"]) == (200, "audio/ogg")
        assert (two.status_code, two.json()["code"]) == (404, "no_file")
        assert (nine.status_code, nine.json()["code"]) == (404, "not_found")

    async def test_a_recording_that_goes_on_has_no_file_yet(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """Which is another thing than never having one."""
        await house.has(state=State.ACTIVE)

        mix = (await client.get("/recordings/rec_1/audio")).json()
        track = (await client.get("/recordings/rec_1/tracks/TR_1/audio")).json()

        assert (mix["code"], mix["retryable"]) == ("no_file_yet", True)
        assert track["code"] == "no_file_yet"

    async def test_a_file_that_is_gone_says_why(
        self, house: House, client: httpx2.AsyncClient
    ) -> None:
        """The user's simulated `egress_completed` names one that never was."""
        await house.has(filepath=str(house.directory / "gone.mp4"), verdict=Verdict.MISSING)

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 404
        assert answer.json()["code"] == "no_file"
        assert "missing" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "filepath",
        [
            "/etc/passwd",
            "{dir}/../secret.mp4",
            "{dir}/link.mp4",
            "{dir}/.captures/journal.jsonl",
            "{dir}",
            "\x00",
            "a" * 5000,
        ],
    )
    async def test_nothing_outside_the_directory_is_ever_sent(
        self, house: House, client: httpx2.AsyncClient, filepath: str
    ) -> None:
        """Whatever a document says, wherever a link leads, and not what is hidden."""
        house.file("../secret.mp4")
        house.file(".captures/journal.jsonl")
        (house.directory / "link.mp4").symlink_to(house.directory / "../secret.mp4")
        await house.has(filepath=filepath.replace("{dir}", str(house.directory)))

        answer = await client.get("/recordings/rec_1/audio")

        assert answer.status_code == 404
        assert answer.json()["code"] == "no_file"

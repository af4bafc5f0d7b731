"""The audio of recordings that LiveKit Egress has put into a bucket, over ASGI."""

import httpx2
import pytest

from egress_manager.api.streaming import part_of
from egress_manager.domain.recordings import State, TrackFile
from tests.unit.api.house import House

ADDRESS = "https://s3.example.com/calls/palombia/rec_1.mp4"
AUDIO = "/recordings/rec_1/audio"


@pytest.fixture(autouse=True)
async def recorded(house: House) -> None:
    """A recording with an object in the bucket, and one of a track."""
    track = "https://s3.example.com/calls/palombia/TR_1.ogg"
    house.objects.content |= {ADDRESS: b"0123456789", track: b"abc"}
    await house.has(
        filepath=ADDRESS, tracks=(TrackFile("TR_1", "sip_1", "SIP", "left", filepath=track),)
    )


async def test_an_object_is_sent_whole(client: httpx2.AsyncClient) -> None:
    """With its type and its name; players are told that they may ask for parts."""
    answer = await client.get(AUDIO)

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "audio/mp4"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''rec_1.mp4"
    assert answer.headers["last-modified"] == "Sun, 22 Nov 2026 12:00:00 GMT"


async def test_a_track_has_an_object_of_its_own(client: httpx2.AsyncClient) -> None:
    """As it has a file of its own."""
    answer = await client.get("/recordings/rec_1/tracks/TR_1/audio")

    assert (answer.content, answer.headers["content-type"]) == (b"abc", "audio/ogg")


@pytest.mark.parametrize(
    ("wanted", "status", "content", "which"),
    [
        ("bytes=3-5", 206, b"345", "bytes 3-5/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-3", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("seconds=1-2", 200, b"0123456789", None),
    ],
)
async def test_a_part_is_sent_that_is_asked_for(
    client: httpx2.AsyncClient, wanted: str, status: int, content: bytes | None, which: str | None
) -> None:
    """What is no range of bytes is as if nobody had asked (RFC 9110, 14.2)."""
    answer = await client.get(AUDIO, headers={"Range": wanted})

    assert answer.status_code == status
    assert answer.headers.get("content-range") == which
    if status == 416:
        assert answer.json()["code"] == "range_not_satisfiable"
    else:
        assert answer.content == content


async def test_a_part_of_what_was_written_anew_is_not_sent(client: httpx2.AsyncClient) -> None:
    """Who has the beginning of an older one gets all of the new one."""
    etag = (await client.head(AUDIO)).headers["etag"]

    same = await client.get(AUDIO, headers={"Range": "bytes=3-", "If-Range": etag})
    other = await client.get(AUDIO, headers={"Range": "bytes=3-", "If-Range": '"older"'})

    assert (same.status_code, same.content) == (206, b"3456789")
    assert (other.status_code, other.content) == (200, b"0123456789")


async def test_its_size_can_be_asked_for_alone(client: httpx2.AsyncClient) -> None:
    """With HEAD, which reads nothing of it."""
    whole = await client.head(AUDIO)
    part = await client.head(AUDIO, headers={"Range": "bytes=3-5"})

    assert (whole.headers["content-length"], whole.content) == ("10", b"")
    assert (part.status_code, part.headers["content-length"]) == (206, "3")


async def test_an_object_that_is_not_there_has_no_file(
    house: House, client: httpx2.AsyncClient
) -> None:
    """Also one of a bucket that is not ours: the document does not decide what is sent."""
    house.objects.content.clear()

    answer = await client.get(AUDIO)

    assert (answer.status_code, answer.json()["code"]) == (404, "no_file")


async def test_a_recording_that_goes_on_has_no_object_yet(
    house: House, client: httpx2.AsyncClient
) -> None:
    """It is there when its job is over."""
    await house.has(id="rec_2", egress_id="EG_2", state=State.ACTIVE, filepath=ADDRESS + "2")

    answer = await client.get("/recordings/rec_2/audio")

    assert answer.json()["code"] == "no_file_yet"


async def test_a_bucket_that_does_not_answer_is_said_so(
    house: House, client: httpx2.AsyncClient
) -> None:
    """Later it may."""
    house.objects.away = True

    answer = await client.get(AUDIO)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
    assert answer.json()["retryable"] is True


async def test_a_part_is_within_what_there_is() -> None:
    """Whatever is asked for, so that its bytes can be told before one is read."""
    for first in ("", "0", "4", "5", "6"):
        for last in ("", "0", "4", "5", "6"):
            part = part_of(5, f"bytes={first}-{last}")
            assert part is None or len(part) == 0 or (0 <= part.start < part.stop <= 5)

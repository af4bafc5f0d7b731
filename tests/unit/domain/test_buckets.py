"""Where objects are, as LiveKit says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.buckets import Bucket

OWN = Bucket("calls", endpoint="http://127.0.0.1:7070")
AMAZONS = Bucket("calls", region="eu-west-1")

#: What names of files can have in them.
PARTS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("bucket", "address"),
    [
        (OWN, "http://127.0.0.1:7070/calls/room/rec_1.mp4"),
        (AMAZONS, "https://s3.amazonaws.com/calls/room/rec_1.mp4"),
    ],
)
def test_an_address_has_the_bucket_in_its_path(bucket: Bucket, address: str) -> None:
    """That is how we ask for it."""
    assert bucket.address("room/rec_1.mp4") == address
    assert bucket.key(address) == "room/rec_1.mp4"


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://127.0.0.1:7070", "https://127.0.0.1:7070/calls/a%20room/rec+1%25.mp4"),
        ("http://127.0.0.1:7070", "http://127.0.0.1:7070/calls/a room/rec+1%25.mp4"),
        ("http://MinIO:9000", "https://minio:9000/calls/a%20room/rec%2B1%25.mp4"),
        ("https://s3.example.com", "https://calls.s3.example.com/a%20room/rec+1%25.mp4"),
        ("", "https://s3.amazonaws.com/calls/a%20room/rec+1%25.mp4"),
    ],
)
def test_livekit_says_an_address_of_its_own_making(endpoint: str, address: str) -> None:
    """It is https whatever the endpoint is, and encoded by newer versions."""
    bucket = Bucket("calls", endpoint=endpoint)

    assert bucket.key(address) == "a room/rec+1%.mp4"
    assert bucket.key(bucket.address("a room/rec+1%.mp4")) == "a room/rec+1%.mp4"


def test_a_job_of_somebody_else_may_have_the_bucket_in_the_host() -> None:
    """It is the same object."""
    assert AMAZONS.key("https://calls.s3.amazonaws.com/room/rec_1.mp4") == "room/rec_1.mp4"


@given(st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1))
def test_a_key_comes_back_from_its_address(parts: list[str]) -> None:
    """Whatever is in it."""
    key = "/".join(parts)

    assert OWN.key(OWN.address(key)) == key


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/recordings/room/rec_1.mp4",
        "room/rec_1.mp4",
        "http://127.0.0.1:7070/calls",
        "http://127.0.0.1:7070/calls/",
        "http://127.0.0.1:7070/callsandmore/rec_1.mp4",
        "http://127.0.0.1:7070/other/rec_1.mp4",
        "http://127.0.0.1:70701/calls/rec_1.mp4",
        "ftp://127.0.0.1:7070/calls/rec_1.mp4",
        "http://127.0.0.1:7070/calls/%2E%2E/other/rec_1.mp4",
        "http://127.0.0.1:7070/calls/room%2F%2Frec_1.mp4",
        "https://calls.s3.amazonaws.com/rec_1.mp4",
        "http://127.0.0.1:7070/calls/../other/rec_1.mp4",
        "http://127.0.0.1:7070/calls//rec_1.mp4",
        "http://127.0.0.1:7070/calls/./rec_1.mp4",
    ],
)
def test_what_is_not_of_the_bucket_has_no_key(address: str) -> None:
    """Neither another bucket's, nor a way out of this one."""
    assert OWN.key(address) is None


def test_the_secret_is_not_shown() -> None:
    """Where a bucket is logged."""
    assert "hush" not in repr(Bucket("calls", secret="hush"))

"""Whoever asks for audio over HTTP is noted before the first byte is sent."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
import pytest

from egress_manager.domain.downloads import Download
from egress_manager.domain.recordings import TrackFile
from egress_manager.errors import StoreUnavailable
from tests.unit.api.house import House

AUDIO = "/recordings/rec_1/audio"
TRACK = "/recordings/rec_1/tracks/TR_1/audio"


@dataclass
class Book:
    """Takes down who listens, unless the store is away."""

    told: list[Download] = field(default_factory=list)
    is_away: bool = False

    async def note(self, download: Download) -> None:
        """As the flow does."""
        if self.is_away:
            raise StoreUnavailable("no MongoDB")
        self.told.append(download)


def put(path: Path) -> Path:
    """A file of ten bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture
async def book(house: House) -> Book:
    """A recording with a mix and a track, and somebody who notes."""
    mix, track = (put(house.directory / name) for name in ("a.mp4", "a.ogg"))
    tracks = (TrackFile("TR_1", "sip_1", "SIP", "left", str(track)),)
    await house.has(filepath=str(mix), tracks=tracks)
    book = Book()
    services = house.app.state.services
    house.app.state.services = replace(services, note_download=book.note)
    return book


async def test_the_mix_and_a_track_are_noted(
    house: House, client: httpx2.AsyncClient, book: Book
) -> None:
    """With the file, the principal and the address; a part of it as well as all of it."""
    assert (await client.get(AUDIO)).status_code == 200
    assert (await client.get(TRACK, headers={"Range": "bytes=2-4"})).status_code == 206

    told = [(each.recording_id, each.role, Path(each.path).name) for each in book.told]
    assert told == [("rec_1", "mix", "a.mp4"), ("rec_1", "TR_1", "a.ogg")]
    assert {each.principal for each in book.told} == {"key"}
    assert all(each.address for each in book.told)


async def test_who_gets_nothing_is_not_noted(
    house: House, client: httpx2.AsyncClient, book: Book
) -> None:
    """A look at the headers, a track that there is not, a request without a key."""
    assert (await client.head(AUDIO)).status_code == 200
    assert (await client.get("/recordings/rec_1/tracks/TR_2/audio")).status_code == 404
    assert (await client.get(AUDIO, headers={"Authorization": "Bearer x"})).status_code == 401

    assert book.told == []


async def test_who_can_not_be_noted_gets_nothing(
    house: House, client: httpx2.AsyncClient, book: Book
) -> None:
    """It may be tried again."""
    book.is_away = True

    answer = await client.get(AUDIO)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert b"0123" not in answer.content

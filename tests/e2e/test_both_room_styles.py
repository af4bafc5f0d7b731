"""On the way from one fixed room to a room for each call, both are there at once."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from egress_manager.domain.captures import JOURNAL
from lab import sounds
from lab.phones import Agent, Phone
from lab.servers import API_KEY, API_SECRET, Mongod
from tests.e2e.houses import BETWEEN_CALLERS, House, heard, house
from tests.e2e.listening import sides
from tests.unit.migration.terminal import Terminal

FIXED = "friday-assistant-room"
OWN = "call-_+15550501_vL8kPq2sTn4x"

#: What each caller says: no two sound alike.
SAYS = {
    "+15550500": sounds.chirp(2),
    "+15550501": sounds.chirp(2, low=3400, high=400),
}


async def test_calls_in_the_fixed_room_and_in_rooms_of_their_own_are_recorded_at_once(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """Each in its room's folder, with its own caller and nobody else's; others not at all."""
    wanted = {
        "EGRESS_MANAGER_RECORD": "rooms",
        "EGRESS_MANAGER_RECORD_ROOMS": f"call-*,{FIXED}",
        "EGRESS_MANAGER_STANDING_ROOMS": FIXED,
    }
    async with house(mongod_server, mongo_database, tmp_path, settings=wanted) as home:
        await _call_everywhere(home)
        fixed = await home.finished(caller_number="+15550500")
        own = await home.finished(caller_number="+15550501")
        (elsewhere,) = await home.manager.calls(caller_number="+15550502")

    assert (fixed["room_name"], own["room_name"]) == (FIXED, OWN)
    assert Path(fixed["filepath"]).parent == tmp_path / FIXED
    assert Path(own["filepath"]).parent == tmp_path / OWN
    for recording, number in ((fixed, "+15550500"), (own, "+15550501")):
        other = next(says for who, says in SAYS.items() if who != number)
        mix = heard(recording)
        assert sides(recording)["left"] == [f"sip_{number}"]
        assert sounds.locate(mix.left, SAYS[number]).score > 0.7
        assert max(sounds.locate(side, other).score for side in (mix.left, mix.right)) < 0.5
    assert (elsewhere["recording_id"], elsewhere["reason"]) == (None, "policy_room_differs")


async def _call_everywhere(home: House) -> None:
    """Three calls at the same time, of which the policy wants two."""
    async with contextlib.AsyncExitStack() as stack:
        phones = []
        for number, room in (("+15550500", FIXED), ("+15550501", OWN), ("+15550502", "desk")):
            agent = Agent(home.livekit, room, identity=f"agent-{room}")
            await stack.enter_async_context(agent)
            phones.append(Phone(home.livekit, room, number=number))
            await stack.enter_async_context(phones[-1])
            await phones[-1].answered()
        await home.hears(*(phone for phone in phones if phone.number in SAYS))
        for phone in phones:
            await phone.say(SAYS.get(phone.number, sounds.silence(1)))
            await phone.hang_up()


async def test_a_call_in_a_fixed_room_has_no_track_of_the_caller_before(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """The first call's capture is told again when it is settled, while the second one goes on."""
    async with (
        house(mongod_server, mongo_database, tmp_path, departure_timeout=BETWEEN_CALLERS) as home,
        Agent(home.livekit, FIXED, identity="agent"),
    ):
        async with Phone(home.livekit, FIXED, number="+15550500") as first:
            await first.answered()
            await home.capturing(first)
            await first.say(SAYS["+15550500"])
            await first.hang_up()
        await home.finished(first)
        async with asyncio.timeout(60):
            while not _has_any_ended(tmp_path):
                await asyncio.sleep(0.05)
        async with Phone(home.livekit, FIXED, number="+15550501") as second:
            await second.answered()
            await home.capturing(second)
            async with asyncio.timeout(60):
                while not _is_any_settled(tmp_path):
                    await second.say(sounds.silence(0.5))
            await second.hang_up()
        recording = await home.finished(second)
        calls = [await home.call_of(phone) for phone in (first, second)]

    expected = [{"agent", phone.identity} for phone in (first, second)]
    assert [
        {track["participant_identity"] for track in call["tracks"]} for call in calls
    ] == expected
    assert {track["participant_identity"] for track in recording["tracks"]} == expected[1]


def _has_any_ended(recordings: Path) -> bool:
    """Whether a capture has ended: until then the next caller would be in it."""
    journals = recordings.glob(f".captures/*/{JOURNAL}")
    return any('"is":"ended"' in journal.read_text() for journal in journals)


def _is_any_settled(recordings: Path) -> bool:
    return any(recordings.glob(".captures/*/settled"))


async def test_a_caller_whom_nobody_answers_leaves_a_reason_and_no_folder(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path
) -> None:
    """The recorder was there while it rang, and had begun a mix."""
    async with house(mongod_server, mongo_database, tmp_path) as home:
        async with Phone(home.livekit, OWN, number="+15550500") as phone:
            await home.capturing(phone)
            async with asyncio.timeout(30):
                while not (tmp_path / OWN).exists():
                    await asyncio.sleep(0.05)
            await phone.hang_up()
        recording = await home.manager.recording("aborted", caller_number=phone.number)
        async with asyncio.timeout(30):
            while (tmp_path / OWN).exists():
                await asyncio.sleep(0.05)

    assert (recording["reason"], recording["verdict"]) == ("not_answered", "none")


async def test_recordings_are_moved_while_the_service_records(
    mongod_server: Mongod, mongo_database: str, tmp_path: Path, by_hand: Terminal
) -> None:
    """From the flat names to folders and back; a call that goes on is not touched."""
    settings = {"EGRESS_MANAGER_NAMING": "flat"}
    async with house(mongod_server, mongo_database, tmp_path, settings=settings) as home:
        async with (
            Agent(home.livekit, FIXED, identity="agent"),
            Phone(home.livekit, FIXED, number="+15550500") as first,
            Phone(home.livekit, FIXED, number="+15550501") as second,
        ):
            await home.hears(first, second)
            await first.say(SAYS["+15550500"])
            await first.hang_up()
            before = await home.finished(first)
            told = await _migrated(by_hand, home, "files")
            moved = await home.finished(first)
            audio = await home.manager.ask(f"/recordings/{moved['id']}/audio")
            await second.say(SAYS["+15550501"])
            await second.hang_up()
        later = await home.finished(second)
        await _migrated(by_hand, home, "undo")
        back = await home.finished(first)

    assert (told["recordings"], told["stay"]) == (1, {"not_finished": 1})
    assert Path(before["filepath"]).parent == tmp_path
    assert Path(moved["filepath"]).parent == tmp_path / FIXED
    assert audio.content[4:8] == b"ftyp"
    assert sounds.locate(heard(later).left, SAYS["+15550501"]).score > 0.7
    assert Path(later["filepath"]).parent == tmp_path
    assert _without_seals(back) == _without_seals(before)
    assert sounds.locate(heard(back).left, SAYS["+15550500"]).score > 0.7


def _without_seals(recording: dict[str, Any]) -> dict[str, Any]:
    """What is said of a recording; it is sealed a moment after each change."""
    said = {name: value for name, value in recording.items() if name not in ("seal", "sha256")}
    return said | {"tracks": [track | {"sha256": ""} for track in recording["tracks"]]}


@pytest.fixture
def by_hand(
    mongod_server: Mongod,
    mongo_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    """Somebody at a terminal beside the service, with its settings."""
    settings = {
        "MONGO_URI": mongod_server.uri,
        "MONGO_DB": mongo_database,
        "RECORDINGS_DIR": str(tmp_path),
        "EGRESS_MANAGER_NAMING": "flat",
        "LIVEKIT_API_KEY": API_KEY,
        "LIVEKIT_API_SECRET": API_SECRET,
    }
    return Terminal(monkeypatch, capsys, settings)


async def _migrated(by_hand: Terminal, home: House, deed: str) -> dict[str, Any]:
    """What `egress-manager migrate … --yes` tells, while the phones go on."""
    command = ("migrate", deed, "--yes", "--json")
    url = home.livekit.url
    said = await asyncio.to_thread(by_hand.types, *command, LIVEKIT_URL=url)
    assert said.code == 0, said.error
    told: dict[str, Any] = json.loads(said.out)
    return told

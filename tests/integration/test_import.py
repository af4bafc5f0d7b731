"""`egress-manager import` on a real disk and a real MongoDB: real sound, under all its names."""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from egress_manager.adapters.mongo_client import Database, connect, database
from egress_manager.adapters.mongo_recordings import MongoRecordings
from egress_manager.adapters.mongo_schema import migrate
from egress_manager.domain.readings import Reader
from egress_manager.domain.recordings import Recording
from egress_manager.flows.importing import files as importing
from egress_manager.flows.importing.doors import Importers
from egress_manager.flows.importing.files import Deed, Outcome, Wish
from egress_manager.settings import load_settings
from egress_manager.wiring.beside import open_importers
from lab.manager import KEY, Manager
from lab.sound_files import CODECS, write
from lab.sounds import chirp, speech, tone
from tests.unit.migration.memory import recorded
from tests.unit.migration.mortal import Killed, Life, Mortal
from tests.unit.migration.terminal import Said, Terminal

ROOM = "friday-assistant-room"
TIME = "2025-10-17T06-15-13"
AT = datetime(2025, 10, 17, 6, 15, 13, tzinfo=UTC)
MIX = f"{ROOM}-sip_1001-{TIME}.mp4"
TRACK = f"{ROOM}-TR_CALLER-{TIME}.ogg"

Facts = dict[str, Any]


@dataclass
class House:
    """A recordings directory, an old one, a database, and the command line."""

    recordings: Path
    old: Path
    settings: dict[str, str]
    terminal: Terminal

    def types(self, *arguments: str) -> Said:
        """`egress-manager import …`."""
        return self.terminal.types("import", *arguments)

    def tells(self, *arguments: str, code: int = 0) -> list[Facts]:
        """What came of each file, for scripts."""
        said = self.types(*arguments, "--json")
        assert said.code == code, said.error
        files: list[Facts] = json.loads(said.out)["files"]
        return files

    def documents(self) -> dict[str, Recording]:
        """Every document, by its id."""
        return asyncio.run(self._documents())

    async def _documents(self) -> dict[str, Recording]:
        client = connect(self.settings["MONGO_URI"])
        db = database(client, self.settings["MONGO_DB"])
        store = MongoRecordings(db)
        ids = [document["_id"] async for document in db["recordings"].find({}, {"_id": 1})]
        every = {each: await store.get(each) for each in ids}
        await client.close()
        return every

    def add(self, recording: Recording) -> None:
        """Store a recording that was not imported."""
        asyncio.run(self._add(recording))

    async def _add(self, recording: Recording) -> None:
        client = connect(self.settings["MONGO_URI"])
        db = database(client, self.settings["MONGO_DB"])
        await migrate(db)
        await MongoRecordings(db).add(recording)
        await client.close()

    def files(self) -> set[str]:
        """Everything in the recordings directory."""
        found = (path for path in self.recordings.rglob("*") if path.is_file())
        return {str(path.relative_to(self.recordings)) for path in found}


@pytest.fixture
def house(
    mongo_uri: str,
    mongo_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[House]:
    """Empty."""
    monkeypatch.chdir(tmp_path)
    recordings, old = tmp_path / "recordings", tmp_path / "old"
    settings = {
        "LIVEKIT_URL": "http://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret",
        "MONGO_URI": mongo_uri,
        "MONGO_DB": mongo_database,
        "RECORDINGS_DIR": str(recordings),
    }
    recordings.mkdir()
    old.mkdir()
    yield House(recordings, old, settings, Terminal(monkeypatch, capsys, settings))
    asyncio.run(_drop(mongo_uri, mongo_database))


async def _drop(uri: str, name: str) -> None:
    client = connect(uri)
    await client.drop_database(name)
    await client.close()


def mix(folder: Path, name: str = MIX, pitch: float = 500.0) -> Path:
    """A mix of a second; another pitch is another file."""
    return write(folder / name, tone(1.0, pitch), speech(1.0))


def track(folder: Path, name: str = TRACK, pitch: float = 500.0) -> Path:
    """One side of it."""
    return write(folder / name, tone(1.0, pitch))


class TestCopies:
    """Files that lie elsewhere."""

    def test_the_first_names_become_recordings(self, house: House) -> None:
        """A mix and its tracks, as the first design named them, get the names of today."""
        source = mix(house.old)
        track(house.old)
        track(house.old, f"{ROOM}-TR_AGENT-2025-10-17T06-15-14.ogg", 700.0)

        told = house.tells("--yes", str(house.old))

        assert [each["outcome"] for each in told] == ["imported", "track", "track"]
        ((name, recording),) = house.documents().items()
        stem = f"{ROOM}/sip_1001-{TIME}-{name}"
        assert house.files() == {
            f"{stem}.mp4",
            f"{stem}.tracks/TR_CALLER.ogg",
            f"{stem}.tracks/TR_AGENT.ogg",
        }
        assert recording.filepath == str(house.recordings / f"{stem}.mp4")
        assert (recording.room_name, recording.identity) == (ROOM, "sip_1001")
        assert (recording.caller_number, recording.started_at) == ("1001", AT)
        assert recording.duration_sec == pytest.approx(1.0, abs=0.05)
        assert {each.track_sid for each in recording.tracks} == {"TR_CALLER", "TR_AGENT"}
        assert (house.recordings / f"{stem}.mp4").read_bytes() == source.read_bytes()

    def test_a_dry_run_changes_nothing(self, house: House) -> None:
        """And says all that would be."""
        mix(house.old)
        track(house.old)

        said = house.types(str(house.old))

        assert said.code == 0
        assert "1 recordings and 1 tracks would be imported; 0 files were left alone" in said.out
        assert f"room {ROOM}, sip_1001, 2025-10-17 06:15:13 UTC (time from its name)" in said.out
        assert said.out.endswith("Nothing was changed. Do it with --yes.\n")
        assert (house.documents(), house.files()) == ({}, set())

    def test_the_same_sound_is_one_recording(self, house: House) -> None:
        """Under two names, and however often it is imported."""
        again = house.old / "again.mp4"
        again.write_bytes(mix(house.old).read_bytes())

        dry = house.tells(str(house.old))
        first = house.tells("--yes", str(house.old))
        second = house.tells("--yes", str(house.old))

        assert [each["outcome"] for each in dry] == ["imported", "known"]
        assert [each["outcome"] for each in first] == ["imported", "known"]
        assert [each["outcome"] for each in second] == ["known", "known"]
        assert len({each["recording_id"] for each in (*dry, *first, *second)}) == 1
        assert len(house.files()) == len(house.documents()) == 1

    def test_a_copy_is_a_copy(self, house: House) -> None:
        """Whoever writes to the old file does not write to the recording."""
        source = mix(house.old)
        content = source.read_bytes()
        (told,) = house.tells("--yes", str(source))

        source.write_bytes(b"")

        assert Path(told["filepath"]).read_bytes() == content

    def test_nothing_is_written_over(self, house: House) -> None:
        """Where somebody has the name already, the file waits."""
        source = mix(house.old)
        (dry,) = house.tells(str(source))
        taken = Path(dry["filepath"])
        taken.parent.mkdir(parents=True)
        taken.write_text("somebody's")

        (told,) = house.tells("--yes", str(source), code=1)

        assert told["outcome"] == "failed"
        assert "is there already" in told["why"]
        assert taken.read_text() == "somebody's"
        assert house.documents() == {}

    @pytest.mark.parametrize("ending", sorted(CODECS))
    def test_every_kind_of_file_keeps_its_kind(self, house: House, ending: str) -> None:
        """It is not made anew."""
        source = write(house.old / f"{ROOM}-sip_1-{TIME}{ending}", chirp(0.5))

        (told,) = house.tells("--yes", str(house.old))

        assert told["filepath"].endswith(ending)
        assert Path(told["filepath"]).read_bytes() == source.read_bytes()
        assert told["codec"] == CODECS[ending].removeprefix("lib").removesuffix("lame")

    def test_a_name_that_is_no_text_gets_one(self, house: House) -> None:
        """Names of files are bytes; documents hold text."""
        mix(house.recordings).rename(house.recordings / os.fsdecode(b"\xff.mp4"))

        (told,) = house.tells("--yes", str(house.recordings))

        assert told["outcome"] == "imported"
        assert Path(told["filepath"]).is_file()
        assert len(house.documents()) == 1


class TestPlaces:
    """Where a file lies, and stays or goes."""

    def test_what_lies_among_the_recordings_stays_there(self, house: House) -> None:
        """Mix and tracks."""
        mix(house.recordings)
        track(house.recordings)

        house.tells("--yes", str(house.recordings))

        (recording,) = house.documents().values()
        assert house.files() == {MIX, TRACK}
        assert recording.filepath == str(house.recordings / MIX)
        assert [each.filepath for each in recording.tracks] == [str(house.recordings / TRACK)]
        assert recording.file_stem == MIX.removesuffix(".mp4")

    def test_moved_files_are_there_and_not_here(self, house: House) -> None:
        """Also those that lay among the recordings."""
        sources = [mix(house.old), mix(house.recordings, pitch=900.0), track(house.old)]

        told = house.tells("--yes", "--move", str(house.old), str(house.recordings))

        assert [each["outcome"] for each in told] == ["imported", "imported", "imported"]
        assert not any(source.exists() for source in sources)
        assert {each["filepath"] for each in told} == {
            str(house.recordings / name) for name in house.files()
        }

    def test_a_file_that_is_to_stay_where_nothing_is_played_from_is_refused(
        self, house: House
    ) -> None:
        """The service hands out nothing from elsewhere."""
        mix(house.old)

        (told,) = house.tells("--yes", "--in-place", str(house.old), code=1)

        assert told["why"] == "nothing can be played from where it lies: copy it, or move it"
        assert house.documents() == {}

    def test_hidden_files_and_links_in_folders_are_passed_over(self, house: House) -> None:
        """Captures and databases lie in hidden folders."""
        mix(house.recordings / ".captures" / "cap_1", "stretch.mp4")
        mix(house.old).rename(house.old / ".hidden.mp4")
        (house.recordings / "link.mp4").symlink_to(house.old / ".hidden.mp4")
        (house.recordings / "letter.txt").write_text("Dear all")

        said = house.types(str(house.recordings))

        assert (said.code, said.error) == (1, "egress-manager: there are no sound files\n")

    def test_a_folder_may_be_called_by_another_name(self, house: House, tmp_path: Path) -> None:
        """Its path in documents is the settings' one."""
        mix(house.recordings / ROOM, f"sip_1001-{TIME}.mp4")
        link = tmp_path / "link"
        link.symlink_to(house.recordings)

        (told,) = house.tells("--yes", str(link / ROOM))

        assert told["filepath"] == str(house.recordings / ROOM / f"sip_1001-{TIME}.mp4")
        assert told["room_name"] == ROOM


class TestWhoseFileItIs:
    """What is known of files already, and what their manifests say."""

    def test_files_of_recordings_are_left_alone(self, house: House) -> None:
        """By their paths; mixes and tracks."""
        base = str(house.recordings)
        recording = recorded(1, base=base)
        house.add(recording)
        for path in (recording.filepath, *(each.filepath for each in recording.tracks)):
            write(Path(str(path)), chirp(0.5))

        told = house.tells("--yes", base)

        assert [each["outcome"] for each in told] == ["known"] * 3
        assert {each["recording_id"] for each in told} == {recording.id}
        assert house.documents() == {recording.id: recording}

    def test_a_copy_of_a_recordings_file_is_known_by_its_name_and_content(
        self, house: House
    ) -> None:
        """Its document has no hash; its name has its id."""
        stem = f"{ROOM}/sip_1-{TIME}-rec_{1:020x}"
        path = house.recordings / f"{stem}.mp4"
        house.add(recorded(1, filepath=str(path), tracks=()))
        content = mix(path.parent, path.name).read_bytes()
        (house.old / path.name).write_bytes(content)
        mix(house.old, f"other-{path.name}", 900.0)

        told = house.tells("--yes", str(house.old))

        assert [each["outcome"] for each in told] == ["imported", "known"]
        assert told[1]["recording_id"] == f"rec_{1:020x}"

    def test_a_manifest_of_livekit_egress_tells_more_than_a_name(self, house: House) -> None:
        """The room, the job, and when it began."""
        mix(house.old, "a.mp4")
        began = int(AT.timestamp() * 10**9) + 500_000_000
        manifest = {
            "egress_id": "EG_1",
            "room_name": "auto",
            "started_at": began,
            "files": [{"filename": "a.mp4", "location": "/out/a.mp4"}],
        }
        (house.old / "EG_1.json").write_text(json.dumps(manifest))
        (house.old / "EG_2.json").write_text("no manifest")

        (told,) = house.tells("--yes", str(house.old / "a.mp4"))

        (recording,) = house.documents().values()
        assert (told["time_from"], told["egress_id"]) == ("manifest", "EG_1")
        assert (recording.room_name, recording.engine) == ("auto", "egress")
        assert recording.egress_id == "EG_1"
        assert recording.started_at == AT + timedelta(milliseconds=500)

    def test_a_job_that_has_its_recording_gets_no_second_one(self, house: House) -> None:
        """LiveKit may have told of it before."""
        house.add(recorded(1))
        mix(house.old, "a.mp4")
        manifest = {"egress_id": "EG_1", "files": [{"filename": "a.mp4"}]}
        (house.old / "EG_1.json").write_text(json.dumps(manifest))

        (told,) = house.tells("--yes", str(house.old))

        assert told["outcome"] == "known"
        assert told["why"] == "EG_1 is a job of this recording"

    def test_what_nobody_knows_stays_empty(self, house: House) -> None:
        """The time is when the file was last written to, and the document says so."""
        source = mix(house.old, "holiday.mp4")
        os.utime(source, (AT.timestamp(), AT.timestamp()))

        said = house.types("--yes", str(source))

        (recording,) = house.documents().values()
        length = timedelta(seconds=recording.duration_sec or 0)
        assert "1 names do not tell the room for sure" in said.out
        assert (recording.room_name, recording.identity) == ("", "")
        assert recording.started_at is not None
        assert abs(recording.started_at + length - AT) < timedelta(milliseconds=2)
        assert "time from when the file was last written to" in recording.history[0].reason

    def test_a_track_alone_is_a_recording_of_its_own(self, house: House) -> None:
        """It can be found and played, and says which track it is."""
        track(house.old)

        (told,) = house.tells("--yes", str(house.old))

        (recording,) = house.documents().values()
        assert told["outcome"] == "imported"
        assert recording.room_name == ROOM
        assert [each.track_sid for each in recording.tracks] == ["TR_CALLER"]
        assert recording.filepath == recording.tracks[0].filepath

    def test_a_track_may_come_later_than_its_mix(self, house: House) -> None:
        """It finds it in the store; imported again, it is known."""
        house.tells("--yes", str(mix(house.old)))
        source = str(track(house.old))

        first, second = (house.tells("--yes", source)[0]["outcome"] for _ in range(2))

        assert (first, second) == ("track", "known")


class TestTrouble:
    """What can't be imported, and why."""

    def test_one_bad_file_does_not_hold_up_the_others(self, house: House) -> None:
        """Each has its sentence; the end is 1."""
        mix(house.old)
        (house.old / "empty.ogg").touch()
        (house.old / "letter.mp3").write_text("Dear all")
        missing = str(house.old / "missing.wav")

        said = house.types("--yes", str(house.old), missing)

        assert said.code == 1
        assert "NOT IMPORTED: it is empty" in said.out
        assert "NOT IMPORTED: it is no sound file, or one of an unknown kind" in said.out
        assert f"{missing}\n  NOT IMPORTED: it can't be read: No such file" in said.out
        assert "1 recordings and 0 tracks were imported" in said.out
        assert "3 could not be imported." in said.out
        assert len(house.documents()) == 1

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--naming", "{room}"], "--naming can't be used: {room} is no field"),
            (["--timezone", "Mars/Base"], "--timezone: Mars/Base is not known here"),
            (["--copy", "--move"], "--copy, --move and --in-place exclude each other"),
        ],
    )
    def test_what_can_not_be_meant(self, house: House, arguments: list[str], sentence: str) -> None:
        """Before anything is read."""
        said = house.types(*arguments, str(house.old))

        assert said.code == 1
        assert said.error.startswith(f"egress-manager: {sentence}")

    def test_how_files_are_named_can_be_told(self, house: House) -> None:
        """And what time their host had."""
        mix(house.old, f"{ROOM}-{TIME}.mp4")
        naming = ["--naming", "{room_name}-{time}", "--timezone", "Europe/Berlin"]

        (told,) = house.tells(*naming, str(house.old))

        assert told["room_name"] == ROOM
        assert told["started_at"] == (AT - timedelta(hours=2)).isoformat()


class TestInterruptions:
    """Runs that end early, and files that change meanwhile."""

    def test_a_run_that_dies_anywhere_is_finished_by_the_next(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing twice, nothing lost, nothing left over."""
        mix(house.old)
        track(house.old)
        for name, value in house.settings.items():
            monkeypatch.setenv(name, value)
        steps = 0
        while not asyncio.run(_lives(house, steps)):
            steps += 3

        ((name, recording),) = house.documents().items()
        stem = f"{ROOM}/sip_1001-{TIME}-{name}"
        assert steps > 10
        assert house.files() == {f"{stem}.mp4", f"{stem}.tracks/TR_CALLER.ogg"}
        assert [each.track_sid for each in recording.tracks] == ["TR_CALLER"]

    async def test_a_file_that_somebody_writes_to_waits(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was heard of it would not be what is kept."""
        source = mix(house.old)

        def more() -> None:
            with source.open("ab") as file:
                file.write(b"more")

        for name, value in house.settings.items():
            monkeypatch.setenv(name, value)
        async with open_importers(load_settings()) as doors:
            listening = Mortal(doors.sounds, Life(100, at_each_step=more))
            (told,) = await _run(house, replace(doors, sounds=listening))

        assert told.deed is Deed.FAILED
        assert told.why == "somebody is writing to it: import it when it is finished"


async def _lives(house: House, steps: int) -> bool:
    """Whether a run of so many steps comes to its end: a step is going through a door."""
    life = Life(steps)
    async with open_importers(load_settings()) as doors:
        mortal = replace(
            doors,
            recordings=Mortal(doors.recordings, life),
            depot=Mortal(doors.depot, life),
            owners=Mortal(doors.owners, life),
        )
        try:
            await _run(house, mortal)
        except Killed:
            return False
    return True


async def _run(house: House, doors: Importers) -> list[Outcome]:
    strays = await importing.find([str(house.old)], doors)
    wish = Wish(Reader(), is_meant=True)
    return [outcome async for outcome in importing.import_files(strays, wish, doors)]


@pytest.mark.parametrize(
    "where",
    [
        {"$or": [{"filepath": "a"}, {"tracks.filepath": "a"}]},
        {"sha256": "0" * 64},
    ],
)
async def test_whose_file_it_is_takes_no_search(db: Database, where: Facts) -> None:
    """There are indexes for it: an archive is asked about file by file."""
    plan = await db.command("explain", {"find": "recordings", "filter": where})

    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])


async def test_imported_files_are_found_and_played(
    house: House, mongo_uri: str, mongo_database: str
) -> None:
    """Beside a service that runs; a browser is told what it gets."""
    content = write(house.old / f"{ROOM}-sip_+15550100-{TIME}.flac", chirp(0.5)).read_bytes()
    service = Manager(
        livekit_url="http://127.0.0.1:9",
        mongo_uri=mongo_uri,
        mongo_db=mongo_database,
        recordings=house.recordings,
    )
    async with service as manager:
        said = await asyncio.to_thread(house.types, "--yes", str(house.old))
        (found,) = await manager.recordings_of(caller_number="+15550100")
        audio = await manager.ask(f"/recordings/{found['id']}/audio")

    assert said.code == 0, said.error
    assert (found["status"], found["source"], found["engine"]) == ("completed", "import", "import")
    assert found["started_at"] == AT.isoformat().replace("+00:00", "Z")
    assert (audio.content, audio.headers["content-type"]) == (content, "audio/flac")
    assert KEY not in said.out

"""The probes of `egress-manager check`: how real servers fail, told exactly."""

import gc
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from livekit import api

from egress_manager.adapters.livekit_probe import LiveKitProbe
from egress_manager.adapters.livekit_webhooks import read_body
from egress_manager.adapters.local_probe import LocalProbe
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_inbox import MongoInbox
from egress_manager.adapters.mongo_probe import MongoProbe
from egress_manager.adapters.redis_probe import RedisProbe
from egress_manager.domain.incoming import Unrecognised, Webhook
from egress_manager.domain.troubles import CheckFailed, Trouble
from lab.mongo_wire import admin_command
from lab.ports import LOOPBACK
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod, Redis

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
#: The user without rights, on every Linux.
NOBODY = 65_534


class Standalone(Mongod):
    """A mongod that is no replica set, with options of a test's own."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    @property
    def uri(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/"

    def command(self) -> list[str]:
        usual, place = super().command(), super().command().index("--replSet")
        return [*usual[:place], *usual[place + 2 :], *self._options]

    async def answers(self) -> bool:
        try:
            return bool(
                (await admin_command(self.port, {"hello": 1}, 2.0)).get("isWritablePrimary")
            )
        except (OSError, TimeoutError):
            return False


def probe(url: str, key: str = API_KEY, secret: str = API_SECRET) -> "aclosing[LiveKitProbe]":
    """A probe of livekit-server, to be closed."""
    return aclosing(LiveKitProbe(url, key, secret))


class TestLiveKit:
    """`LiveKitProbe`."""

    async def test_it_answers_and_tells_its_time(self, livekit_server: LiveKit) -> None:
        """Without a key, and in whole seconds."""
        async with probe(livekit_server.http_url) as livekit:
            knock = await livekit.knock()

        assert knock.server_at is not None
        assert abs((knock.server_at - knock.asked_at).total_seconds()) < 60

    async def test_rooms_are_opened_and_closed(
        self, livekit_server: LiveKit, room_name: str
    ) -> None:
        """Closing one that is closed does no harm."""
        async with probe(livekit_server.http_url) as livekit:
            await livekit.open_room(room_name, empty_for=30)
            open_rooms = await livekit.rooms()
            await livekit.close_room(room_name)
            await livekit.close_room(room_name)

        assert open_rooms >= 1

    @pytest.mark.parametrize(
        ("url", "trouble"),
        [
            ("http://127.0.0.1:9", Trouble.LIVEKIT_REFUSES_CONNECTIONS),
            ("http://127.0.0.1:{mongod}", Trouble.LIVEKIT_IS_SOMETHING_ELSE),
            ("https://127.0.0.1:{livekit}", Trouble.LIVEKIT_TLS),
            ("http://127.0.0.1:{mute}", Trouble.LIVEKIT_SILENT),
        ],
    )
    async def test_what_is_in_the_way_is_told(
        self, livekit_server: LiveKit, mongod_server: Mongod, url: str, trouble: Trouble
    ) -> None:
        """With the address that was tried."""
        with socket.create_server((LOOPBACK, 0)) as mute:
            ports = {
                "livekit": livekit_server.port,
                "mongod": mongod_server.port,
                "mute": mute.getsockname()[1],
            }
            async with probe(url.format(**ports)) as livekit:
                with pytest.raises(CheckFailed) as failed:
                    await livekit.knock()

        assert failed.value.trouble is trouble
        assert "127.0.0.1" in str(failed.value) + failed.value.remedy

    @pytest.mark.parametrize(
        ("key", "secret", "trouble", "setting"),
        [
            ("nobodys", API_SECRET, Trouble.KEY_UNKNOWN, "LIVEKIT_API_KEY"),
            (API_KEY, "x" * 32, Trouble.SECRET_WRONG, "LIVEKIT_API_SECRET"),
        ],
    )
    async def test_a_wrong_key_names_the_setting(
        self, livekit_server: LiveKit, key: str, secret: str, trouble: Trouble, setting: str
    ) -> None:
        """And repeats no secret."""
        async with probe(livekit_server.http_url, key, secret) as livekit:
            with pytest.raises(CheckFailed) as failed:
                await livekit.rooms()

        assert failed.value.trouble is trouble
        assert setting in failed.value.remedy
        assert key in str(failed.value)
        assert secret not in str(failed.value)

    async def test_without_redis_there_is_neither_sip_nor_egress(
        self, livekit_server: LiveKit, room_name: str
    ) -> None:
        """The first is as it should be; the second is a trouble of who wants an egress."""
        async with probe(livekit_server.http_url) as livekit:
            rooms = await livekit.direct_rooms()
            await livekit.open_room(room_name, empty_for=30)
            with pytest.raises(CheckFailed) as failed:
                await livekit.start_egress(room_name)

        assert rooms is None
        assert failed.value.trouble is Trouble.EGRESS_WITHOUT_REDIS

    async def test_dispatch_rules_name_fixed_rooms(self) -> None:
        """Those of the direct kind do."""
        rule = api.SIPDispatchRule(
            dispatch_rule_direct=api.SIPDispatchRuleDirect(room_name="reception")
        )
        async with (
            Redis() as redis,
            LiveKit(redis=redis) as server,
            api.LiveKitAPI(server.http_url, API_KEY, API_SECRET) as asked,
            probe(server.http_url) as livekit,
        ):
            await asked.sip.create_dispatch_rule(api.CreateSIPDispatchRuleRequest(rule=rule))

            assert await livekit.direct_rooms() == ["reception"]

    async def test_an_egress_that_is_not_there_takes_no_job(self, room_name: str) -> None:
        """livekit-server tries three times before it says so."""
        async with (
            Redis() as redis,
            LiveKit(redis=redis) as server,
            probe(server.http_url) as livekit,
        ):
            await livekit.open_room(room_name, empty_for=120)
            with pytest.raises(CheckFailed) as failed:
                await livekit.start_egress(room_name)

        assert failed.value.trouble is Trouble.EGRESS_ABSENT


class TestRedis:
    """`RedisProbe`."""

    async def test_it_tells_its_version(self, redis_server: Redis) -> None:
        """Which is some number."""
        assert (await RedisProbe(redis_server.url).ping())[0].isdigit()

    async def test_one_that_is_away(self) -> None:
        """The place is told, the password is not."""
        with pytest.raises(CheckFailed) as failed:
            await RedisProbe("redis://me:hunter2@127.0.0.1:9/0").ping()

        assert failed.value.trouble is Trouble.REDIS_AWAY
        assert "127.0.0.1:9" in str(failed.value)
        assert "hunter2" not in str(failed.value)

    async def test_one_that_wants_another_password(self, redis_server: Redis) -> None:
        """Its own words say what is wrong."""
        with pytest.raises(CheckFailed) as failed:
            await RedisProbe(f"redis://nobody:hunter2@{redis_server.address}/0").ping()

        assert failed.value.trouble is Trouble.REDIS_REFUSED
        assert "hunter2" not in str(failed.value)


# PyMongo, closed while its monitor is connecting, leaves that socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestMongo:
    """`MongoProbe`."""

    @pytest.fixture(autouse=True)
    def nothing_left(self) -> Iterator[None]:
        """The garbage is taken out where it was made."""
        yield
        gc.collect()

    async def test_it_is_written_to_and_left_as_it_was(
        self, mongo_uri: str, mongo_database: str, tmp_path: Path
    ) -> None:
        """By a majority of a replica set."""
        async with aclosing(MongoProbe(mongo_uri, tmp_path, mongo_database)) as store:
            found = await store.write()

        assert found.version.startswith("6.")
        assert found.replica_set == Mongod.replica_set
        assert not found.is_ours

    async def test_one_of_our_own_is_started_for_it(self, tmp_path: Path) -> None:
        """And ended again, unless a service owns it."""
        async with aclosing(MongoProbe("", tmp_path / ".mongodb", "calls")) as store:
            found = await store.write()

        assert found.is_ours
        assert found.replica_set

    @pytest.mark.parametrize(
        ("options", "trouble"),
        [
            (["--nojournal"], Trouble.MONGO_WITHOUT_JOURNAL),
            (["--auth"], Trouble.MONGO_REFUSED),
        ],
    )
    async def test_what_it_does_not_do_is_told(
        self, tmp_path: Path, options: list[str], trouble: Trouble
    ) -> None:
        """A mongod without a journal, and one that wants a password."""
        async with (
            Standalone(*options) as mongod,
            aclosing(MongoProbe(mongod.uri, tmp_path, "calls")) as store,
        ):
            with pytest.raises(CheckFailed) as failed:
                await store.write()

        assert failed.value.trouble is trouble

    async def test_one_that_is_away(self, tmp_path: Path) -> None:
        """Neither the address nor the password is repeated."""
        uri = "mongodb://me:hunter2@127.0.0.1:9/"
        async with aclosing(MongoProbe(uri, tmp_path, "calls")) as store:
            with pytest.raises(CheckFailed) as written:
                await store.write()

        assert written.value.trouble is Trouble.MONGO_AWAY
        assert "hunter2" not in str(written.value)

    async def test_webhooks_are_found_by_their_room(
        self, db: Database, mongo_uri: str, mongo_database: str, tmp_path: Path
    ) -> None:
        """Worked on or not, whatever else lies in the inbox."""
        inbox = MongoInbox(db, read_body)
        for number, room in enumerate(("palombia", "guiana")):
            body = json.dumps(
                {"event": "room_started", "room": {"name": room}, "id": f"EV_{number}"}
            )
            await inbox.keep(read_body(body.encode(), NOON), NOON)
        await inbox.keep(Webhook("EV_9", "room_started", Unrecognised(NOON, ""), b"[]"), NOON)
        await inbox.done("EV_1", NOON, {})

        async with aclosing(MongoProbe(mongo_uri, tmp_path, mongo_database)) as store:
            assert await store.heard_of("room_started", "palombia", NOON)
            assert await store.heard_of("room_started", "guiana", NOON)
            assert not await store.heard_of("room_finished", "palombia", NOON)
            assert not await store.heard_of("room_started", "houba", NOON)
            later = NOON + timedelta(seconds=1)
            assert not await store.heard_of("room_started", "palombia", later)


class TestDirectory:
    """`LocalProbe`."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A directory below one that everybody may enter."""
        above = Path(tempfile.mkdtemp(prefix="probes-"))
        above.chmod(0o755)
        yield above / "recordings"
        shutil.rmtree(above)

    def test_it_is_made_and_left_empty(self, folder: Path) -> None:
        """Who wrote and what room there is, is told."""
        found = LocalProbe(folder).write()

        assert (found.path, found.uid) == (str(folder), os.geteuid())
        assert 0 < found.free <= found.total
        assert not list(folder.iterdir())

    @pytest.mark.parametrize("name", ["", ".captures"])
    def test_one_that_belongs_to_somebody_else(self, folder: Path, name: str) -> None:
        """Owner, mode and who we are stand in the sentence; the remedy is a command."""
        folder.mkdir()
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755 if os.geteuid() == 0 else 0o555)
        if name and os.geteuid() == 0:
            os.chown(folder, NOBODY, -1)

        with as_nobody(), pytest.raises(CheckFailed) as failed:
            LocalProbe(folder).write()

        assert failed.value.trouble is Trouble.FOLDER_DENIED
        assert str(folder / name) in str(failed.value)
        assert failed.value.remedy.startswith("chown -R ")

    def test_a_file_in_the_way(self, folder: Path) -> None:
        """Of the directory, or of one above it."""
        folder.write_text("not a directory")

        for place in (folder, folder / "deeper"):
            with pytest.raises(CheckFailed) as failed:
                LocalProbe(place).write()
            assert failed.value.trouble is Trouble.FOLDER_IS_A_FILE


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without rights, where we have all."""
    ours = os.geteuid()
    if ours == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(ours)

"""Settings: what is written is meant, and what is wrong is said."""

from pathlib import Path

import pytest

from egress_manager.domain.policy import Scope
from egress_manager.errors import SettingsWrong
from egress_manager.settings import Settings, load_settings, words

ROOT = Path(__file__).parents[2]
THREE = {
    "LIVEKIT_URL": "ws://localhost:7880",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": "hush-hush-hush-hush-hush-hush-hush-hush",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, and a current directory without `.env`."""
    for setting in words.described():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.chdir(tmp_path)


def settings(**given: str) -> Settings:
    """The three that are needed, and these."""
    return load_settings(None, **(THREE | given))


def complaints(**given: str) -> list[str]:
    """What is said about them, a line each."""
    with pytest.raises(SettingsWrong) as wrong:
        load_settings(None, **given)
    return str(wrong.value).split("\n")


class TestValues:
    """What is read."""

    def test_three_are_enough(self) -> None:
        """Everything else has a default."""
        read = settings()

        assert read.mongo_uri == ""
        assert read.mongo_db == "egress_manager"
        assert read.recordings_dir == Path.cwd() / "recordings"
        assert read.record is Scope.ALL
        assert read.mix_format == "mp4"
        assert read.naming == "rooms"
        assert read.include_other_callers
        assert not read.allow_unsigned_webhooks
        assert read.standing_rooms == ()
        assert read.finds_standing_rooms

    def test_a_copied_example_works_with_three_values_filled_in(self) -> None:
        """Step 3 of the user's checklist: what stays empty has its default."""
        example = (ROOT / "egress_manager" / ".env.example").read_text()
        for variable, value in THREE.items():
            example = example.replace(f"\n{variable}=\n", f"\n{variable}={value}\n")
        Path(".env").write_text(example)

        assert load_settings() == settings()

    def test_the_environment_counts_before_the_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As everywhere; an empty variable counts for nothing."""
        lines = [f"{variable}={value}" for variable, value in THREE.items()]
        Path(".env").write_text("\n".join([*lines, "MONGO_DB=filed", "WEBHOOK_KEY=filed"]))
        monkeypatch.setenv("MONGO_DB", "environed")
        monkeypatch.setenv("WEBHOOK_KEY", "")

        read = load_settings()

        assert (read.mongo_db, read.webhook_key) == ("environed", "filed")

    @pytest.mark.parametrize(
        ("given", "http", "ws"),
        [
            ({"LIVEKIT_URL": "ws://h:7880"}, "http://h:7880", "ws://h:7880"),
            ({"LIVEKIT_URL": "https://h/"}, "https://h", "wss://h"),
            (
                {"LIVEKIT_URL": "", "EGRESS_URL": "http://h:7880/twirp/livekit.Egress"},
                "http://h:7880",
                "ws://h:7880",
            ),
            (
                {"LIVEKIT_URL": "", "EGRESS_URL": "http://h:7880/twirp/livekit.Egress/"},
                "http://h:7880",
                "ws://h:7880",
            ),
            ({"LIVEKIT_URL": "", "EGRESS_URL": "wss://h/lk"}, "https://h/lk", "wss://h/lk"),
            (
                {"LIVEKIT_URL": "ws://one", "EGRESS_URL": "http://two/twirp/livekit.Egress"},
                "http://one",
                "ws://one",
            ),
        ],
    )
    def test_livekits_addresses_follow_from_either_url(
        self, given: dict[str, str], http: str, ws: str
    ) -> None:
        """The user's EGRESS_URL is enough alone, in either form."""
        read = settings(**given)

        assert (read.livekit_http_url, read.livekit_ws_url) == (http, ws)

    def test_lists_have_commas(self) -> None:
        """Spaces around them do not matter."""
        read = settings(EGRESS_MANAGER_RECORD="Rooms", EGRESS_MANAGER_RECORD_ROOMS="call-*, desk ,")

        assert read.record is Scope.ROOMS
        assert read.record_rooms == ("call-*", "desk")

    @pytest.mark.parametrize(
        ("given", "rooms", "finds"),
        [
            ("auto", (), True),
            ("auto,reception", ("reception",), True),
            ("reception", ("reception",), False),
            ("none", (), False),
        ],
    )
    def test_standing_rooms_are_named_or_found(
        self, given: str, rooms: tuple[str, ...], finds: bool
    ) -> None:
        """Or both, or there are none."""
        read = settings(EGRESS_MANAGER_STANDING_ROOMS=given)

        assert read.standing_rooms == rooms
        assert read.finds_standing_rooms is finds

    def test_webhooks_are_signed_with_their_own_secret_or_the_keys(self) -> None:
        """WEBHOOK_SECRET is needed only where it differs."""
        assert settings().webhook_signing_secret == THREE["LIVEKIT_API_SECRET"]
        assert settings(WEBHOOK_SECRET="own").webhook_signing_secret == "own"

    @pytest.mark.parametrize(
        ("written", "bits"), [("", 0o027), ("027", 0o027), ("077", 0o077), ("0007", 0o007)]
    )
    def test_the_umask_is_written_in_octal_digits(
        self, written: str, bits: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For the service, and for commands that read no other setting."""
        monkeypatch.setenv("EGRESS_MANAGER_UMASK", written)

        assert settings().umask_bits == bits
        assert words.umask() == bits


class TestComplaints:
    """What is said."""

    def test_all_that_is_missing_is_said_at_once(self) -> None:
        """With what to write."""
        assert sorted(complaints()) == [
            "LIVEKIT_API_KEY is missing: the name of an API key of livekit-server",
            "LIVEKIT_API_SECRET is missing: the secret of LIVEKIT_API_KEY",
            "LIVEKIT_URL is missing: write it like ws://localhost:7880 (or set EGRESS_URL)",
        ]

    @pytest.mark.parametrize(
        ("variable", "value", "hint"),
        [
            ("LIVEKIT_URL", "localhost:7880", "ws://host:7880"),
            ("LIVEKIT_URL", "http://[", "ws://host:7880"),
            ("EGRESS_URL", "ftp://h", "ws://host:7880"),
            ("MONGO_URI", "localhost:27017", "mongodb://"),
            ("LIVEKIT_URL", "ws://host:99999", "ws://host:7880"),
            ("LIVEKIT_URL", "ws://host:port", "ws://host:7880"),
            ("LIVEKIT_URL", "ws://my host:7880", "ws://host:7880"),
            ("EGRESS_URL", "http://h:0", "ws://host:7880"),
            ("LIVEKIT_API_KEY", "dev key", "no blanks"),
            ("WEBHOOK_KEY", "dev\tkey", "no blanks"),
            ("REDIS_URL", "redis://host:99999/0", "redis://"),
            ("EGRESS_MANAGER_S3_ENDPOINT", "http://host:x", "https://s3.example.com"),
            ("MONGO_DB", "a.b", "letters"),
            ("MONGO_DB", "admin", "another one"),
            ("MONGO_DB", "local", "another one"),
            ("MONGO_DB", "config", "another one"),
            ("REDIS_URL", "localhost", "redis://"),
            ("EGRESS_MANAGER_RECORD", "some", "'all', 'none' or 'rooms'"),
            ("EGRESS_MANAGER_MIX_FORMAT", "wav", "'mp4' or 'ogg'"),
            ("EGRESS_MANAGER_NAMING", "{room}", "there are {room_name}"),
            ("EGRESS_MANAGER_NAMING", "../{identity}", "no name"),
            ("EGRESS_MANAGER_POLL_INTERVAL", "often", "number"),
            ("EGRESS_MANAGER_POLL_INTERVAL", "6", "less than or equal to 5"),
            ("EGRESS_MANAGER_SYNC_INTERVAL", "0", "greater than 0"),
            ("EGRESS_MANAGER_LOG_LEVEL", "loud", "'DEBUG'"),
            ("EGRESS_MANAGER_ALLOW_UNSIGNED_WEBHOOKS", "perhaps", "boolean"),
            ("EGRESS_MANAGER_API_KEY", "x", "openssl rand -hex 32"),
            ("EGRESS_MANAGER_API_KEY", "x", "egress-manager keys new"),
            ("EGRESS_MANAGER_API_KEY", " ", "blanks"),
            ("EGRESS_MANAGER_API_KEY", "changeme", "fewer than 16"),
            ("EGRESS_MANAGER_API_KEY", "abcdeabcdeabcdeabcde", "fewer than 6 different"),
            ("EGRESS_MANAGER_API_KEY", "12345678901234567890", "follow each other"),
            ("EGRESS_MANAGER_UMASK", "27", "three octal digits"),
            ("EGRESS_MANAGER_UMASK", "028", "three octal digits"),
            ("EGRESS_MANAGER_UMASK", "727", "three octal digits"),
            ("EGRESS_MANAGER_UMASK", "0o27", "three octal digits"),
            ("EGRESS_MANAGER_UMASK", "-27", "three octal digits"),
        ],
    )
    def test_a_wrong_value_is_a_sentence(self, variable: str, value: str, hint: str) -> None:
        """It names the variable and what to write."""
        (said,) = complaints(**(THREE | {variable: value}))

        assert said.startswith(f"{variable} can't be used: ")
        assert hint in said

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("EGRESS_MANAGER_RECORDINGS_DIR", "did you mean RECORDINGS_DIR?"),
            ("EGRESS_MANAGER_LIVEKIT_URL", "did you mean LIVEKIT_URL?"),
            ("EGRESS_MANAGER_MIX_FORMATS", "did you mean EGRESS_MANAGER_MIX_FORMAT?"),
            ("egress_manager_log_levle", "did you mean EGRESS_MANAGER_LOG_LEVEL?"),
            ("EGRESS_MANAGER_TYPO", "is no setting"),
        ],
    )
    @pytest.mark.parametrize("is_in_file", [True, False], ids=["file", "environment"])
    def test_a_misspelt_setting_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, name: str, meant: str, *, is_in_file: bool
    ) -> None:
        """With the nearest right name; nobody would read it."""
        lines = [f"{variable}={value}" for variable, value in THREE.items()]
        if is_in_file:
            lines.append(f"{name}=hunter2")
        else:
            monkeypatch.setenv(name, "hunter2")
        Path(".env").write_text("\n".join(lines))

        with pytest.raises(SettingsWrong) as wrong:
            load_settings()

        assert str(wrong.value).startswith(f"{name.upper()} is no setting")
        assert meant in str(wrong.value)
        assert "hunter2" not in str(wrong.value)

    def test_an_empty_variable_is_no_setting_that_is_misspelt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As everywhere: it counts for nothing."""
        monkeypatch.setenv("EGRESS_MANAGER_TYPO", "")

        assert settings()

    def test_a_file_in_the_place_of_the_directory_is_noticed(self, tmp_path: Path) -> None:
        """At the start, not at the first call."""
        (tmp_path / "file").touch()

        (said,) = complaints(**(THREE | {"RECORDINGS_DIR": str(tmp_path / "file")}))

        assert said.startswith("RECORDINGS_DIR can't be used: there is a file in its place")

    def test_rooms_want_patterns(self) -> None:
        """Otherwise nothing would ever be recorded."""
        (said,) = complaints(**(THREE | {"EGRESS_MANAGER_RECORD": "rooms"}))

        assert said.startswith("EGRESS_MANAGER_RECORD_ROOMS is missing")

    def test_no_value_is_ever_repeated(self) -> None:
        """A password may stand in any of them."""
        secret = "hunter2"

        for setting in words.described():
            said = ""
            try:
                load_settings(None, **(THREE | {setting.variable: f"\x00{secret}"}))
            except SettingsWrong as wrong:
                said = str(wrong)
            assert secret not in said

    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("mongodb://me:p@ss@h/", "mongodb://me:{}@h/"),
            ("mongodb://me:p/s?s@h:1,i:2/?a=b", "mongodb://me:{}@h:1,i:2/?a=b"),
            (
                "mongodb://h/?tlsCertificateKeyFilePassword=hunter2&a=b",
                "mongodb://h/?tlsCertificateKeyFilePassword={}&a=b",
            ),
            ("redis://:p:a@h:6379/0", "redis://:{}@h:6379/0"),
            ("redis://h:6379/0?password=hunter2", "redis://h:6379/0?password={}"),
            ("mongodb://me@h/", "mongodb://me@h/"),
            ("mongodb://h:27017/?replicaSet=rs0", "mongodb://h:27017/?replicaSet=rs0"),
        ],
    )
    def test_a_password_does_not_show_however_it_is_written(self, uri: str, shown: str) -> None:
        """What is special in it should be encoded, and often is not."""
        assert words._without_secret(uri) == shown.format(words.MASK)

    def test_secrets_do_not_show(self) -> None:
        """Not in a repr, not in what `egress-manager settings` prints."""
        read = settings(
            EGRESS_MANAGER_API_KEY="hunter2-and-some-more-of-it",
            WEBHOOK_SECRET="hunter2",
            MONGO_URI="mongodb://me:hunter2@h/",
        )

        shown = {each.variable: each.value for each in words.shown(read)}

        assert "hunter2" not in repr(read.api_key) + repr(read.webhook_secret)
        assert "hunter2" not in str(shown)
        assert shown["MONGO_URI"] == f"mongodb://me:{words.MASK}@h/"
        assert shown["EGRESS_MANAGER_API_KEY"] == words.MASK


class TestWords:
    """The documentation."""

    def test_it_is_what_the_settings_say(self) -> None:
        """`egress-manager settings --markdown > docs/settings.md`."""
        assert (ROOT / "docs" / "settings.md").read_text() == words.as_markdown()

    def test_so_is_the_example(self) -> None:
        """`egress-manager settings --env-example > egress_manager/.env.example`."""
        assert (ROOT / "egress_manager" / ".env.example").read_text() == words.as_env_example()

    def test_every_setting_has_a_description(self) -> None:
        """And one of the names that were agreed on."""
        theirs = {"LIVEKIT", "EGRESS", "WEBHOOK", "MONGO", "RECORDINGS", "REDIS"}

        for setting in words.described():
            assert setting.description.endswith((".", "`"))
            assert setting.variable.split("_")[0] in theirs

    def test_where_a_value_comes_from_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment, the file, or the default."""
        Path(".env").write_text("MONGO_DB=filed\nWEBHOOK_KEY=\n")
        monkeypatch.setenv("EGRESS_MANAGER_LOG_LEVEL", "debug")

        origins = {each.variable: each.origin for each in words.shown(settings())}

        assert origins["MONGO_DB"] == ".env"
        assert origins["EGRESS_MANAGER_LOG_LEVEL"] == "environment"
        assert origins["WEBHOOK_KEY"] == "default"

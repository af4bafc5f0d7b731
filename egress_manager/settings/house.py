"""What every installation may set: LiveKit, MongoDB, where recordings go and which are made."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from egress_manager.domain.naming import check_pattern
from egress_manager.domain.policy import Scope
from egress_manager.domain.secrecy import weakness_of

#: Where LiveKit serves the Egress API; may end EGRESS_URL.
TWIRP_PATH: Final = "/twirp/livekit.Egress"

#: In STANDING_ROOMS: the rooms that LiveKit's own dispatch rules name.
AUTO: Final = "auto"

PREFIX: Final = "EGRESS_MANAGER_"

MISSING: Final = "setting_missing"

#: Databases in which MongoDB keeps what it needs itself.
_MONGODBS_OWN: Final = ("admin", "local", "config")


def listed(value: object) -> object:
    """`a, b` as a list; what is a list already stays one."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


#: Names with commas between them.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)]


class HouseSettings(BaseSettings):
    """What every installation may set."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        validate_default=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    livekit_url: str = Field(
        default="",
        alias="LIVEKIT_URL",
        description="Where livekit-server is: `ws://`, `wss://`, `http://` or `https://`. "
        "Not needed where EGRESS_URL is set.",
        examples=["ws://localhost:7880"],
    )
    livekit_api_key: str = Field(
        default="",
        alias="LIVEKIT_API_KEY",
        description="The name of an API key of livekit-server.",
        examples=["devkey"],
    )
    livekit_api_secret: SecretStr = Field(
        default=SecretStr(""),
        alias="LIVEKIT_API_SECRET",
        description="The secret of that key.",
    )
    egress_url: str = Field(
        default="",
        alias="EGRESS_URL",
        description=f"LiveKit's Egress API, with or without `{TWIRP_PATH}`. livekit-server itself "
        "serves it, so it is enough alone: LIVEKIT_URL follows from it.",
        examples=[f"http://localhost:7880{TWIRP_PATH}"],
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        alias="WEBHOOK_SECRET",
        description="The secret of the key that livekit-server signs webhooks with, "
        "where that is not LIVEKIT_API_KEY.",
    )
    webhook_key: str = Field(
        default="",
        alias="WEBHOOK_KEY",
        description="The name of the key that livekit-server signs webhooks with. "
        "Not checked where it is not set.",
    )
    mongo_uri: str = Field(
        default="",
        alias="MONGO_URI",
        description="The MongoDB to use. Not set: a mongod is started on this machine, the one on "
        "PATH or the one of the extra `mongod`.",
        examples=["mongodb://localhost:27017/?replicaSet=rs0"],
    )
    mongo_db: str = Field(
        default="egress_manager", alias="MONGO_DB", description="The name of the database."
    )
    recordings_dir: Path = Field(
        default=Path("recordings"),
        alias="RECORDINGS_DIR",
        description="The directory of the recordings; it is made where it does not exist.",
        examples=["/home/livekit/recordings"],
    )
    redis_url: str = Field(
        default="",
        alias="REDIS_URL",
        description="The Redis through which several processes share the jobs. It wants a "
        "password, and TLS (`rediss://`) where it is on another host. "
        "Not set: jobs run in this process.",
        examples=["rediss://:password@redis.example.com:6379/0"],
    )
    allow_unsigned_webhooks: bool = Field(
        default=False,
        alias=f"{PREFIX}ALLOW_UNSIGNED_WEBHOOKS",
        description="Accept webhooks without a signature: for trying things out with curl only. "
        "Anybody who reaches the port can then make calls up.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        alias=f"{PREFIX}API_KEY",
        description="The key that opens the API: 16 characters or more, chosen by chance, such as "
        "`openssl rand -hex 32` prints. Not set: one is made at the first start, and shown once on "
        "the terminal.",
    )
    signing_key: Path | None = Field(
        default=None,
        alias=f"{PREFIX}SIGNING_KEY",
        description="The file with the key that signs the audit chain and the documents; made at "
        "the first start, `.signing/key` in RECORDINGS_DIR if not set. Every host that works on "
        "the same database needs the same file. Keep a copy elsewhere.",
        examples=["/etc/egress-manager/signing.key"],
    )
    record: Scope = Field(
        default=Scope.ALL,
        alias=f"{PREFIX}RECORD",
        description="Which calls are recorded: `all`, `none`, or those in `rooms` whose names "
        f"match {PREFIX}RECORD_ROOMS.",
    )
    record_rooms: Names = Field(
        default=(),
        alias=f"{PREFIX}RECORD_ROOMS",
        description="Patterns of room names, with commas between them; `*`, `?` and `[0-9]` as in "
        "a shell.",
        examples=["call-*,friday-assistant-room"],
    )
    mix_format: Literal["mp4", "ogg"] = Field(
        default="mp4",
        alias=f"{PREFIX}MIX_FORMAT",
        description="The mix is `mp4` (AAC, plays everywhere) or `ogg` (Opus, smaller).",
    )
    naming: str = Field(
        default="rooms",
        alias=f"{PREFIX}NAMING",
        description="How files are named: `rooms` for `{room_name}/{identity}-{time}-{id}`, `flat` "
        "for `{room_name}-{identity}-{time}-{id}`, or a pattern of your own with these fields. "
        "The id is added where it is missing.",
    )
    include_other_callers: bool = Field(
        default=True,
        alias=f"{PREFIX}INCLUDE_OTHER_CALLERS",
        description="Whether other callers in the same room are heard in a call's recording.",
    )
    standing: Names = Field(
        default=(AUTO,),
        alias=f"{PREFIX}STANDING_ROOMS",
        description="Rooms where the recorder waits as soon as anybody is there, so that not even "
        "the first syllable is missed; with commas between them. `auto` stands for the rooms that "
        "SIP dispatch rules of the direct kind name; `none` for no room at all.",
        examples=["auto,reception"],
    )
    poll_interval: float = Field(
        default=2.0,
        gt=0,
        le=5,
        alias=f"{PREFIX}POLL_INTERVAL",
        description="How often LiveKit is asked which calls there are while there are any, in "
        "seconds: finds what webhooks did not tell.",
    )
    poll_interval_idle: float = Field(
        default=4.0,
        gt=0,
        le=60,
        alias=f"{PREFIX}POLL_INTERVAL_IDLE",
        description="The same while there are none, in seconds. A call whose webhook was lost "
        "begins to be recorded at most that much later.",
    )
    sync_interval: float = Field(
        default=2.0,
        gt=0,
        le=60,
        alias=f"{PREFIX}SYNC_INTERVAL",
        description="How often what was captured is forced to the disk, in seconds: the most that "
        "a power cut can take.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        alias=f"{PREFIX}LOG_LEVEL",
        description="How much is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    )

    @field_validator("livekit_url", "egress_url")
    @classmethod
    def _is_livekit_url(cls, value: str) -> str:
        if value and not is_url(value, ("ws", "wss", "http", "https")):
            raise ValueError("write it like ws://host:7880 or https://host")
        return value

    @field_validator("livekit_api_key", "webhook_key")
    @classmethod
    def _is_one_word(cls, value: str) -> str:
        if re.search(r"\s", value):
            raise ValueError("a key has no blanks in it")
        return value

    @field_validator("mongo_uri")
    @classmethod
    def _is_mongo_uri(cls, value: str) -> str:
        if value and not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("write it like mongodb://user:password@host:27017/")
        return value

    @field_validator("mongo_db")
    @classmethod
    def _is_database_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", value):
            raise ValueError("write up to 63 letters, digits, - and _")
        if value in _MONGODBS_OWN:
            raise ValueError("MongoDB keeps its own things there; name another one")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis_url(cls, value: str) -> str:
        is_socket = value.startswith("unix://") and not re.search(r"\s", value)
        if value and not is_socket and not is_url(value, ("redis", "rediss")):
            raise ValueError("write it like redis://host:6379/0")
        return value

    @field_validator("api_key")
    @classmethod
    def _is_strong(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and (why := weakness_of(value.get_secret_value())):
            raise ValueError(
                f"{why}; set what `openssl rand -hex 32` prints, or leave it empty "
                "and make one with `egress-manager keys new`"
            )
        return value

    @field_validator("naming")
    @classmethod
    def _is_naming(cls, value: str) -> str:
        check_pattern(value)
        return value

    @field_validator("recordings_dir")
    @classmethod
    def _is_directory(cls, value: Path) -> Path:
        value = value.expanduser().absolute()
        if value.exists() and not value.is_dir():
            raise ValueError("there is a file in its place; name a directory")
        return value

    @field_validator("record", "mix_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_upper_case(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("standing")
    @classmethod
    def _or_none(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return () if value == ("none",) else value

    @field_validator("egress_url")
    @classmethod
    def _is_there_a_url(cls, value: str, others: ValidationInfo) -> str:
        if not value and others.data.get("livekit_url") == "":
            raise missing("LIVEKIT_URL", "write it like ws://localhost:7880 (or set EGRESS_URL)")
        return value

    @field_validator("livekit_api_key")
    @classmethod
    def _is_there_a_key(cls, value: str) -> str:
        if not value:
            raise missing("LIVEKIT_API_KEY", "the name of an API key of livekit-server")
        return value

    @field_validator("livekit_api_secret")
    @classmethod
    def _is_there_a_secret(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise missing("LIVEKIT_API_SECRET", "the secret of LIVEKIT_API_KEY")
        return value

    @field_validator("record_rooms")
    @classmethod
    def _are_there_patterns(cls, value: Names, others: ValidationInfo) -> Names:
        if not value and others.data.get("record") is Scope.ROOMS:
            raise missing(f"{PREFIX}RECORD_ROOMS", "write patterns like call-*,reception")
        return value

    @property
    def livekit_http_url(self) -> str:
        """Where LiveKit's API is: `http` or `https`, no path of the Egress API, no slash."""
        return _with_scheme(self._livekit, {"ws": "http", "wss": "https"})

    @property
    def livekit_ws_url(self) -> str:
        """Where LiveKit's rooms are joined: `ws` or `wss`."""
        return _with_scheme(self._livekit, {"http": "ws", "https": "wss"})

    @property
    def webhook_signing_secret(self) -> str:
        """The secret that webhooks are signed with: their own, else the API key's."""
        own = self.webhook_secret.get_secret_value()
        return own or self.livekit_api_secret.get_secret_value()

    @property
    def standing_rooms(self) -> tuple[str, ...]:
        """The standing rooms that are named here."""
        return tuple(name for name in self.standing if name != AUTO)

    @property
    def finds_standing_rooms(self) -> bool:
        """Whether those that dispatch rules name are standing rooms, too."""
        return AUTO in self.standing

    @property
    def _livekit(self) -> str:
        return self.livekit_url or self.egress_url


def missing(variable: str, write: str) -> PydanticCustomError:
    """The error of a setting that is needed and not there."""
    return PydanticCustomError(
        MISSING, "{variable} is missing: {write}", {"variable": variable, "write": write}
    )


def is_url(url: str, schemes: tuple[str, ...]) -> bool:
    """Whether it is a URL of one of these schemes, with a host, and a port that there can be."""
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        return False
    is_plain = not re.search(r"\s", parts.netloc + parts.path)
    return parts.scheme in schemes and bool(parts.hostname) and has_port and is_plain


def _with_scheme(url: str, other: dict[str, str]) -> str:
    scheme, _, rest = url.rstrip("/").removesuffix(TWIRP_PATH).partition("://")
    return f"{other.get(scheme, scheme)}://{rest.rstrip('/')}"

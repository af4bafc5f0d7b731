"""What may be set about LiveKit Egress, the other recorder."""

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from egress_manager.domain.policy import Engine
from egress_manager.settings.house import PREFIX, Names, is_url, missing


class EgressSettings(BaseSettings):
    """Which calls LiveKit Egress records, how, and where its files go."""

    engine: Engine = Field(
        default=Engine.BUILTIN,
        alias=f"{PREFIX}ENGINE",
        description="Who records: `builtin`, the recorder of this service, or `egress`, the "
        "LiveKit Egress service.",
    )
    other_engine_rooms: Names = Field(
        default=(),
        alias=f"{PREFIX}OTHER_ENGINE_ROOMS",
        description="Patterns of rooms whose calls the other of the two records, with commas "
        "between them; `*`, `?` and `[0-9]` as in a shell.",
        examples=["video-*"],
    )
    egress_mode: Literal["mix", "participant"] = Field(
        default="mix",
        alias=f"{PREFIX}EGRESS_MODE",
        description="What LiveKit Egress is asked for: `mix`, both sides of the call, or "
        "`participant`, an MP4 video file of the caller alone.",
    )
    falls_back: bool = Field(
        default=True,
        alias=f"{PREFIX}EGRESS_FALLS_BACK",
        description="Whether the recorder of this service takes over when LiveKit Egress has not "
        "begun within two seconds, or fails while a call goes on.",
    )
    egress_recordings_dir: str = Field(
        default="",
        alias="EGRESS_RECORDINGS_DIR",
        description="Where LiveKit Egress sees RECORDINGS_DIR, where it runs in a container of its "
        "own and sees it under another path.",
        examples=["/recordings"],
    )
    s3_bucket: str = Field(
        default="",
        alias=f"{PREFIX}S3_BUCKET",
        description="A bucket of S3-compatible storage that LiveKit Egress writes to, instead of "
        "the directory; this service reads it.",
        examples=["recordings"],
    )
    s3_endpoint: str = Field(
        default="",
        alias=f"{PREFIX}S3_ENDPOINT",
        description="Where that storage is; empty for Amazon's own.",
        examples=["http://localhost:7070"],
    )
    s3_region: str = Field(
        default="us-east-1", alias=f"{PREFIX}S3_REGION", description="The region of the bucket."
    )
    s3_access_key: str = Field(
        default="", alias=f"{PREFIX}S3_ACCESS_KEY", description="The name of a key of that storage."
    )
    s3_secret: SecretStr = Field(
        default=SecretStr(""), alias=f"{PREFIX}S3_SECRET", description="The secret of that key."
    )

    @field_validator("engine", "egress_mode", mode="before")
    @classmethod
    def _in_small_letters(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("egress_recordings_dir")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("write the whole path, from /")
        return value

    @field_validator("s3_endpoint")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        if value and not is_url(value, ("http", "https")):
            raise ValueError("write it like https://s3.example.com")
        return value.rstrip("/")

    @field_validator("s3_access_key")
    @classmethod
    def _has_bucket_key(cls, value: str, others: ValidationInfo) -> str:
        if not value and others.data.get("s3_bucket"):
            raise missing(
                f"{PREFIX}S3_ACCESS_KEY", "the name of a key that may write to the bucket"
            )
        return value

    @field_validator("s3_secret")
    @classmethod
    def _has_bucket_secret(cls, value: SecretStr, others: ValidationInfo) -> SecretStr:
        if not value.get_secret_value() and others.data.get("s3_bucket"):
            raise missing(f"{PREFIX}S3_SECRET", f"the secret of {PREFIX}S3_ACCESS_KEY")
        return value

"""The settings in words: for the documentation, the example, and who wants to know what is set."""

import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import SecretStr

from egress_manager.errors import SettingsWrong
from egress_manager.settings import Settings
from egress_manager.settings.processes import DEFAULT_UMASK, UMASK, umask_of

#: What has no default. EGRESS_URL may take the place of LIVEKIT_URL.
NEEDED: Final = frozenset({"LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"})

#: Shown in the place of a secret.
MASK: Final = "********"


@dataclass(frozen=True, slots=True)
class Described:
    """One setting in words; the default as it would be written, empty where there is none."""

    field: str
    variable: str
    default: str
    example: str
    description: str
    is_needed: bool
    is_secret: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What one setting is; `origin` is `environment`, the file's name, or `default`."""

    variable: str
    value: str
    origin: str


def described() -> Iterator[Described]:
    """Every setting in words, in the order in which they stand above."""
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        yield Described(
            field=name,
            variable=str(field.alias),
            default=_written(default),
            example=str(field.examples[0]) if field.examples else "",
            description=str(field.description),
            is_needed=field.alias in NEEDED,
            is_secret=isinstance(default, SecretStr),
        )


def shown(settings: Settings, env_file: Path = Path(".env")) -> Iterator[Shown]:
    """What every setting is, secrets masked, and where it comes from."""
    origins = _origins(env_file)
    for setting in described():
        value = _written(getattr(settings, setting.field))
        yield Shown(
            setting.variable,
            _without_secret(value) if not setting.is_secret else MASK if value else "",
            origins.get(setting.variable.lower(), "default"),
        )


def value_of(variable: str, env_file: Path = Path(".env")) -> str:
    """One variable by itself, wherever it stands; empty where it is not set."""
    in_file = dotenv_values(env_file) if env_file.is_file() else {}
    return os.environ.get(variable) or in_file.get(variable) or ""


def umask(env_file: Path = Path(".env")) -> int:
    """The umask for commands, of which most need no other setting. Raises `SettingsWrong`."""
    try:
        return umask_of(value_of(UMASK, env_file) or DEFAULT_UMASK)
    except ValueError as error:
        raise SettingsWrong(f"{UMASK} can't be used: {error}") from None


def _origins(env_file: Path) -> Mapping[str, str]:
    """Where each variable that is set comes from, by its name in lower case."""
    in_file = dotenv_values(env_file) if env_file.is_file() else {}
    return {
        **{name.lower(): env_file.name for name, value in in_file.items() if value},
        **{name.lower(): "environment" for name, value in os.environ.items() if value},
    }


def _without_secret(value: str) -> str:
    """A URI without the passwords in it: before its last `@`, and in its options.

    An `@` or a `/` in a password should be percent-encoded, and often is not.
    """
    value = re.sub(r"(?<=://)([^:@/]*):.*@", rf"\1:{MASK}@", value)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", rf"\1{MASK}", value)


def as_markdown() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `egress-manager settings --markdown`: change settings.py, not this. -->",
        "",
        "Settings are environment variables; a file `.env` in the current directory is read, too.",
        "An empty value counts as none.",
        "Three are needed: where livekit-server is, and one of its API keys.",
        "`egress-manager settings` shows what is set, and from where.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for setting in described():
        default = (
            "needed" if setting.is_needed else f"`{setting.default}`" if setting.default else ""
        )
        example = f" Example: `{setting.example}`" if setting.example else ""
        lines.append(f"| `{setting.variable}` | {default} | {setting.description}{example} |")
    return "\n".join(lines) + "\n"


def as_env_example() -> str:
    """`.env.example`."""
    lines = [
        "# Copy this file (install -m 600 .env.example .env) and fill in what is needed:",
        "# LIVEKIT_URL (or EGRESS_URL), LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
        "# What stays empty has its default.",
    ]
    for setting in described():
        lines += [
            "",
            *textwrap.wrap(setting.description, 98, initial_indent="# ", subsequent_indent="# "),
        ]
        if setting.example:
            lines.append(f"# Example: {setting.example}")
        if setting.default:
            lines.append(f"# Default: {setting.default}")
        lines.append(f"{setting.variable}=")
    return "\n".join(lines) + "\n"


def _written(default: object) -> str:
    """A default as it would be written in the environment."""
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)

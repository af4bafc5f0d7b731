"""Every knob, its default and its meaning. Nothing else reads the environment.

Values come from environment variables, and from a file `.env` in the current directory for those
that the environment does not have. An empty value counts as none, so that a copy of `.env.example`
works once three values are filled in. What is wrong is said in sentences, all at once
(`SettingsWrong`), and no sentence repeats a value that may be secret.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from egress_manager.errors import SettingsWrong
from egress_manager.settings.egress import EgressSettings
from egress_manager.settings.house import MISSING, HouseSettings
from egress_manager.settings.http import HttpSettings
from egress_manager.settings.misspelt import misspelt
from egress_manager.settings.processes import ProcessSettings

__all__ = ["Settings", "load_settings"]


class Settings(HttpSettings, ProcessSettings, EgressSettings, HouseSettings):
    """What can be set. Frozen: a process lives with one set of values."""


def load_settings(env_file: Path | None = Path(".env"), **given: Any) -> Settings:
    """The settings of this process; `given` ones, by field or variable, count before the others.

    Raises `SettingsWrong` whose message has a line for each thing that is wrong.
    """
    known = [str(field.alias) for field in Settings.model_fields.values()]
    wrong = list(misspelt(known, env_file))
    try:
        settings = Settings(_env_file=env_file, **given)
    except ValidationError as error:
        raise SettingsWrong("\n".join([*_sentences(error), *wrong])) from None
    if wrong:
        raise SettingsWrong("\n".join(wrong))
    return settings


def _sentences(error: ValidationError) -> Iterator[str]:
    """What is wrong, a line each, without the values."""
    for problem in error.errors(include_url=False, include_input=False):
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == MISSING:
            yield message
        else:
            yield f"{_variable(str(problem['loc'][0]))} can't be used: {message}"


def _variable(name: str) -> str:
    """The variable's name, whether pydantic says it or the field's."""
    field = Settings.model_fields.get(name)
    return str(field.alias) if field else name

"""Variables that look like ours and are none: better an error than a setting that nobody reads."""

import os
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from egress_manager.settings.house import PREFIX


def misspelt(known: Collection[str], env_file: Path | None) -> Iterator[str]:
    """A sentence for each variable with our prefix that is no setting, with the nearest one."""
    in_file = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    given: Mapping[str, str | None] = {**in_file, **os.environ}
    names = {name.upper() for name, value in given.items() if value}
    for name in sorted(names - set(known)):
        if name.startswith(PREFIX):
            yield f"{name} is no setting{_instead(name, known)}; see `egress-manager settings`"


def _instead(name: str, known: Collection[str]) -> str:
    """The nearest right name: the same without the prefix, or one that is spelt alike."""
    bare = name.removeprefix(PREFIX)
    if bare in known:
        return f": did you mean {bare}?"
    alike = get_close_matches(name, known, n=1) or get_close_matches(bare, known, n=1)
    return f": did you mean {alike[0]}?" if alike else ""

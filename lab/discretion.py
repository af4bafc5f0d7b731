"""What a log must not tell: secrets nowhere, and what is about people only in marked fields.

Whoever takes part in a call here is known by name (`concerns`), and so are the keys; so a log can
be held against them when its process has ended.
"""

import json
import re
from collections.abc import Callable, Iterator
from operator import contains
from typing import Any

#: Fields with this mark may be about people, see `egress_manager/telemetry.py`.
MARK = "pii."
#: A shorter word, or one without a digit ("agent"), stands in many a line that is not about people.
_SHORTEST = 6
#: LiveKit's tokens and signatures; and passwords in addresses.
_TOKENS = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|://[^/\s:@]+:[^/\s:@]+@")
#: A phone number in full.
_NUMBER = re.compile(r"(?<![\w.:+-])\+\d{7,15}\b")

_people: set[str] = set()
_secrets: set[str] = set()


class Indiscreet(AssertionError):
    """A log tells what it must not; the message has the lines."""


def concerns(*words: str) -> None:
    """Somebody's number, identity or name, or that of a room: from now on no log may tell it."""
    _people.update(w for w in words if len(w) >= _SHORTEST and any(map(str.isdigit, w)))


def secret(*words: str) -> None:
    """From now on no log may tell it, marked or not."""
    _secrets.update(words)


def hold(log: str, whose: str) -> None:
    """Raise `Indiscreet` where a log tells too much."""
    found = list(told(log))
    if found:
        raise Indiscreet(f"the log of {whose} tells too much:\n" + "\n".join(found[:10]))


def told(log: str) -> Iterator[str]:
    """What it tells that it must not, with the line."""
    for line in log.splitlines():
        if hidden := _first(_secrets, line, contains) or _TOKENS.search(line):
            yield f"a secret, {hidden}: {line[:2000]}"
        open_part = _without_marked(line)
        if personal := _first(_people, open_part, _names) or _NUMBER.search(open_part):
            yield f"about people, {personal}: {line[:2000]}"


def _first(words: set[str], text: str, tells: Callable[[str, str], bool]) -> str | None:
    return next((word for word in words if tells(text, word)), None)


def _names(text: str, name: str) -> bool:
    """Whether it ends where it stands: a room `call_1` is not named by a call `call_15b7`."""
    return name in text and re.search(re.escape(name) + r"(?![^\W_])", text) is not None


def _without_marked(line: str) -> str:
    """The line as who drops the marked fields keeps it; one that is not JSON whole."""
    try:
        fields: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(fields, dict):
        return line
    kept = {name: value for name, value in fields.items() if not name.startswith(MARK)}
    return json.dumps(kept, ensure_ascii=False)

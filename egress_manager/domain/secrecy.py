"""How much a secret is worth, and whether a connection keeps it."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from urllib.parse import SplitResult, urlsplit

#: The least characters of an API key. One that we make has 47.
SHORTEST_KEY: Final = 16
#: The least different characters in it. 16 random hexadecimal digits have 10 on average.
FEWEST_CHARACTERS: Final = 6
#: The least different distances from one character to the next: a row like `123456` has one.
FEWEST_STEPS: Final = 4

#: Words that stand in examples and on every list of passwords, and rows of a keyboard: a key of
#: nothing else, but for digits and signs between them, is among the first that anybody tries. None
#: is made of others: then there is one way to read a key.
COMMON: Final = (
    *("admin", "api", "change", "default", "demo", "dummy", "egress", "example", "hello", "it"),
    *("key", "lab", "letmein", "livekit", "manager", "master", "me", "my", "pass", "word"),
    *("please", "private", "recorder", "replace", "root", "sample", "secret", "super", "test"),
    *("the", "this", "token", "user", "welcome", "your"),
    *("qwerty", "qwertz", "uiop", "asdf", "ghjkl", "zxcv", "yxcv", "bnm", "abc", "def", "xyz"),
)
_COMMON_ONLY: Final = re.compile(rf"(?:\d*(?:{'|'.join(COMMON)}))+\d*")

#: The least characters of a secret of LiveKit: livekit-server asks for as many, unless it runs
#: with `--dev`.
SHORTEST_SECRET: Final = 32

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def weakness_of(key: str) -> str:
    """Why the key could be guessed, or sent by nobody; empty for one that is good."""
    if not key.isascii() or not key.isprintable() or " " in key:
        return "it has blanks or characters that no header carries"
    if len(key) < SHORTEST_KEY:
        return f"it has fewer than {SHORTEST_KEY} characters"
    if len(set(key)) < FEWEST_CHARACTERS:
        return f"it has fewer than {FEWEST_CHARACTERS} different characters"
    steps = {ord(after) - ord(before) for before, after in pairwise(key)}
    if len(steps) < FEWEST_STEPS:
        return "it is a row of characters that follow each other"
    bare = "".join(filter(str.isalnum, key.lower()))
    if 2 * len(bare) >= len(key) and bare in (bare + bare)[1:-1]:
        return "it says the same again and again"
    if _COMMON_ONLY.fullmatch(bare):
        return "it has nothing but common words and digits"
    return ""


def is_short(secret: str) -> bool:
    """Whether it is a secret, and one that livekit-server takes only with `--dev`."""
    return 0 < len(secret) < SHORTEST_SECRET


def redis_lacks(url: str) -> Iterator[str]:
    """What the Redis of this URL lacks, so that nobody else can write to it: `password`, `tls`.

    Who reaches a unix socket or the loopback interface is on this host, where TLS adds nothing.
    """
    parts = _split(url)
    if parts.scheme == "unix":
        return
    if not parts.password and "password=" not in parts.query:
        yield "password"
    if parts.scheme != "rediss" and parts.hostname not in _LOOPBACK:
        yield "tls"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")

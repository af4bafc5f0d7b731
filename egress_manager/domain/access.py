"""Who may ask: one API key, known by its fingerprint alone.

A key that we make has 256 bits of chance in it, so a plain SHA-256 of it can't be turned back.
"""

import hashlib
import hmac
import secrets
from typing import Final

#: What our keys begin with, so that one that leaked into a text can be recognised.
KEY_PREFIX: Final = "egm_"


def new_key() -> str:
    """A new API key, safe in a header."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def fingerprint(key: str) -> str:
    """What is stored of a key: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def opens(key: str, kept: str | None) -> bool:
    """Whether the key is the one whose fingerprint is kept; takes as long either way."""
    return kept is not None and hmac.compare_digest(fingerprint(key), kept)

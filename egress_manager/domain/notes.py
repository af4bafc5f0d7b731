"""Signed notes and tree checkpoints as C2SP specifies them, so that other tools read ours.

A checkpoint is three lines: the log's name (`origin`), the number of entries, and the root of their
Merkle tree in base64. A note is a text, an empty line, and a line for each signature. See
https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

#: The type of an Ed25519 key, before the key itself wherever it is written or hashed.
ED25519: Final = b"\x01"
#: Bytes of a key's hash before a signature.
KEY_HASH_BYTES: Final = 4
#: What begins a line with a signature.
_DASH: Final = "— "
#: What begins the text of a private key.
_PRIVATE: Final = "PRIVATE+KEY+"
#: Bytes of an Ed25519 key, of either kind.
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many entries of a log had this root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_hash(name: str, public: bytes) -> bytes:
    """What stands for an Ed25519 key before its signatures."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_HASH_BYTES]


def verifier_key(name: str, public: bytes) -> str:
    """A public key as others take it: `name+hash+key`."""
    return _key_text(name, key_hash(name, public), public)


def signer_key(name: str, public: bytes, seed: bytes) -> str:
    """A private key as Go's `sumdb/note` writes it."""
    return _PRIVATE + _key_text(name, key_hash(name, public), seed)


def seed_of(text: str) -> tuple[str, bytes]:
    """The name and the seed of a private key. Raises `ValueError` for what is none."""
    parts = text.removeprefix(_PRIVATE).split("+", 2)  # base64 may have one, too
    if not text.startswith(_PRIVATE) or len(parts) != 3:
        raise ValueError("this is no private key")
    name, hashed, key = parts
    try:
        told = base64.b64decode(key, validate=True)
        is_hash = len(bytes.fromhex(hashed)) == KEY_HASH_BYTES
    except (binascii.Error, ValueError):
        raise ValueError("a key is damaged") from None
    if not (name and is_hash and told[:1] == ED25519 and len(told) == 1 + _KEY_BYTES):
        raise ValueError("this is no Ed25519 key of a signed note")
    return name, told[1:]


def note(text: str, name: str, signature: str) -> str:
    """The signed note; the signature is in base64, with the hash of its key before it."""
    return f"{text}\n{_DASH}{name} {signature}\n"


def checkpoint_of(told: str) -> tuple[Checkpoint, tuple[str, ...]]:
    """A checkpoint and its signatures, from a note. Raises `ValueError` for what is none."""
    text, empty, lines = told.partition("\n\n")
    origin, size, root, *_ = [*text.split("\n"), "", "", ""]
    signatures = tuple(
        line.rpartition(" ")[2] for line in lines.splitlines() if line.startswith(_DASH)
    )
    if not (empty and signatures and origin and size.isascii() and size.isdigit()):
        raise ValueError("this is no checkpoint")
    try:
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except binascii.Error:
        raise ValueError("the root of the checkpoint is damaged") from None
    if checkpoint.text != f"{text}\n":
        raise ValueError("the checkpoint has more than a root")
    return checkpoint, signatures


def _key_text(name: str, hashed: bytes, key: bytes) -> str:
    return f"{name}+{hashed.hex()}+{base64.b64encode(ED25519 + key).decode()}"

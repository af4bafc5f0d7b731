"""Signed notes and checkpoints are what their specifications say, byte for byte."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from egress_manager.domain.notes import (
    Checkpoint,
    checkpoint_of,
    key_hash,
    note,
    seed_of,
    signer_key,
    verifier_key,
)

#: The example in the documentation of Go's `golang.org/x/mod/sumdb/note`.
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)
ROOT = bytes(range(32))


def test_keys_are_written_as_go_writes_them() -> None:
    """Both of a pair, from the one seed; a `+` in base64 is none between the parts."""
    name, seed = seed_of(GO_PRIVATE)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()

    assert name == "PeterNeumann"
    assert signer_key(name, public, seed) == GO_PRIVATE
    assert verifier_key(name, public) == GO_PUBLIC
    assert key_hash(name, public).hex() == "c74f20a3"


def test_a_note_is_laid_out_as_go_lays_it_out() -> None:
    """Text, an empty line, the signature; and that one is what we would have made."""
    name, seed = seed_of(GO_PRIVATE)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    hashed = key_hash(name, key.public_key().public_bytes_raw())
    ours = base64.b64encode(hashed + key.sign(GO_TEXT.encode())).decode()

    assert ours == GO_SIGNATURE
    assert note(GO_TEXT, name, ours) == f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n"


def test_a_checkpoint_is_three_lines_and_comes_back() -> None:
    """Whoever verifies it needs the specification only."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    checkpoint = Checkpoint("egress-manager/ab", 17, ROOT)
    hashed = hashlib.sha256(b"egress-manager/ab\n\x01" + public).digest()[:4]
    signature = base64.b64encode(hashed + key.sign(checkpoint.text.encode())).decode()

    told = note(checkpoint.text, checkpoint.origin, signature)

    text, _, line = told.partition("\n\n— ")
    assert text.split("\n") == ["egress-manager/ab", "17", base64.b64encode(ROOT).decode()]
    origin, signed = line.rstrip("\n").split(" ")
    Ed25519PublicKey.from_public_bytes(public).verify(
        base64.b64decode(signed)[4:], f"{text}\n".encode()
    )
    assert origin == checkpoint.origin
    assert checkpoint_of(told) == (checkpoint, (signature,))


@pytest.mark.parametrize(
    "told",
    [
        "",
        "a\n1\nAAAA\n",
        "a\n1\nAAAA\n\n",
        "a\nx\nAAAA\n\n— a b\n",
        "a\n1\n!\n\n— a b\n",
        "a\n01\nAAAA\n\n— a b\n",
        "a\n1\nAAAA\nmore\n\n— a b\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(told: str) -> None:
    """Torn, unsigned, or with something else in it."""
    with pytest.raises(ValueError, match="checkpoint"):
        checkpoint_of(told)


@pytest.mark.parametrize(
    "text",
    ["", "PRIVATE+KEY+a", GO_PUBLIC, GO_PRIVATE[:-4], GO_PRIVATE.replace("+AY", "+BY")],
)
def test_what_is_no_private_key_is_refused(text: str) -> None:
    """With a sentence that does not repeat it."""
    with pytest.raises(ValueError, match="key") as refused:
        seed_of(text)
    assert "AYEKFALV" not in str(refused.value)

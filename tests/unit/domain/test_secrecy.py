"""Keys that could be guessed are known, and so is a Redis that others can write to."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.access import new_key
from egress_manager.domain.secrecy import (
    SHORTEST_KEY,
    SHORTEST_SECRET,
    is_short,
    redis_lacks,
    weakness_of,
)


@given(st.binary(min_size=32, max_size=32))
def test_what_openssl_prints_is_good_unless_it_is_no_chance(number: bytes) -> None:
    """`openssl rand -hex 32`."""
    key = number.hex()

    assert weakness_of(key) == "" or len(set(key)) < 10


def test_keys_of_ours_are_good() -> None:
    """`egress-manager keys new`."""
    assert weakness_of(new_key()) == ""
    assert weakness_of(secrets.token_urlsafe(16)) == ""


@pytest.mark.parametrize(
    "key",
    [
        "9f1c2b7d4e8a6053",
        "Tr0ub4dor&3-horse",
        "lab-key-houba-houba-hop-3141",
        "31415926535897932384",
        "password-marsupilami",
        "a!@#$%^&*()_+a-=[",
        "password" * 40 + "marsupilami",
    ],
)
def test_keys_that_take_some_guessing_are_let_be(key: str) -> None:
    """What is refused stops the start: only what anybody would try is."""
    assert weakness_of(key) == ""


@given(st.text(max_size=SHORTEST_KEY - 1))
def test_short_keys_are_weak(key: str) -> None:
    """Whatever is in them."""
    assert weakness_of(key)


@given(st.text(st.sampled_from("abcde"), min_size=SHORTEST_KEY))
def test_keys_of_few_characters_are_weak(key: str) -> None:
    """However long they are."""
    assert weakness_of(key)


@pytest.mark.parametrize(
    "key",
    [
        " " * 40,
        "a key with blanks in it and enough characters",
        "schlüssel-mit-umlaut-und-mehr",
        "12345678901234567890123",
        "abcdefghijklmnopqrstuvwxyz",
        "zyxwvutsrqponmlkjihgfedcba",
        "a-key-with-a-newline-in-it\n",
    ],
)
def test_keys_that_are_a_row_or_fit_no_header_are_weak(key: str) -> None:
    """They are the first that anybody tries, or nobody can send them."""
    assert weakness_of(key)


@pytest.mark.parametrize(
    "key",
    [
        "changemechangeme",
        "lab-key-lab-key-lab-key",
        "9f1c2b7d9f1c2b7d",
        "Houba-Houba-Houba",
        "&abc-defghi&abc-defghi",
    ],
)
def test_keys_that_say_the_same_again_are_weak(key: str) -> None:
    """However they are written, and whatever is between."""
    assert weakness_of(key)


@pytest.mark.parametrize(
    "key",
    [
        "password12345678",
        "Password-2026!!!",
        "qwertyuiop123456",
        "asdfghjkl-zxcvbnm",
        "change-me-please",
        "ChangeThisSecretKey1",
        "my-secret-api-key-123",
        "egress-manager-api-key",
        "your_test_api_key",
    ],
)
def test_keys_of_common_words_and_digits_are_weak(key: str) -> None:
    """What stands in examples, and on lists of passwords."""
    assert weakness_of(key)


@pytest.mark.parametrize(
    ("secret", "short"),
    [
        ("", False),
        ("secret", True),
        ("s" * (SHORTEST_SECRET - 1), True),
        ("s" * SHORTEST_SECRET, False),
    ],
)
def test_a_secret_of_livekit_has_a_length(secret: str, short: bool) -> None:
    """None at all is another matter."""
    assert is_short(secret) is short


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("redis://localhost:6379/0", ["password"]),
        ("redis://:secret@127.0.0.1:6379/0", []),
        ("redis://:secret@[::1]:6379/0", []),
        ("redis://redis.example.com:6379/0", ["password", "tls"]),
        ("redis://me:secret@redis.example.com/0", ["tls"]),
        ("rediss://redis.example.com/0", ["password"]),
        ("rediss://me:secret@redis.example.com/0", []),
        ("rediss://redis.example.com/0?password=secret", []),
        ("redis://:@redis.example.com/0", ["password", "tls"]),
        ("unix:///run/redis.sock", []),
        ("redis://[", ["password", "tls"]),
    ],
)
def test_what_a_redis_lacks(url: str, lacks: list[str]) -> None:
    """A password wherever there is a network, and TLS beyond this host."""
    assert list(redis_lacks(url)) == lacks

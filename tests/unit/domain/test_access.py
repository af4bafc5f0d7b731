"""Who may ask."""

from hypothesis import given
from hypothesis import strategies as st

from egress_manager.domain.access import KEY_PREFIX, fingerprint, new_key, opens


def test_a_new_key_is_like_no_other() -> None:
    """Long, of plain letters, and to be recognised as one of ours."""
    keys = {new_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(key.startswith(KEY_PREFIX) and len(key) > 40 and key.isascii() for key in keys)


@given(st.text(), st.text())
def test_a_key_opens_what_its_own_fingerprint_keeps(key: str, other: str) -> None:
    """And nothing else does; where none is kept, none opens."""
    assert opens(key, fingerprint(key))
    assert opens(other, fingerprint(key)) is (other == key)
    assert not opens(key, None)

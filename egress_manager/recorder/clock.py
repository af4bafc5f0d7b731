"""The one clock of this process: the wall clock read once, then the monotonic clock."""

import time
from typing import Final

#: A wall clock that is off by less than this is left alone. Seconds.
TOLERANCE: Final = 1.0

_wall = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970. Does not step, whatever happens to the machine's wall clock meanwhile."""
    return _wall + time.monotonic()


def set_again() -> None:
    """Take the wall clock's word again, where it was set since; only while nothing is recorded."""
    global _wall
    wall = time.time() - time.monotonic()
    if abs(wall - _wall) > TOLERANCE:
        _wall = wall

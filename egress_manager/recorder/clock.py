"""The one clock of this process: the wall clock read once, then the monotonic clock."""

import time
from typing import Final

_WALL: Final = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970. Never steps, whatever happens to the machine's wall clock meanwhile."""
    return _WALL + time.monotonic()

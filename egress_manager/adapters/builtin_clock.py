"""The time of day, on the same clock as the captures' journals."""

from collections.abc import Callable
from datetime import UTC, datetime

from egress_manager.domain.moments import to_milliseconds
from egress_manager.recorder import clock


class OneClock:
    """`Clock`, to the millisecond; it does not step while `is_recording` says so."""

    def __init__(self, is_recording: Callable[[], bool]) -> None:
        self._is_recording = is_recording

    def now(self) -> datetime:
        if not self._is_recording():
            clock.set_again()
        return to_milliseconds(datetime.fromtimestamp(clock.now(), UTC))

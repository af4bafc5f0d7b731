"""The time of day, on the same clock as the captures' journals."""

from datetime import UTC, datetime

from egress_manager.recorder.clock import now


class OneClock:
    """`Clock`: never steps while this process lives."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(now(), UTC)

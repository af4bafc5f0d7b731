"""Jobs of LiveKit Egress, in our words."""

from datetime import UTC, datetime

from livekit.protocol import egress

from egress_manager.adapters.livekit_egress import report_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
#: LiveKit counts nanoseconds.
AT = 1_793_534_400_123_456_789


def test_moments_are_as_exact_as_documents_keep_them() -> None:
    """A job that is told again is no news, and no difference."""
    file = egress.FileInfo(started_at=AT, ended_at=AT + 5_000_000_000)
    told = report_of(egress.EgressInfo(updated_at=AT, ended_at=AT, file_results=[file]), NOON)

    for moment in (told.at, told.started_at, told.ended_at):
        assert moment is not None
        assert moment.microsecond == 123_000

"""What a call takes from what LiveKit says of its caller."""

from datetime import UTC, datetime

import pytest

from egress_manager.domain.calls import new_call
from egress_manager.domain.incoming import Kind, Participant, ParticipantSeen, Room, Source

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def number_by(metadata: str) -> str | None:
    """The number of a caller who has this metadata and no attributes."""
    caller = Participant("PA_1", "sip_+15550100", kind=Kind.SIP, metadata=metadata)
    return new_call(ParticipantSeen(NOON, Room("r"), caller, Source.WEBHOOK)).caller_number


def test_the_metadata_may_name_the_number() -> None:
    """As the user writes it."""
    assert number_by('{"phone": "+911234567890"}') == "+911234567890"


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "houba",
        "[]",
        "NaN",
        "1" * 5000,
        "[" * 100_000,
        '{"phone": 1}',
        '{"phone": ""}',
        '{"phone": "\\ud800"}',
    ],
)
def test_whatever_stands_in_the_metadata_the_call_is_known(metadata: str) -> None:
    """Text of strangers: without a number that can be kept, the identity has it."""
    assert number_by(metadata) == "+15550100"

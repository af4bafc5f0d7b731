"""What the API says of itself, for people and for generators of clients."""

import re
from typing import Any

import pytest

from tests.unit.api.house import House

#: Names by which generated clients call the operations: stable from now on.
OPERATIONS = {
    "receive_webhook": "POST /webhook",
    "list_calls": "GET /calls",
    "get_call": "GET /calls/{call_id}",
    "list_recordings": "GET /recordings",
    "start_recording": "POST /recordings",
    "get_recording": "GET /recordings/{recording_id}",
    "stop_recording": "POST /recordings/{recording_id}/stop",
    "render_recording": "POST /recordings/{recording_id}/render",
    "get_recording_audio": "GET /recordings/{recording_id}/audio",
    "get_track_audio": "GET /recordings/{recording_id}/tracks/{track_id}/audio",
    "get_capture_report": "GET /reports/capture",
    "get_differences": "GET /reconciliation",
    "mend_differences": "POST /reconciliation",
    "get_health": "GET /health",
    "get_liveness": "GET /health/live",
}


@pytest.fixture
def described(house: House) -> dict[str, dict[str, Any]]:
    """Every operation by its method and path."""
    paths = house.app.openapi()["paths"]
    return {
        f"{verb.upper()} {path}": said for path, has in paths.items() for verb, said in has.items()
    }


def test_operations_have_names_for_programs(described: dict[str, dict[str, Any]]) -> None:
    """Those that are agreed on: a client that was generated goes on working."""
    assert {said["operationId"]: where for where, said in described.items()} == OPERATIONS


def test_operations_say_what_they_do(described: dict[str, dict[str, Any]]) -> None:
    """In some words of their own, which begin with a verb."""
    summaries = [said["summary"] for said in described.values()]

    assert len(set(summaries)) == len(summaries)
    assert all(re.fullmatch(r"[A-Z][a-z]+ .{6,}", summary) for summary in summaries)

"""Every heading of the user's document is named by tests that prove it, and these tests exist."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

#: Heading, and the tests that prove it: file and function.
PROMISES: dict[str, tuple[str, ...]] = {
    "goal: calls become durable audio files": (
        "e2e/test_recording.py::test_both_sides_are_recorded_from_the_first_word_to_the_last",
        "e2e/test_survival.py::test_a_manager_that_is_killed_and_started_again_goes_on_with_the_call",
    ),
    "goal: mixed two-way audio and a file for each track": (
        "e2e/test_recording.py::test_sides_do_not_leak_into_each_other",
        "story/test_livekit_egress.py::test_a_call_is_ordered_heard_of_and_finished",
    ),
    "goal: metadata in MongoDB": ("integration/test_mongo.py::test_the_document_is_the_users",),
    "goal: starts and stops by itself": (
        "story/test_a_call_is_recorded.py::test_a_call_becomes_a_finished_recording",
        "story/test_livekit_egress.py::test_a_caller_who_is_found_gone_by_a_poll_ends_the_jobs",
    ),
    "goal: fixed rooms and rooms of their own": (
        "e2e/test_both_room_styles.py",
        "e2e/test_recording.py::test_ten_callers_one_after_another_are_all_recorded_in_a_fixed_room",
    ),
    "file naming": (
        "unit/domain/test_naming.py",
        "e2e/test_recording.py::test_ogg_is_mixed_by_setting",
    ),
    "MongoDB schema": ("unit/adapters/test_mongo_documents.py",),
    "indexes": ("integration/test_mongo.py",),
    "webhook payloads": (
        "unit/adapters/test_livekit_webhooks.py::TestByHand",
        "story/test_traces.py::test_order_and_repetition_never_matter",
    ),
    "egress start payloads": (
        "e2e/test_livekit_egress.py::test_the_user_s_own_way_records_the_caller_alone",
        "e2e/test_livekit_egress.py::test_edge_case_4_an_older_server_is_asked_in_its_own_way",
    ),
    "recorder token": ("unit/adapters/test_livekit_tokens.py", "e2e/test_livekit_doors.py"),
    "edge case 1": (
        "e2e/test_recording.py::test_edge_case_1_a_call_of_two_seconds_is_recorded",
        "e2e/test_livekit_egress.py::test_edge_case_1_a_caller_who_leaves_at_once_has_a_document",
    ),
    "edge case 2": ("e2e/test_livekit_doors.py",),
    "edge case 3": (
        "e2e/test_survival.py"
        "::test_edge_case_3_a_disk_that_fills_up_during_a_call_keeps_what_it_has",
    ),
    "edge case 4": (
        "e2e/test_livekit_egress.py::test_edge_case_4_an_older_server_is_asked_in_its_own_way",
        "story/test_livekit_egress.py::test_an_unknown_status_says_nothing",
    ),
    "edge case 5": (
        "e2e/test_recording.py::test_edge_case_5_two_callers_in_one_room_are_two_recordings",
    ),
    "checklist 1: the folder": ("e2e/test_check.py",),
    "checklist 2: the containers": ("integration/test_compose.py",),
    "checklist 3 to 5: the manager, simulated webhooks": ("e2e/test_checklist.py",),
    "checklist 6: a real call": (
        "e2e/test_recording.py::test_both_sides_are_recorded_from_the_first_word_to_the_last",
    ),
    "checklist 7: concurrent calls": (
        "e2e/test_recording.py::test_edge_case_5_two_callers_in_one_room_are_two_recordings",
    ),
    "migration plan": ("e2e/test_sip_rules.py", "e2e/test_both_room_styles.py"),
    "next step A: track egress on publish": (
        "story/test_livekit_egress.py::test_a_track_that_is_published_later_gets_its_own_job",
    ),
    "next step B: start and stop by hand": ("e2e/test_manual.py",),
}


@pytest.mark.parametrize(
    ("heading", "proof"),
    [(heading, proof) for heading, proofs in PROMISES.items() for proof in proofs],
)
def test_what_the_user_wrote_is_proven_by_a_test(heading: str, proof: str) -> None:
    """The test is there; the suite runs it."""
    name, _, function = proof.partition("::")
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}

    assert function in names if function else any(n.startswith("test_") for n in names), heading

"""Requests that nobody thought of, made from the description of the API: all are answered so."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from egress_manager.app import app
from lab.events import signed, webhooks_of_call
from lab.manager import KEY, Manager
from lab.servers import API_KEY, API_SECRET, LiveKit, Mongod
from lab.web import NO_TLS
from tests.integration.quietly import quietly

DESCRIBED = schemathesis.openapi.from_dict(app.openapi())
OPERATIONS = {each.ok().label: each.ok() for each in DESCRIBED.get_all_operations()}
#: What an operation without parameters can't be given.
WRONGLY = {name for name, each in OPERATIONS.items() if [*each.iter_parameters(), *each.body]}
#: A cursor is text to the description, and refused where it is not one of ours.
LEFT_OUT = [CHECKS.get_one("positive_data_acceptance")]
FILE = b"0123456789"
Ids = dict[str, str]


@pytest.fixture(scope="module")
def manager(mongod_server: Mongod) -> Iterator[Manager]:
    """A service with a LiveKit at which nobody is."""
    livekit = LiveKit(room={"auto_create": False})
    service = Manager(
        livekit_url=livekit.http_url,
        mongo_uri=mongod_server.uri,
        mongo_db="test_hostile_requests",
        settings={"EGRESS_MANAGER_HTTP_TRIES_PER_MINUTE": "100000"},
    )
    with quietly(livekit, service):
        yield service


@pytest.fixture(scope="module")
def known(manager: Manager) -> Ids:
    """The ids of a call and a recording that it has: a call that is over, with a file."""
    file = manager.recordings / "palombia" / "a.mp4"
    file.parent.mkdir(parents=True)
    file.write_bytes(FILE)
    outputs = [{"filepath": str(file)}]
    for event in webhooks_of_call("palombia", "palombia"):
        told = _post(manager, event)
        if told["egress_id"] and outputs:
            info = {"egress_id": told["egress_id"], "outputs": outputs, "room_name": "palombia"}
            _post(manager, {"event": "egress_completed", "info": info})
            outputs = []
    (call,) = asyncio.run(manager.calls())
    recording = asyncio.run(manager.recording("completed"))
    return {"call_id": call["id"], "recording_id": recording["id"], "track_id": "TR_PA_ppalombia"}


def _post(manager: Manager, event: dict[str, Any]) -> dict[str, Any]:
    body, signature = signed(event, API_KEY, API_SECRET)
    answer = httpx2.post(
        manager.webhook_url, content=body, headers={"Authorization": signature}, verify=NO_TLS
    )
    return dict(answer.raise_for_status().json())


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_it_is_described(name: str, manager: Manager, known: Ids) -> None:
    """Statuses, types and bodies are those of the description; no 5xx but 503."""
    _ask(name, GenerationMode.POSITIVE, manager, known)


@pytest.mark.parametrize("name", sorted(WRONGLY))
def test_so_is_the_answer_to_what_it_does_not_allow(
    name: str, manager: Manager, known: Ids
) -> None:
    """Wrong types, what is missing, what is too much."""
    _ask(name, GenerationMode.NEGATIVE, manager, known)


def _ask(name: str, mode: GenerationMode, manager: Manager, known: Ids) -> None:
    """Some requests; of those about something every other is about what is there."""

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(OPERATIONS[name].as_strategy(generation_mode=mode), st.booleans())
    def ask(case: schemathesis.Case, is_known: bool) -> None:
        for parameter in known.keys() & (case.path_parameters or {}).keys():
            if is_known:
                case.path_parameters[parameter] = known[parameter]
        case.call_and_validate(
            base_url=manager.url,
            headers={"Authorization": f"Bearer {KEY}"},
            excluded_checks=LEFT_OUT,
        )

    ask()

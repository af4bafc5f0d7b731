"""What goes wrong, as HTTP says it."""

import importlib
import pkgutil
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest

import egress_manager
from egress_manager.api.errors import STATUS, status_of
from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.errors import (
    EgressManagerError,
    ListenFailed,
    RenderFailed,
    SettingsWrong,
)
from tests.unit.api.house import NOON, House


def _kinds() -> list[type[EgressManagerError]]:
    """Every error of the product."""
    for module in pkgutil.walk_packages(egress_manager.__path__, "egress_manager."):
        importlib.import_module(module.name)
    return sorted(_derived(EgressManagerError), key=lambda error: error.__name__)


def _derived(error: type[EgressManagerError]) -> set[type[EgressManagerError]]:
    ours = {error} if error.__module__.startswith("egress_manager.") else set()
    return ours.union(*map(_derived, error.__subclasses__()))


class TestProblems:
    """What goes wrong elsewhere."""

    async def test_a_path_that_there_is_not(self, anybody: httpx2.AsyncClient) -> None:
        """Is a problem document, too."""
        answer = await anybody.get("/houba")

        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"

    async def test_a_method_that_there_is_not(self, anybody: httpx2.AsyncClient) -> None:
        """Is a problem document, too."""
        answer = await anybody.get("/webhook")

        assert answer.status_code == 405
        assert answer.json()["code"] == "method_not_allowed"

    async def test_a_mistake_of_ours_tells_nothing(
        self, house: House, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log has it whole."""
        call = Call("call_1", Room("r"), "i", (Stay("PA"),), NOON, NOON)
        house.calls.kept["call_1"] = replace(call, joined_at="never")  # type: ignore[arg-type]

        answer = await client.get("/calls/call_1")

        assert answer.status_code == 500
        assert answer.json()["code"] == "internal"
        assert "never" not in answer.text
        assert any(record.message == "request_failed" for record in caplog.records)

    @pytest.mark.parametrize("error", _kinds(), ids=lambda error: error.__name__)
    def test_every_error_of_ours_has_a_status(self, error: type[EgressManagerError]) -> None:
        """Its own or its parent's; nothing but mistakes of ours is the root's."""
        is_known = status_of(error) is not HTTPStatus.INTERNAL_SERVER_ERROR
        kinds = (SettingsWrong, RenderFailed, ListenFailed)

        assert is_known or issubclass(error, kinds) or error.code == "internal"

    def test_the_documentation_names_every_path_and_code(self, house: House) -> None:
        """`docs/api.md` is kept true."""
        text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()

        for path in house.app.openapi()["paths"]:
            assert f" {path}`" in text, path
        for code, status in STATUS.items():
            assert f"| `{code}` | {status.value} |" in text, code

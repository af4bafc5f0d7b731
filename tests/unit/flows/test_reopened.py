"""What a version sealed that signed nothing, and that was opened again, is finished and sealed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from egress_manager import jobs
from egress_manager.domain.policy import Policy
from egress_manager.domain.provenance import Provenance
from egress_manager.domain.recordings import Recording, State
from egress_manager.domain.seal import Kind, Seal
from tests.story.conftest import in_memory
from tests.unit.flows.test_audit_flow import NOON, RECORDING, Vault
from tests.unit.flows.test_audit_flow import vault as house_of_fakes

__all__ = ["house_of_fakes"]


async def reopened(vault: Vault, state: State) -> None:
    """As the version before left the recording, and as it is in that state after it."""
    await vault.seals()
    for number, entry in vault.audit.kept.items():
        vault.audit.kept[number] = {
            name: value for name, value in entry.items() if name not in ("version", "place")
        }
    sealed = vault.recordings.kept["rec_1"]
    vault.recordings.kept["rec_1"] = replace(
        sealed,
        state=state,
        since=NOON + timedelta(seconds=30),
        provenance=Provenance.UNSIGNED,
        version=sealed.version + 1,
    )


async def test_it_is_sealed_as_it_is_then(house_of_fakes: Vault) -> None:
    """Not before it is final; the entry says that a version wrote it that signed none."""
    vault = house_of_fakes
    await reopened(vault, State.CAPTURED)
    await vault.seals()
    assert vault.kinds() == [Kind.SEALED]

    await vault.changes(state=State.VERIFIED)
    await vault.seals()

    assert vault.kinds() == [Kind.SEALED, Kind.MADE_AGAIN]
    assert vault.audit.kept[max(vault.audit.kept)]["is_adopted"] is True
    assert vault.recordings.kept["rec_1"].provenance is Provenance.SIGNED
    assert not vault.recordings.kept["rec_1"].is_unsealed


async def test_it_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over and as it was sealed is signed first."""
    older = replace(RECORDING, provenance=Provenance.UNSIGNED, seal=Seal(1, "hash", 3), version=3)
    opened = replace(older, id="rec_2", state=State.CAPTURED, version=4)
    worked: list[str] = []

    async def step(recording: Recording, doors: object) -> Recording:
        worked.append(recording.id)
        return recording

    monkeypatch.setattr(jobs, "STEPS", {State.VERIFIED: step, State.CAPTURED: step})
    tale = in_memory(Policy())
    for recording in (older, opened):
        tale.recordings.kept[recording.id] = recording
        await jobs.work_on(recording.id, tale.doors)

    assert worked == ["rec_2"]

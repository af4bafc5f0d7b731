"""What a version sealed that signed nothing, and that was opened again, is finished and sealed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from egress_manager import jobs
from egress_manager.domain.policy import Policy
from egress_manager.domain.provenance import BEGINNING, Older, Provenance, Reached
from egress_manager.domain.recordings import Recording, State
from egress_manager.domain.seal import Kind, Seal
from egress_manager.domain.sidecars import Sidecar
from egress_manager.errors import StorageFailed
from egress_manager.flows.audit.seal import Sealing
from egress_manager.testing import MemorySigner
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


async def test_a_walk_signs_what_it_can_and_another_one_the_rest(
    house_of_fakes: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody forged is no reason for another one."""
    vault = house_of_fakes
    vault.doors = replace(vault.doors, signer=MemorySigner(made_at=NOON + timedelta(hours=1)))
    for number in range(2, 8):
        another = replace(RECORDING, id=f"rec_{number}", egress_id=f"EG_{number}")
        vault.recordings.kept[another.id] = another
    await vault.seals()
    for subject, sealed in vault.recordings.kept.items():
        vault.recordings.kept[subject] = replace(sealed, provenance=Provenance.UNSIGNED)
    vault.recordings.kept["rec_3"] = replace(vault.recordings.kept["rec_3"], caller_number="+1")
    plain, walks = vault.doors.waiting.unsigned, 0

    async def counted(reached: Reached = BEGINNING) -> Older:
        nonlocal walks
        walks += reached == BEGINNING
        return await plain(reached)

    async def failing(subject: str, filepath: str | None) -> Sidecar | None:
        raise StorageFailed("the disk is ill")

    def unsigned() -> list[str]:
        kept = vault.recordings.kept.values()
        return [each.id for each in kept if each.provenance is Provenance.UNSIGNED]

    vault.doors.waiting.unsigned = counted  # type: ignore[method-assign]
    vault.sealing = Sealing()
    with monkeypatch.context() as ill:
        ill.setattr(vault.sidecars, "about", failing)
        await vault.seals()
    assert (len(unsigned()), walks) == (7, 1)

    for _ in range(3):
        vault.clock.pass_(minutes=11)
        await vault.seals()
        assert (unsigned(), walks) == (["rec_3"], 2)

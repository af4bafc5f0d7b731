"""What is over is sealed once, and again when it changes; whatever is not as it was is named."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.chain import Trouble
from egress_manager.domain.incoming import Room
from egress_manager.domain.recordings import Observation, Recording, State, TrackFile, Verdict
from egress_manager.domain.seal import Kind, entry_of, hash_of
from egress_manager.domain.sidecars import by_id
from egress_manager.errors import StorageFailed, StoreUnavailable
from egress_manager.flows.audit import rebuild, seal, verify
from egress_manager.flows.audit.doors import Sealers
from egress_manager.flows.audit.seal import Sealing
from egress_manager.testing import (
    FixedClock,
    MemoryAudit,
    MemoryCalls,
    MemoryFiles,
    MemoryRecordings,
    MemorySidecars,
    MemoryWaiting,
)

NOON = datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=UTC)
MIX, TRACK = "/recordings/room/a.mp4", "/recordings/room/a.tracks/TR_1.ogg"
RECORDING = Recording(
    "rec_1",
    "call_1",
    "EG_1",
    "builtin",
    "palombia",
    Observation(State.CAPTURED, NOON),
    NOON,
    state=State.VERIFIED,
    since=NOON,
    filepath=MIX,
    tracks=(TrackFile("TR_1", "sip_1", "SIP", "left", TRACK), TrackFile("TR_2", "b", "", "")),
)
CALL = Call(
    "call_1", Room("palombia"), "sip_1", (Stay("PA_1"),), NOON, NOON, left_at=NOON, reason=""
)


@dataclass
class Vault:
    """A house of fakes in which things are over, and its sweep."""

    doors: Sealers
    recordings: MemoryRecordings
    calls: MemoryCalls
    audit: MemoryAudit
    sidecars: MemorySidecars
    clock: FixedClock
    sealing: Sealing

    async def seals(self) -> None:
        """Whatever waits."""
        for _ in range(20):
            if not await self.sealing.turn(self.doors):
                return
        raise AssertionError("it never comes to its end")

    async def finds(self, **how: Any) -> list[tuple[Trouble, int | None, str]]:
        """What an audit names, and nothing of it twice."""
        told: list[Any] = []
        found = await verify.verify(self.doors, told.append, **how)
        assert told == found.findings
        assert len(set(told)) == len(told)
        return [(each.trouble, each.entry, each.path or each.subject) for each in told]

    async def changes(self, **fields: Any) -> None:
        """The service changes the recording's document."""
        await self.recordings.save(replace(self.recordings.kept["rec_1"], **fields))

    def kinds(self, subject: str = "rec_1") -> list[Kind]:
        """Why there are entries about it."""
        entries = (entry_of(facts) for _, facts in sorted(self.audit.kept.items()))
        return [each.kind for each in entries if each and each.content.subject == subject]


@pytest.fixture
def vault() -> Vault:
    """A finished recording with two files, and its call, a minute ago."""
    recordings, calls = MemoryRecordings({"rec_1": RECORDING}), MemoryCalls({"call_1": CALL})
    audit, clock = MemoryAudit(), FixedClock(NOON + timedelta(minutes=1))
    sidecars = MemorySidecars({MIX: b"both", TRACK: b"one"})
    doors = Sealers(
        recordings=recordings,
        calls=calls,
        waiting=MemoryWaiting(recordings, calls),
        audit=audit,
        sidecars=sidecars,
        files=MemoryFiles(),
        clock=clock,
    )
    return Vault(doors, recordings, calls, audit, sidecars, clock, Sealing())


class TestSealing:
    """One turn after the other."""

    async def test_a_recording_is_sealed_once_with_its_files(self, vault: Vault) -> None:
        """The document says what its files hold and which entry seals it; so does the sidecar."""
        await vault.seals()
        await vault.seals()

        recording = vault.recordings.kept["rec_1"]
        assert vault.kinds() == vault.kinds("call_1") == [Kind.SEALED]
        assert recording.seal is not None
        assert recording.seal.hash == vault.audit.kept[recording.seal.number]["hash"]
        assert not recording.is_unsealed
        assert all(len(each) == 64 for each in (recording.sha256, recording.tracks[0].sha256))
        assert recording.tracks[1].sha256 == ""
        assert vault.sidecars.kept[f"{MIX}.json"].recording == recording
        assert (
            vault.sidecars.kept[f"/recordings/{by_id('call_1')}"].call == vault.calls.kept["call_1"]
        )
        assert await vault.finds(known=recording.seal.hash) == []

    async def test_a_call_that_is_only_just_over_waits(self, vault: Vault) -> None:
        """News of its end may be on their way; its recording does not wait for that."""
        vault.clock.at = NOON + timedelta(seconds=5)

        await vault.seals()
        assert (vault.kinds(), vault.kinds("call_1")) == ([Kind.SEALED], [])

        vault.clock.pass_(seconds=6)
        await vault.seals()
        assert vault.kinds("call_1") == [Kind.SEALED]

    @pytest.mark.parametrize("state", [State.FAILED, State.ABORTED])
    async def test_what_has_no_file_is_sealed_too(self, vault: Vault, state: State) -> None:
        """Its facts are, with the reason; its sidecar lies by its id."""
        await vault.changes(state=state, filepath=None, tracks=(), reason="no_audio")

        await vault.seals()

        assert vault.kinds() == [Kind.SEALED]
        assert f"/recordings/{by_id('rec_1')}" in vault.sidecars.kept
        assert await vault.finds() == []

    async def test_what_goes_on_is_not_sealed(self, vault: Vault) -> None:
        """Neither a recording nor a call."""
        await vault.changes(state=State.ACTIVE)
        await vault.calls.save(replace(vault.calls.kept["call_1"], left_at=None))

        await vault.seals()

        assert not vault.audit.kept
        assert await vault.finds() == []

    async def test_what_was_changed_is_sealed_again_and_the_older_entry_stays(
        self, vault: Vault
    ) -> None:
        """A verdict, a new name, a file that was made again: each leaves an entry that says so."""
        await vault.seals()
        await vault.changes(verdict=Verdict.VERIFIED)
        await vault.seals()
        moved = "/recordings/other/b.mp4"
        vault.sidecars.content[moved] = vault.sidecars.content.pop(MIX)
        await vault.changes(filepath=moved)
        await vault.seals()
        vault.sidecars.content[moved] = b"both, and more"
        await vault.changes(since=NOON + timedelta(seconds=9))
        await vault.seals()

        assert vault.kinds() == [Kind.SEALED, Kind.CHANGED, Kind.MOVED, Kind.MADE_AGAIN]
        assert f"{MIX}.json" not in vault.sidecars.kept
        assert len(vault.sidecars.kept[f"{moved}.json"].entries) == 4
        assert await vault.finds() == []

    async def test_what_is_no_fact_leaves_no_entry(self, vault: Vault) -> None:
        """The document was looked at: its seal is of that version then."""
        await vault.seals()

        await vault.changes(attempts=3)
        assert vault.recordings.kept["rec_1"].is_unsealed
        await vault.seals()

        assert vault.kinds() == [Kind.SEALED]
        assert not vault.recordings.kept["rec_1"].is_unsealed

    async def test_who_changes_it_meanwhile_has_it_sealed_as_it_is_then(self, vault: Vault) -> None:
        """What was hashed is not taken for what is there now."""
        plain = vault.sidecars.fingerprint

        async def meanwhile(path: str) -> Any:
            if path == MIX and vault.recordings.kept["rec_1"].verdict is Verdict.PENDING:
                await vault.changes(verdict=Verdict.FLAWED)
            return await plain(path)

        vault.sidecars.fingerprint = meanwhile  # type: ignore[method-assign]
        await vault.seals()

        sidecar = vault.sidecars.kept[f"{MIX}.json"]
        assert sidecar.recording == vault.recordings.kept["rec_1"]
        assert sidecar.recording.verdict is Verdict.FLAWED
        assert vault.kinds() == [Kind.SEALED]
        assert await vault.finds() == []

    async def test_what_can_not_be_sealed_does_not_hold_up_the_others(self, vault: Vault) -> None:
        """It is tried again after a while."""
        plain, broken = vault.sidecars.fingerprint, True

        async def failing(path: str) -> Any:
            if broken and path == MIX:
                raise StorageFailed("the disk is ill")
            return await plain(path)

        vault.sidecars.fingerprint = failing  # type: ignore[method-assign]
        await vault.seals()
        assert (vault.kinds(), vault.kinds("call_1")) == ([], [Kind.SEALED])

        broken = False
        await vault.seals()
        assert vault.kinds() == []
        vault.clock.pass_(minutes=2)
        await vault.seals()
        assert vault.kinds() == [Kind.SEALED]

    async def test_a_store_that_is_away_is_said(self, vault: Vault) -> None:
        """The sweep tries again."""
        vault.recordings.away = True

        with pytest.raises(StoreUnavailable):
            await vault.seals()

    async def test_a_file_in_storage_elsewhere_is_sealed_by_its_name(self, vault: Vault) -> None:
        """What can't be read from here is counted, and no fault."""
        await vault.changes(filepath="https://s3.example/a.mp4")

        await vault.seals()

        found = await verify.verify(vault.doors, lambda finding: None)
        assert (found.findings, found.elsewhere, found.files) == ([], 1, 1)

    async def test_it_may_die_anywhere(self, vault: Vault) -> None:
        """Whatever step is the last: done again, there is one entry about each, all is whole."""
        first = vault.recordings.kept["rec_1"], vault.calls.kept["call_1"]
        steps = 0
        while True:
            vault.recordings.kept["rec_1"], vault.calls.kept["call_1"] = first
            vault.audit.kept.clear()
            vault.sidecars.kept.clear()
            try:
                await Sealing().turn(mortal(vault.doors, steps))
            except Killed:
                steps += 1
            else:
                break
            await vault.seals()
            assert vault.kinds() == vault.kinds("call_1") == [Kind.SEALED]
            assert await vault.finds() == []
        assert steps > 20


class Killed(BaseException):
    """As by kill -9."""


def mortal(doors: Sealers, steps: int) -> Sealers:
    """The doors, of which so many can be opened; half of the others do what they are asked to."""
    left = [steps]

    class Door:
        def __init__(self, door: Any) -> None:
            self.door = door

        def __getattr__(self, name: str) -> Any:
            verb = getattr(self.door, name)
            return counted(verb) if inspect.iscoroutinefunction(verb) else verb

    def counted(verb: Callable[..., Any]) -> Any:
        async def through(*arguments: Any) -> Any:
            step()
            done = await verb(*arguments)
            step()
            return done

        return through

    def step() -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    names = ("recordings", "calls", "waiting", "audit", "sidecars")
    return replace(doors, **{name: Door(getattr(doors, name)) for name in names})


async def test_the_mix_that_a_repair_replaced_is_sealed_too(vault: Vault) -> None:
    """It is kept as evidence: who changes it is found."""
    first = "/recordings/first.mp4"
    vault.sidecars.content[first] = b"with a fault"
    await vault.changes(repaired_from=first)
    await vault.seals()
    assert await vault.finds() == []

    vault.sidecars.content[first] = b"without"
    ((trouble, _, path),) = await vault.finds()
    assert (trouble, path) == (Trouble.FILE_CHANGED, first)


class TestVerifying:
    """Everything that is done to what is sealed, behind the service's back."""

    @pytest.fixture
    async def sealed(self, vault: Vault) -> Vault:
        """Recording and call, sealed: the entries are 1 and 2."""
        await vault.seals()
        assert await vault.finds() == []
        return vault

    async def test_a_file_is_named(self, sealed: Vault) -> None:
        """Changed, gone, or there where none was."""
        sealed.sidecars.content[MIX] = b"bath"
        assert await sealed.finds() == [(Trouble.FILE_CHANGED, 1, MIX)]
        assert await sealed.finds(with_files=False) == []

        del sealed.sidecars.content[MIX]
        assert await sealed.finds() == [(Trouble.FILE_MISSING, 1, MIX)]

    async def test_a_file_that_was_not_there_is_named(self, vault: Vault) -> None:
        """It was sealed that there is none."""
        del vault.sidecars.content[TRACK]
        await vault.seals()
        vault.sidecars.content[TRACK] = b"where from?"

        assert await vault.finds() == [(Trouble.FILE_INSERTED, 1, TRACK)]

    @pytest.mark.parametrize("field", [{"duration_sec": 1.0}, {"sha256": "a"}, {"seal": None}])
    async def test_a_document_is_named(self, sealed: Vault, field: dict[str, Any]) -> None:
        """Changed without its version; or without its seal, as if it were new."""
        recording = sealed.recordings.kept["rec_1"]
        sealed.recordings.kept["rec_1"] = replace(recording, **field)

        found = await verify.verify(sealed.doors, lambda finding: None)

        if "seal" in field:
            assert (found.findings, found.waiting) == ([], ["rec_1"])
        else:
            assert [each.trouble for each in found.findings] == [Trouble.DOCUMENT_CHANGED]

    async def test_documents_that_are_gone_or_came_from_nowhere_are_named(
        self, sealed: Vault
    ) -> None:
        """Removed from the database, or put there with somebody else's seal."""
        recording = sealed.recordings.kept.pop("rec_1")
        sealed.recordings.kept["rec_2"] = replace(recording, id="rec_2")

        assert await sealed.finds() == [
            (Trouble.DOCUMENT_MISSING, 1, "rec_1"),
            (Trouble.DOCUMENT_INSERTED, None, "rec_2"),
        ]

    async def test_entries_are_named_and_nobody_else(self, sealed: Vault) -> None:
        """A changed entry, a removed one, and an end that was cut off."""
        whole = dict(sealed.audit.kept)
        sealed.audit.kept[1] = {**whole[1], "facts_sha256": "0"}
        assert await sealed.finds() == [(Trouble.ENTRY_CHANGED, 1, "rec_1")]

        for number in (1, 2):
            sealed.audit.kept = dict(whole)
            del sealed.audit.kept[number]
            named = [(trouble, entry) for trouble, entry, _ in await sealed.finds()]
            assert named == [(Trouble.ENTRY_REMOVED, number)]

    async def test_a_whole_new_chain_is_known_by_the_sidecars(self, sealed: Vault) -> None:
        """Who made everything in the database anew has not made the disk anew."""
        forged = {**sealed.audit.kept[1], "facts_sha256": "0"}
        forged["hash"] = hash_of(forged)
        second = {**sealed.audit.kept[2], "previous": forged["hash"]}
        second["hash"] = hash_of(second)
        sealed.audit.kept = {1: forged, 2: second}

        found = await sealed.finds()

        assert (Trouble.ENTRY_REPLACED, 1, f"{MIX}.json") in found
        assert (Trouble.ENTRY_REPLACED, 2, f"/recordings/{by_id('call_1')}") in found

    async def test_a_sidecar_is_named(self, sealed: Vault) -> None:
        """Changed, its call's part too, gone, or damaged."""
        path = f"{MIX}.json"
        whole = sealed.sidecars.kept[path]
        assert whole.recording is not None
        assert whole.call is not None
        for forged in (
            replace(whole, recording=replace(whole.recording, room_name="elsewhere")),
            replace(whole, call=replace(whole.call, caller_number="+1")),
            replace(whole, entries=({**whole.entries[0], "kind": "moved"},)),
            replace(whole, entries=()),
            replace(whole, recording=None),
        ):
            sealed.sidecars.kept[path] = forged
            assert await sealed.finds() == [(Trouble.SIDECAR_CHANGED, 1, MIX)]
        del sealed.sidecars.kept[path]
        sealed.sidecars.illegible[path] = "it is no JSON"
        assert await sealed.finds() == [
            (Trouble.SIDECAR_UNREADABLE, None, path),
            (Trouble.SIDECAR_MISSING, 1, MIX),
        ]

    async def test_other_content_does_not_pass_for_a_change_of_name(self, sealed: Vault) -> None:
        """Who exchanges a file and has the service seal it again is named all the same."""
        sealed.sidecars.content[MIX] = b"bath"
        await sealed.changes(reason="just so")
        await sealed.seals()

        assert await sealed.finds() == [(Trouble.CONTENT_REPLACED, 3, MIX)]

    async def test_what_the_service_changed_waits_and_is_no_fault(self, sealed: Vault) -> None:
        """It is said which; it is sealed again in a moment."""
        await sealed.changes(verdict=Verdict.VERIFIED)

        found = await verify.verify(sealed.doors, lambda finding: None)

        assert (found.findings, found.waiting, found.entries) == ([], ["rec_1"], 2)


class TestRebuilding:
    """A database made of sidecars."""

    async def test_an_empty_database_gets_all_that_was_there(self, vault: Vault) -> None:
        """Documents with their versions and seals, and every entry; a dry run changes nothing."""
        await vault.seals()
        await vault.changes(verdict=Verdict.VERIFIED)
        await vault.seals()
        was = vault.recordings.kept, vault.calls.kept, vault.audit.kept
        vault.recordings.kept, vault.calls.kept, vault.audit.kept = {}, {}, {}

        for is_meant in (False, True):
            assert not vault.audit.kept
            told = await rebuild.rebuild(
                vault.sidecars, vault.doors, lambda trouble: None, is_meant=is_meant
            )
            assert (told.recordings, told.calls, told.entries, told.known) == (1, 1, 3, 0)
            assert (told.missing, told.troubles) == ([], [])

        assert (vault.recordings.kept, vault.calls.kept, vault.audit.kept) == was
        assert await vault.finds() == []

    async def test_what_is_there_stays_as_it_is(self, vault: Vault) -> None:
        """Also where a sidecar says something else; done twice it does nothing."""
        await vault.seals()
        was = dict(vault.recordings.kept), dict(vault.audit.kept)
        del vault.calls.kept["call_1"]

        told = [
            await rebuild.rebuild(vault.sidecars, vault.doors, lambda trouble: None, is_meant=True)
            for _ in range(2)
        ]

        assert [(each.calls, each.recordings, each.known) for each in told] == [
            (1, 0, 1),
            (0, 0, 2),
        ]
        assert (vault.recordings.kept, vault.audit.kept) == was

    async def test_what_is_missing_or_wrong_is_named(self, vault: Vault) -> None:
        """A sidecar that was lost, one that can't be read, one that was changed, taken numbers."""
        await vault.seals()
        call_path, path = f"/recordings/{by_id('call_1')}", f"{MIX}.json"
        del vault.sidecars.kept[call_path]
        vault.sidecars.illegible[call_path] = "it is no JSON"
        whole = vault.sidecars.kept[path]
        assert whole.recording is not None
        forged = replace(whole.recording, room_name="elsewhere")
        late = ({**whole.entries[0], "number": 3, "hash": "x"},)
        vault.sidecars.kept[path] = replace(whole, recording=forged, entries=late)
        vault.recordings.kept, vault.calls.kept, vault.audit.kept = (
            {},
            {},
            {3: {**late[0], "subject": "x"}},
        )

        told = await rebuild.rebuild(
            vault.sidecars, vault.doors, lambda trouble: None, is_meant=True
        )

        assert [(each.path, each.why) for each in told.troubles] == [
            (call_path, "it is no JSON"),
            (path, rebuild.DIFFERS),
            (path, rebuild.TAKEN.format(what="entry 3")),
        ]
        assert told.missing == [(1, 2)]
        assert vault.recordings.kept == {"rec_1": forged}
        assert vault.calls.kept == {"call_1": whole.call}


async def test_the_newest_entry_can_be_noted(vault: Vault) -> None:
    """As `/health` says it."""
    assert await seal.newest(vault.doors) == "no entry yet"
    await vault.seals()
    assert await seal.newest(vault.doors) == f"entry 2, {vault.audit.kept[2]['hash']}"

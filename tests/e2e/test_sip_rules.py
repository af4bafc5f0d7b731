"""`egress-manager sip` on a real livekit-server: what it shows, changes, and puts back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from livekit import api
from livekit.protocol import egress, room, sip

from egress_manager.adapters.livekit_sip import LiveKitSip
from egress_manager.domain.dispatch import Kind
from egress_manager.errors import LiveKitRefused, LiveKitUnavailable
from egress_manager.flows.migration.doors import DispatchRules
from egress_manager.testing import MemoryDispatchRules
from lab.servers import API_KEY, API_SECRET, LiveKit, Redis
from tests.unit.migration.memory import direct
from tests.unit.migration.terminal import Said, Terminal

#: A field that no version knows: number 999, with the text "newer".
NEWER = b"\xba\x3e\x05newer"
FIXED = "friday-assistant-room"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveKit]:
    """A livekit-server with Redis, which SIP needs."""
    redis = Redis()
    livekit = LiveKit(redis=redis)
    asyncio.run(redis.start())
    asyncio.run(livekit.start())
    yield livekit
    asyncio.run(livekit.close())
    asyncio.run(redis.close())


@dataclass
class Sip:
    """The server's rules as anybody sees them over its API, and our command line."""

    livekit: LiveKit
    directory: Path
    terminal: Terminal

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[api.LiveKitAPI]:
        """The API."""
        key, secret = self.livekit.api_key, self.livekit.api_secret
        async with api.LiveKitAPI(self.livekit.http_url, key, secret) as livekit:
            yield livekit

    def make(self, info: Any) -> str:
        """A new rule's id."""
        return str(asyncio.run(self._make(info)).sip_dispatch_rule_id)

    async def _make(self, info: Any) -> Any:
        async with self.asked() as livekit:
            request = sip.CreateSIPDispatchRuleRequest(dispatch_rule=info)
            return await livekit.sip.create_dispatch_rule(request)

    def rename(self, rule_id: str, name: str) -> None:
        """As somebody else would."""
        asyncio.run(self._rename(rule_id, name))

    async def _rename(self, rule_id: str, name: str) -> None:
        async with self.asked() as livekit:
            await livekit.sip.update_dispatch_rule_fields(rule_id, name=name)

    def rules(self) -> dict[str, Any]:
        """What the server has, by id."""
        return {each.sip_dispatch_rule_id: each for each in asyncio.run(self._rules())}

    def bytes(self) -> dict[str, bytes]:
        """The same, byte for byte."""
        rules = self.rules().items()
        return {name: each.SerializeToString(deterministic=True) for name, each in rules}

    async def _rules(self) -> list[Any]:
        async with self.asked() as livekit:
            listed = await livekit.sip.list_dispatch_rule(sip.ListSIPDispatchRuleRequest())
        return list(listed.items)

    def clear(self) -> None:
        """No rules."""
        asyncio.run(self._clear())

    async def _clear(self) -> None:
        for rule in await self._rules():
            async with self.asked() as livekit:
                await livekit.sip.delete_dispatch_rule(
                    sip.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule.sip_dispatch_rule_id)
                )

    def types(self, *arguments: str, **settings: str) -> Said:
        """`egress-manager sip`."""
        return self.terminal.types("sip", *arguments, **settings)

    def says(self, *arguments: str, **settings: str) -> str:
        """What it says when all is well."""
        said = self.types(*arguments, **settings)
        assert said.code == 0, said.error
        return said.out

    def tells(self, *arguments: str) -> dict[str, Any]:
        """The same for scripts."""
        told: dict[str, Any] = json.loads(self.says(*arguments, "--json"))
        return told


@pytest.fixture
def terminal(
    server: LiveKit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    """With the settings of a service beside that server."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "RECORDINGS_DIR": str(tmp_path / "recordings"),
    }
    return Terminal(monkeypatch, capsys, settings)


@pytest.fixture
def sip_(server: LiveKit, tmp_path: Path, terminal: Terminal) -> Iterator[Sip]:
    """A server without rules."""
    sip_ = Sip(server, tmp_path / "recordings", terminal)
    sip_.clear()
    yield sip_
    sip_.clear()


def full(**fields: Any) -> Any:
    """A rule of the direct kind with everything that a rule can have."""
    mixed = egress.RoomCompositeEgressRequest(
        audio_only=True, file_outputs=[egress.EncodedFileOutput(filepath="/rec/{room_name}.ogg")]
    )
    given: dict[str, Any] = {
        "name": "friday",
        "trunk_ids": ["ST_one", "ST_two"],
        "numbers": ["+15557650000"],
        "inbound_numbers": ["+15550100"],
        "metadata": '{"tenant": "acme"}',
        "attributes": {"tenant": "acme", "queue": "sales", "a": "1"},
        "hide_phone_number": True,
        "room_preset": "audio",
        "krisp_enabled": True,
        "room_config": room.RoomConfiguration(
            departure_timeout=2,
            agents=[api.RoomAgentDispatch(agent_name="assistant", metadata="m")],
            egress=room.RoomEgress(room=mixed),
        ),
    }
    info = sip.SIPDispatchRuleInfo(**(given | fields))
    if not info.HasField("rule"):
        info.rule.dispatch_rule_direct.room_name = FIXED
    info.MergeFromString(NEWER)
    return info


def test_a_rule_is_changed_as_a_whole_and_put_back_byte_for_byte(sip_: Sip) -> None:
    """Everything but the way to its room stays, also what is newer than we are."""
    rule_id = sip_.make(full())
    before = sip_.bytes()

    sip_.says("apply", "--yes")
    (after,) = sip_.rules().values()
    expected = sip.SIPDispatchRuleInfo.FromString(before[rule_id])
    expected.rule.dispatch_rule_individual.room_prefix = "call-"

    assert after.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )
    assert b"newer" in after.SerializeToString()
    assert after.room_config.agents[0].agent_name == "assistant"
    sip_.says("undo", "--yes")
    assert sip_.bytes() == before


def test_without_a_word_that_it_is_meant_nothing_changes(sip_: Sip) -> None:
    """Neither by plan, nor by apply, nor by undo; and nothing is kept."""
    rule_id = sip_.make(full())
    before = sip_.bytes()

    for verb in ("plan", "apply"):
        said = sip_.says(verb)
        assert f"friday ({rule_id}): a room for each call" in said
        assert f"  - rule.dispatch_rule_direct.room_name = {FIXED}" in said
        assert "  + rule.dispatch_rule_individual.room_prefix = call-" in said
        assert "call-_<last digits>_<random>" in said
        assert said.endswith("Nothing was changed. Do it with --yes.\n")
    assert not (sip_.directory / ".sip").exists()
    sip_.says("apply", "--yes")
    changed = sip_.bytes()
    assert "is put back" in sip_.says("undo")

    assert sip_.bytes() == changed != before


def test_a_pin_stays_and_nobody_sees_it(sip_: Sip) -> None:
    """On the terminal it is masked; kept it is, where only the owner reads."""
    info = full(name="conference")
    info.rule.dispatch_rule_direct.pin = "47114711"
    sip_.make(info)

    shown = sip_.says("show") + sip_.says("show", "--json") + sip_.says("plan")
    applied = sip_.says("apply", "--yes") + sip_.says("undo")

    (after,) = sip_.rules().values()
    assert after.rule.dispatch_rule_individual.pin == "47114711"
    assert "47114711" not in shown + applied
    assert "callers who met in" in shown
    (book,) = (sip_.directory / ".sip").glob("*.jsonl")
    assert "47114711" in book.read_text()
    assert book.stat().st_mode & 0o077 == 0


def test_other_kinds_are_left_alone_and_said_to_be(sip_: Sip) -> None:
    """And ids restrict what is changed, and a prefix is ours to choose."""
    individual, callee, other = full(name="own"), full(name="desk"), full(name="other")
    individual.rule.dispatch_rule_individual.room_prefix = "call"
    callee.rule.dispatch_rule_callee.room_prefix = "desk"
    individual.trunk_ids[:], callee.trunk_ids[:], other.trunk_ids[:] = ["A"], ["B"], ["C"]
    sip_.make(individual)
    sip_.make(callee)
    here, there = sip_.make(full()), sip_.make(other)
    before = sip_.bytes()

    told = sip_.tells("apply", here, "--prefix", "line", "--yes")

    changed = {name for name, now in sip_.bytes().items() if now != before[name]}
    assert changed == {here}
    assert sip_.rules()[here].rule.dispatch_rule_individual.room_prefix == "line"
    assert [change["rule_id"] for change in told["changes"]] == [here]
    planned = sip_.tells("plan")
    assert [change["rule_id"] for change in planned["changes"]] == [there]
    assert {left["name"] for left in planned["left_alone"]} == {"own", "desk", "friday"}


def test_what_somebody_changed_since_is_not_overwritten_unless_told(sip_: Sip) -> None:
    """It is shown, and kept."""
    rule_id = sip_.make(full())
    before = sip_.bytes()
    sip_.says("apply", "--yes")
    sip_.rename(rule_id, "saturday")
    changed = sip_.bytes()

    refused = sip_.types("undo", "--yes")

    assert refused.code == 1
    assert "  - name = saturday\n  + name = friday" in refused.out
    assert "changed by somebody since" in refused.error
    assert sip_.bytes() == changed
    sip_.says("undo", "--yes", "--force")
    assert sip_.bytes() == before
    kept = "".join(path.read_text() for path in (sip_.directory / ".sip").glob("*.jsonl"))
    assert "saturday" in kept
    assert "Nothing is to be changed." in sip_.says("undo", "--yes")


def test_a_policy_that_would_miss_the_new_rooms_is_warned_of(sip_: Sip) -> None:
    """From the settings of the service."""
    sip_.make(full())
    settings = {"EGRESS_MANAGER_RECORD": "rooms", "EGRESS_MANAGER_RECORD_ROOMS": FIXED}

    assert "would not be recorded any more" in sip_.says("plan", **settings)
    assert "would not be recorded any more" not in sip_.says("plan")


def test_trunks_and_rules_are_shown_without_passwords(sip_: Sip) -> None:
    """As tables, and for scripts."""
    trunk_id = asyncio.run(_make_trunks(sip_))
    sip_.make(full(trunk_ids=[trunk_id]))

    table, told = sip_.says("show"), sip_.tells("show")

    lines = [line.split() for line in table.splitlines()]
    assert [trunk_id, "inbound", "carrier", "+15557650000", "127.0.0.1/32", "yes"] in lines
    assert any(line[1:4] == ["friday", "direct", FIXED] for line in lines if len(line) > 4)
    assert "hunter2" not in table + json.dumps(told)
    assert {trunk["direction"] for trunk in told["trunks"]} == {"inbound", "outbound"}
    (rule,) = told["rules"]
    assert (rule["room"], rule["agents"], rule["has_pin"]) == (FIXED, ["assistant"], False)


async def _make_trunks(sip_: Sip) -> str:
    """One of each direction; the inbound one's id."""
    inbound = sip.SIPInboundTrunkInfo(
        name="carrier",
        numbers=["+15557650000"],
        allowed_addresses=["127.0.0.1/32"],
        auth_username="u",
        auth_password="hunter2",
    )
    outbound = sip.SIPOutboundTrunkInfo(
        name="out", address="sip.example.com", numbers=["+15557650001"], auth_password="hunter2"
    )
    async with sip_.asked() as livekit:
        made = await livekit.sip.create_inbound_trunk(
            sip.CreateSIPInboundTrunkRequest(trunk=inbound)
        )
        await livekit.sip.create_outbound_trunk(sip.CreateSIPOutboundTrunkRequest(trunk=outbound))
    return str(made.sip_trunk_id)


class TestTrouble:
    """What goes wrong is one sentence."""

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["apply", "SDR_nobody"], "LiveKit has no dispatch rule SDR_nobody"),
            (["plan", "--prefix", "a b"], "the prefix can't be used"),
            (["undo"], "there is nothing to undo"),
            (["undo", "0007"], "there is no run 0007"),
        ],
    )
    def test_what_cannot_be_done(self, sip_: Sip, arguments: list[str], sentence: str) -> None:
        """With an exit code for scripts."""
        said = sip_.types(*arguments)

        assert said.code == 1
        assert said.error.startswith(f"egress-manager: {sentence}")

    def test_a_server_without_redis_has_no_sip(
        self, livekit_server: LiveKit, terminal: Terminal
    ) -> None:
        """Which is said, with the remedy."""
        said = terminal.types("sip", "show", LIVEKIT_URL=livekit_server.url)

        assert said.code == 1
        assert "livekit-server has no SIP: it needs Redis" in said.error

    def test_a_wrong_key(self, sip_: Sip) -> None:
        """The remedy names the settings."""
        said = sip_.types("show", LIVEKIT_API_SECRET="wrong" * 8)

        assert said.code == 1
        assert "check LIVEKIT_API_KEY and _SECRET" in said.error


@pytest.fixture(params=["memory", "livekit"])
async def doors(
    request: pytest.FixtureRequest, server: LiveKit, tmp_path: Path, terminal: Terminal
) -> AsyncIterator[DispatchRules]:
    """One direct rule, behind the fake and behind the adapter."""
    if request.param == "memory":
        yield MemoryDispatchRules({"SDR_1": direct()})
        return
    sip_ = Sip(server, tmp_path, terminal)
    await sip_._clear()
    info = sip.SIPDispatchRuleInfo(name="friday")
    info.rule.dispatch_rule_direct.room_name = FIXED
    await sip_._make(info)
    rules = LiveKitSip(server.http_url, server.api_key, server.api_secret)
    yield rules
    await rules.aclose()
    await sip_._clear()


class TestDoors:
    """The contract of `DispatchRules`, held by the fake and by LiveKit alike."""

    async def test_a_rule_is_replaced_and_read_again(self, doors: DispatchRules) -> None:
        """Whole: what was sent is what is there."""
        (before,) = await doors.rules()
        wanted = doors.with_room_per_call(before, "call-")

        await doors.replace(wanted)

        (after,) = await doors.rules()
        assert (before.kind, before.room) == (Kind.DIRECT, FIXED)
        assert (after.kind, after.room) == (Kind.INDIVIDUAL, "call-")
        assert (after.mark, after.name, after.id) == (wanted.mark, before.name, before.id)
        assert before.mark != after.mark

    async def test_a_rule_that_was_kept_is_the_same_rule(self, doors: DispatchRules) -> None:
        """By its message alone."""
        (rule,) = await doors.rules()

        assert doors.read(rule.message) == rule

    async def test_a_rule_that_there_is_not_cannot_be_replaced(self, doors: DispatchRules) -> None:
        """Nor is one made."""
        (rule,) = await doors.rules()

        with pytest.raises(LiveKitRefused):
            await doors.replace(replace(rule, id="SDR_nobody"))
        assert [each.id for each in await doors.rules()] == [rule.id]


async def test_a_server_that_does_not_run_is_said_so() -> None:
    """As everywhere else."""
    rules = LiveKitSip("http://127.0.0.1:9", API_KEY, API_SECRET)
    try:
        with pytest.raises(LiveKitUnavailable):
            await rules.rules()
    finally:
        await rules.aclose()

"""livekit-sip beside a livekit-server, where it is on PATH: telephones call into rooms through it.

async with (
    Redis() as redis,
    LiveKit(redis=redis) as livekit,
    LiveKitSip(livekit, redis),
    Phone(livekit, "call-1", number="+15550100") as phone,
):
    await phone.answered()
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
from livekit import api

from lab.ports import LOOPBACK, free_port
from lab.processes import START_TIMEOUT, Server
from lab.programs import ProgramMissing
from lab.servers import LiveKit, Redis
from lab.tokens import Rooms
from lab.web import NO_TLS

#: Where the lab's telephones come from, as LiveKit knows it.
TRUNK = "lab"
_ASK_TIMEOUT = 5.0
#: Room for many calls: a port is not used again for half a minute.
_RTP_PORTS = 300


def real_livekit_sip() -> Path | None:
    """The livekit-sip on PATH."""
    found = shutil.which("livekit-sip")
    return Path(found) if found else None


class LiveKitSip(Server):
    """A SIP bridge into the rooms of `livekit`; both need the same `redis`.

    While it is there, a `Phone` of that server is a telephone that calls through it. It lets in
    whoever calls from loopback, and `lead` says into which room.
    """

    name = "livekit-sip"

    def __init__(self, livekit: LiveKit, redis: Redis) -> None:
        super().__init__()
        self._livekit = livekit
        self._redis = redis
        self.port = free_port()
        self._health_port = free_port()
        self._rtp_port = free_port()

    async def start(self, timeout: float = START_TIMEOUT) -> None:
        await super().start(timeout)
        await let_in(self._livekit)
        self._livekit.sip_port = self.port

    async def close(self) -> None:
        self._livekit.sip_port = None
        await super().close()

    def command(self) -> list[str]:
        program = real_livekit_sip()
        if program is None:
            raise ProgramMissing("livekit-sip is not on PATH")
        file = self.directory / "sip.yaml"
        # JSON is YAML too.
        file.write_text(json.dumps(self._configuration(), indent=1))
        return [str(program), "--config", str(file)]

    async def answers(self) -> bool:
        try:
            async with httpx2.AsyncClient(verify=NO_TLS, timeout=_ASK_TIMEOUT) as client:
                return (await client.get(f"http://{LOOPBACK}:{self._health_port}")).is_success
        except httpx2.TransportError:
            return False

    def _configuration(self) -> dict[str, Any]:
        return {
            "ws_url": self._livekit.url,
            "api_key": self._livekit.api_key,
            "api_secret": self._livekit.api_secret,
            "redis": {"address": self._redis.address},
            "health_port": self._health_port,
            "sip_port": self.port,
            "rtp_port": f"{self._rtp_port}-{self._rtp_port + _RTP_PORTS}",
            "use_external_ip": False,
            # Else it takes an address of the machine that is not loopback.
            "nat_1_to_1_ip": LOOPBACK,
            "listen_ip": LOOPBACK,
            # A busy machine is no reason not to take a test's call.
            "max_cpu_utilization": 1,
            "logging": {"level": "info"},
        }


async def let_in(rooms: Rooms) -> None:
    """Let telephones of this machine call; harmless when they may already."""
    async with _asking(rooms) as livekit:
        if await _trunk(livekit) is None:
            trunk = api.SIPInboundTrunkInfo(name=TRUNK, allowed_addresses=[f"{LOOPBACK}/32"])
            request = api.CreateSIPInboundTrunkRequest(trunk=trunk)
            await livekit.sip.create_inbound_trunk(request)


async def lead(rooms: Rooms, number: str, room: str) -> str:
    """Have calls of a number led into one room; returns the dispatch rule's id.

    Raises `livekit.api.TwirpError` where there is a rule for that number already.
    """
    direct = api.SIPDispatchRuleDirect(room_name=room)
    return await _rule(rooms, [number], api.SIPDispatchRule(dispatch_rule_direct=direct))


async def lead_to_own_rooms(rooms: Rooms, prefix: str, *numbers: str) -> str:
    """Have each call of these numbers (none: of all) led into a room of its own.

    Its name is the prefix, the number and something random; returns the dispatch rule's id.
    """
    individual = api.SIPDispatchRuleIndividual(room_prefix=prefix)
    rule = api.SIPDispatchRule(dispatch_rule_individual=individual)
    return await _rule(rooms, numbers, rule)


async def forget(rooms: Rooms, rule_id: str) -> None:
    """Delete a dispatch rule; calls that are there stay. Harmless when it is gone already."""
    request = api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id)
    async with _asking(rooms) as livekit:
        try:
            await livekit.sip.delete_dispatch_rule(request)
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:
                raise


async def _rule(rooms: Rooms, numbers: Sequence[str], rule: api.SIPDispatchRule) -> str:
    async with _asking(rooms) as livekit:
        trunk = await _trunk(livekit)
        if trunk is None:
            raise LookupError(f"there is no trunk {TRUNK!r}: let_in comes first")
        # With a trunk of its own a rule comes before those that a test makes for everybody.
        info = api.SIPDispatchRuleInfo(
            name=f"lab {' '.join(numbers)}",
            rule=rule,
            trunk_ids=[trunk],
            inbound_numbers=numbers,
        )
        request = api.CreateSIPDispatchRuleRequest(dispatch_rule=info)
        made = await livekit.sip.create_dispatch_rule(request)
        return str(made.sip_dispatch_rule_id)


async def _trunk(livekit: api.LiveKitAPI) -> str | None:
    """The id of the trunk that the lab's telephones come by."""
    listed = await livekit.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
    return next((str(t.sip_trunk_id) for t in listed.items if t.name == TRUNK), None)


def _asking(rooms: Rooms) -> api.LiveKitAPI:
    return api.LiveKitAPI(rooms.url, rooms.api_key, rooms.api_secret)

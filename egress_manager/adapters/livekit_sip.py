"""LiveKit's SIP trunks and dispatch rules, over its API (port `DispatchRules`; sip.admin right).

A rule is carried as LiveKit's own message, so that fields which are newer than this version come
through unchanged: protobuf keeps what it does not know. The API's update by fields can't carry all
of them (livekit.md 5.2), so rules are replaced as a whole.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from livekit import api
from livekit.protocol import sip

from egress_manager.adapters.livekit_api import LiveKitApi
from egress_manager.domain.calls import Direction
from egress_manager.domain.dispatch import DispatchRule, Trunk, rule_of
from egress_manager.errors import EgressManagerError, LiveKitRefused

#: What a server without Redis says of everything that concerns SIP.
_NO_SIP: Final = "sip not connected"

#: Twirp codes whose message says what is wrong with a rule: numbers and ids, no secrets.
_SAYS_WHY: Final = frozenset({"invalid_argument", "not_found"})

#: When a rule was stored is no part of what it is.
_TIMES: Final = ("created_at", "updated_at")


class LiveKitSip(LiveKitApi):
    """Reads trunks and rules, and replaces rules."""

    async def trunks(self) -> Sequence[Trunk]:
        async with self._telling() as livekit:
            inbound = await livekit.sip.list_inbound_trunk(sip.ListSIPInboundTrunkRequest())
            outbound = await livekit.sip.list_outbound_trunk(sip.ListSIPOutboundTrunkRequest())
        return [
            *(_trunk(info, Direction.INBOUND, info.allowed_addresses) for info in inbound.items),
            *(_trunk(info, Direction.OUTBOUND, [info.address]) for info in outbound.items),
        ]

    async def rules(self) -> Sequence[DispatchRule]:
        async with self._telling() as livekit:
            listed = await livekit.sip.list_dispatch_rule(sip.ListSIPDispatchRuleRequest())
        return [_rule(info) for info in listed.items]

    def read(self, message: bytes) -> DispatchRule:
        return _rule(sip.SIPDispatchRuleInfo.FromString(message))

    def with_room_per_call(self, rule: DispatchRule, prefix: str) -> DispatchRule:
        info = sip.SIPDispatchRuleInfo.FromString(rule.message)
        pin = info.rule.dispatch_rule_direct.pin
        info.rule.dispatch_rule_individual.CopyFrom(
            sip.SIPDispatchRuleIndividual(room_prefix=prefix, pin=pin)
        )
        return _rule(info)

    async def replace(self, rule: DispatchRule) -> None:
        async with self._telling() as livekit:
            await livekit.sip.update_dispatch_rule(
                rule.id, sip.SIPDispatchRuleInfo.FromString(rule.message)
            )

    @asynccontextmanager
    async def _telling(self) -> AsyncIterator[api.LiveKitAPI]:
        """The API; where it says what is wrong with a rule, so do we."""
        try:
            async with self.asking() as livekit:
                yield livekit
        except EgressManagerError as error:
            said = getattr(error.__cause__, "message", "")
            if _NO_SIP in said:
                raise LiveKitRefused(
                    "livekit-server has no SIP: it needs Redis for that (`redis` in livekit.yaml)"
                ) from error
            if getattr(error.__cause__, "code", "") in _SAYS_WHY:
                raise LiveKitRefused(f"livekit-server refuses: {said}") from error
            raise


def _rule(info: Any) -> DispatchRule:
    """LiveKit's rule in our words, and in its own."""
    return rule_of(
        MessageToDict(info, preserving_proto_field_name=True),
        info.SerializeToString(deterministic=True),
        _mark(info),
        is_understood=_is_understood(info.rule),
    )


def _is_understood(rule: Any) -> bool:
    """Whether all that says how the room is found is known to this version."""
    kind = rule.WhichOneof("rule")
    parts = [rule] if kind is None else [rule, getattr(rule, kind)]
    return kind is not None and not any(len(UnknownFieldSet(part)) for part in parts)


def _mark(info: Any) -> str:
    timeless = sip.SIPDispatchRuleInfo()
    timeless.CopyFrom(info)
    for name in _TIMES:
        timeless.ClearField(name)
    return hashlib.sha256(timeless.SerializeToString(deterministic=True)).hexdigest()


def _trunk(info: Any, direction: Direction, addresses: Sequence[str]) -> Trunk:
    return Trunk(
        id=info.sip_trunk_id,
        direction=direction,
        name=info.name,
        numbers=tuple(info.numbers),
        addresses=tuple(addresses),
        has_password=bool(info.auth_password),
    )

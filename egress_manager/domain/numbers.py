"""A caller's telephone number, as far as what LiveKit says of a participant holds one."""

import json
import re
from contextlib import suppress
from typing import Final

from egress_manager.domain.incoming import Participant

#: Identities that livekit-sip gives when nothing else was set (livekit.md 5.1: `sip_<from user>`).
SIP_IDENTITY_PREFIX: Final = "sip_"

#: What looks like a telephone number: an optional plus, then 3 to 15 digits (E.164).
_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")


def number_of(person: Participant) -> str | None:
    """The number in the metadata (`{"phone": …}`), else a name or identity that looks like one."""
    with suppress(ValueError, RecursionError):
        metadata = json.loads(person.metadata) if person.metadata else {}
        phone = metadata.get("phone") if isinstance(metadata, dict) else None
        if isinstance(phone, str) and phone.encode():  # half a character can't be stored
            return phone
    told = (person.name.removeprefix("Phone "), person.identity.removeprefix(SIP_IDENTITY_PREFIX))
    return next((text for text in told if _NUMBER.fullmatch(text)), None)

"""How many files and connections this process may have open at once: as many as it is allowed."""

import logging
import resource
from typing import Final

log = logging.getLogger(__name__)

#: A room that is captured takes about this many: connections, and the files of its capture.
OF_A_ROOM: Final = 8
#: With fewer than this a few hundred rooms are too many, which is worth a line in the log.
FEW: Final = 4096


def raise_limit() -> int:
    """Raise the limit to the most that this process may have; what it is then.

    Systemd and shells begin with 1024, for the sake of programs that use `select`; ours do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < FEW:
        log.warning(
            "few_descriptors",
            extra={"limit": hard, "rooms": hard // OF_A_ROOM, "remedy": "LimitNOFILE=65536"},
        )
    return hard

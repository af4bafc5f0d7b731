"""What the settings allow and nobody may have meant: said in the log, once, at the start."""

import logging
import stat
from pathlib import Path
from typing import Final

from egress_manager.domain.secrecy import SHORTEST_SECRET, is_short, redis_lacks
from egress_manager.settings import Settings

log = logging.getLogger(__name__)

#: The file with the settings, if there is one: it has secrets in it.
ENV_FILE: Final = Path(".env")


def say(settings: Settings) -> None:
    """Log each; none keeps the service from starting."""
    secrets = {
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
        "WEBHOOK_SECRET": settings.webhook_secret,
    }
    for variable, secret in secrets.items():
        if is_short(secret.get_secret_value()):
            remedy = f"give the key in livekit.yaml a secret of {SHORTEST_SECRET} characters"
            log.warning("secret_short", extra={"variable": variable, "remedy": remedy})
    lacks = tuple(redis_lacks(settings.redis_url)) if settings.redis_url else ()
    if lacks:
        remedy = "who can write to it can delay work: see docs/operations.md, Redis"
        log.warning("redis_unprotected", extra={"lacks": lacks, "remedy": remedy})
    if _is_open(ENV_FILE, stat.S_IROTH):
        log.warning("env_file_open", extra={"remedy": f"chmod 600 {ENV_FILE}"})
    if _is_open(settings.recordings_dir, stat.S_IROTH | stat.S_IXOTH):
        # What LiveKit Egress writes there, and what was there before, has other modes than ours.
        log.warning("recordings_open", extra={"remedy": "chmod o-rwx the recordings directory"})


def _is_open(path: Path, rights: int) -> bool:
    """Whether users other than its owner and its group have one of these rights to it."""
    try:
        return bool(path.stat().st_mode & rights)
    except OSError:
        return False

"""`GET /health`: what an operator's probe wants to know, in parts."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Response

from egress_manager.api.schemas import AliveOut, HealthOut, PartOut, RoomListsOut, WebhooksOut
from egress_manager.api.services import HealthCheck, Services
from egress_manager.errors import EgressManagerError

log = logging.getLogger(__name__)

router = APIRouter(prefix="/health", tags=["health"])

#: How long one part may take to say how it is. Seconds.
TIMEOUT: Final = 2.0

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"description": "A part is ill.", "model": HealthOut}
}


@router.get("", responses=_RESPONSES)
async def health(services: Services, response: Response) -> HealthOut:
    """How every part is: 200 when all are well, 503 when one is ill."""
    names = list(services.health_checks)
    parts = await asyncio.gather(*(_part(services.health_checks[name]) for name in names))
    by_name = dict(zip(names, parts, strict=True))
    ill = [name for name, part in by_name.items() if not part.ok]
    if ill:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthOut(
        status="ill" if ill else "ok",
        ill=ill,
        parts=by_name,
        webhooks=WebhooksOut.model_validate(services.webhooks),
        room_lists=RoomListsOut.model_validate(services.room_lists),
    )


@router.get("/live")
async def live() -> AliveOut:
    """Whether the process answers at all."""
    return AliveOut()


async def _part(check: HealthCheck) -> PartOut:
    """How one part is; whatever goes wrong in asking is its illness."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return PartOut(ok=True, detail=await check())
    except EgressManagerError as error:
        return PartOut(ok=False, detail=str(error) or error.code)
    except TimeoutError:
        return PartOut(ok=False, detail=f"no answer within {TIMEOUT:g} s")
    except Exception as error:
        log.exception("health_check_failed")
        return PartOut(ok=False, detail=type(error).__name__)

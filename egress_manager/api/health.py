"""`GET /health`: what an operator's probe wants to know, in parts."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from egress_manager.api.filters import no_others
from egress_manager.api.schemas import (
    AliveOut,
    ConnectionsOut,
    HealthOut,
    KeysOut,
    PartOut,
    RoomListsOut,
    WebhooksOut,
)
from egress_manager.api.services import Services

router = APIRouter(prefix="/health", tags=["health"], dependencies=[Depends(no_others)])

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"description": "A part is ill.", "model": HealthOut}
}


@router.get(
    "",
    responses=_RESPONSES,
    operation_id="get_health",
    summary="Tell how every part of the service is",
)
async def health(services: Services, response: Response) -> HealthOut:
    """How every part is, as of the last second: 200 when all are well, 503 when one is ill."""
    parts = await services.probe.look(services.health_checks)
    ill = [name for name, part in parts.items() if not part.ok]
    if ill:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return HealthOut(
        status="ill" if ill else "ok",
        ill=ill,
        parts={name: PartOut.model_validate(part) for name, part in parts.items()},
        webhooks=WebhooksOut.model_validate(services.webhooks),
        room_lists=RoomListsOut.model_validate(services.room_lists),
        keys=KeysOut.model_validate(services.visitors.keys),
        connections=ConnectionsOut.model_validate(services.connections),
    )


@router.get("/live", operation_id="get_liveness", summary="Tell whether the process answers")
async def live() -> AliveOut:
    """Whether the process answers at all."""
    return AliveOut()

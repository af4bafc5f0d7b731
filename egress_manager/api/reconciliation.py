"""`/reconciliation`: what does not fit between LiveKit, the disk and the documents."""

from fastapi import APIRouter

from egress_manager.api.auth import Reader
from egress_manager.api.errors import described
from egress_manager.api.schemas import DifferenceOut, ReconciliationOut
from egress_manager.api.services import Services

router = APIRouter(
    prefix="/reconciliation",
    tags=["reconciliation"],
    responses=described("unauthenticated", "store_unavailable", "livekit_unavailable"),
)


@router.get(
    "",
    operation_id="get_differences",
    summary="List differences between LiveKit, the disk and the documents",
)
async def show(who: Reader, services: Services) -> ReconciliationOut:
    """What would be mended, and how; changes nothing."""
    found = await services.differences()
    return ReconciliationOut(differences=[DifferenceOut.model_validate(d) for d in found])


@router.post("", operation_id="mend_differences", summary="Mend these differences")
async def mend(who: Reader, services: Services) -> ReconciliationOut:
    """Mend it. What has to wait stands there with `mended` false, and is found again later."""
    mended = []
    for difference in await services.differences():
        done = await services.mend(difference)
        mended.append(DifferenceOut.model_validate(difference).model_copy(update={"mended": done}))
    return ReconciliationOut(differences=mended)

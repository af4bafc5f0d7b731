"""`GET /calls`: who called, and whether it was recorded."""

from typing import Annotated

from fastapi import APIRouter, Query

from egress_manager.api.auth import Reader
from egress_manager.api.errors import described
from egress_manager.api.filters import CallerNumber, Cursor, Limit, RoomName, Since, Until
from egress_manager.api.schemas import CallOut, PageOut
from egress_manager.api.services import Services
from egress_manager.domain.pages import CallFilter

router = APIRouter(
    prefix="/calls", tags=["calls"], responses=described("unauthenticated", "store_unavailable")
)


@router.get(
    "",
    responses=described("bad_request"),
    operation_id="list_calls",
    summary="List calls, newest first",
)
async def page(
    who: Reader,
    services: Services,
    *,
    room_name: RoomName = None,
    caller_number: CallerNumber = None,
    since: Since = None,
    until: Until = None,
    is_over: Annotated[
        bool | None, Query(description="Only calls that are over, or that go on.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> PageOut[CallOut]:
    """Calls, newest first, by when the caller joined."""
    where = CallFilter(room_name, caller_number, since, until, is_over)
    found = await services.calls.page(where, cursor=cursor, limit=limit)
    return PageOut(items=[CallOut.of(call) for call in found.items], next_cursor=found.next_cursor)


@router.get(
    "/{call_id}", responses=described("not_found"), operation_id="get_call", summary="Show one call"
)
async def show(call_id: str, who: Reader, services: Services) -> CallOut:
    """One call."""
    return CallOut.of(await services.calls.get(call_id))

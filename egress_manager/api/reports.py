"""`GET /reports/capture`: every call of a period, and what became of it."""

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response

from egress_manager.api.auth import Reader
from egress_manager.api.errors import described
from egress_manager.api.filters import Moment
from egress_manager.api.schemas import ReportOut
from egress_manager.api.services import Services
from egress_manager.domain.ledger import COLUMNS, Report
from egress_manager.domain.spreadsheets import as_text

router = APIRouter(
    prefix="/reports",
    tags=["reports"],
    responses=described("unauthenticated", "store_unavailable", "bad_request"),
)


_FORMS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The lines and their totals.", "content": {"text/csv": {}}}
}


@router.get(
    "/capture",
    response_model=ReportOut,
    responses=_FORMS,
    operation_id="get_capture_report",
    summary="Report every call of a period",
)
async def capture(
    who: Reader,
    services: Services,
    *,
    since: Annotated[Moment | None, Query(description="By default a day before `until`.")] = None,
    until: Annotated[Moment | None, Query(description="By default now.")] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Response | ReportOut:
    """The proof of capture: each call has one line, and the totals add up."""
    end = until or services.clock.now()
    report = await services.draw_up(since or end - timedelta(days=1), end)
    if form == "csv":
        return Response(as_csv(report), media_type="text/csv; charset=utf-8")
    return ReportOut.model_validate(report)


def as_csv(report: Report) -> str:
    """The lines, with their names in the first one."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for line in report.lines:
        table.writerow([_cell(getattr(line, name)) for name in COLUMNS])
    return text.getvalue()


def _cell(value: object) -> object:
    """A value as it is written; text is none that a spreadsheet takes for a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return as_text(value)
    return "" if value is None else value

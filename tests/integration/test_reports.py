"""Daily ledgers: the same contract in MongoDB and in memory."""

from datetime import UTC, datetime, timedelta

import pytest

from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_reports import MongoReports
from egress_manager.domain.calls import Call, Stay
from egress_manager.domain.incoming import Room
from egress_manager.domain.ledger import line_of, report_of
from egress_manager.ports import Reports
from egress_manager.testing import MemoryReports

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture(params=["memory", "mongo"])
def reports(request: pytest.FixtureRequest, db: Database) -> Reports:
    """Either of the two."""
    return MongoReports(db) if request.param == "mongo" else MemoryReports()


async def test_a_day_has_one_ledger(reports: Reports) -> None:
    """The first one stays."""
    stay = Stay("PA_1", MIDNIGHT, "RM_1", MIDNIGHT + timedelta(minutes=1))
    call = Call("call_1", Room("room"), "sip_1", (stay,), MIDNIGHT, MIDNIGHT, reason="policy_none")
    day = report_of([line_of(call, None)], MIDNIGHT, MIDNIGHT + timedelta(1), MIDNIGHT)

    assert not await reports.has(MIDNIGHT)
    assert await reports.keep(day)
    assert await reports.has(MIDNIGHT)
    assert not await reports.keep(report_of([], MIDNIGHT, MIDNIGHT + timedelta(1), MIDNIGHT))
    assert not await reports.has(MIDNIGHT + timedelta(1))

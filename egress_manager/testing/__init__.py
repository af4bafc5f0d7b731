"""In-memory stand-ins for the stores and the clock, for tests of ours and of yours.

They keep the contracts written in `ports.py`; one set of tests holds them and the MongoDB adapters
to these (`tests/integration/test_stores.py`). Each can be told to be away: while `away` is true
every verb raises `StoreUnavailable`, as when MongoDB can't be reached.

    calls = MemoryCalls()
    await calls.add(call)
    calls.away = True          # from here on: StoreUnavailable
"""

from egress_manager.testing.audit import MemoryAudit, MemorySidecars, MemorySigner, MemoryWaiting
from egress_manager.testing.ears import MemoryEars
from egress_manager.testing.livekit import MemoryRecorder, MemoryRooms
from egress_manager.testing.migration import MemoryDispatchRules, MemoryLedger, MemoryShelf
from egress_manager.testing.sharing import (
    MemoryClaims,
    MemoryDirectoryMark,
    MemoryIdentities,
    MemoryLiveKitProof,
    MemorySigns,
)
from egress_manager.testing.stores import (
    FixedClock,
    MemoryCalls,
    MemoryInbox,
    MemoryKeys,
    MemoryRecordings,
    MemoryReports,
)
from egress_manager.testing.work import (
    MemoryCaptures,
    MemoryCarrier,
    MemoryFiles,
    MemoryObjects,
    MemoryQueue,
    MemoryRenderer,
)

__all__ = [
    "FixedClock",
    "MemoryAudit",
    "MemoryCalls",
    "MemoryCaptures",
    "MemoryCarrier",
    "MemoryClaims",
    "MemoryDirectoryMark",
    "MemoryDispatchRules",
    "MemoryEars",
    "MemoryFiles",
    "MemoryIdentities",
    "MemoryInbox",
    "MemoryKeys",
    "MemoryLedger",
    "MemoryLiveKitProof",
    "MemoryObjects",
    "MemoryQueue",
    "MemoryRecorder",
    "MemoryRecordings",
    "MemoryRenderer",
    "MemoryReports",
    "MemoryRooms",
    "MemoryShelf",
    "MemorySidecars",
    "MemorySigner",
    "MemorySigns",
    "MemoryWaiting",
]

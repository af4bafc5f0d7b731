"""A process of ours, from inside."""

import asyncio
import gc
from pathlib import Path

import pytest

from egress_manager.domain.roles import Role
from egress_manager.process import running
from egress_manager.settings import Settings, load_settings

#: PyMongo, cancelled while it connects, leaves a socket open; but then the process ends.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: A full collection of so many objects takes less than the time from one packet to the next.
FEW = 20_000
#: A process ends when it is asked to, whatever it is doing. Seconds.
ENDS_WITHIN = 60.0


@pytest.fixture
def settings(mongo_uri: str, mongo_database: str, tmp_path: Path) -> Settings:
    return load_settings(
        None,
        livekit_url="ws://127.0.0.1:1",
        livekit_api_key="key",
        livekit_api_secret="a secret of thirty-two characters",
        mongo_uri=mongo_uri,
        mongo_db=mongo_database,
        recordings_dir=tmp_path,
    )


async def test_the_collector_passes_over_what_came_with_the_start(settings: Settings) -> None:
    all_there_is = len(gc.get_objects())
    try:
        async with running(settings, {Role.JOBS}):
            assert len(gc.get_objects()) < FEW < all_there_is
    finally:
        gc.unfreeze()
        gc.collect()


async def test_who_is_asked_to_end_while_it_connects_ends(settings: Settings) -> None:
    async with asyncio.timeout(ENDS_WITHIN):
        for beginning in range(10):
            async with running(settings, {Role.JOBS}):
                await asyncio.sleep(beginning / 100)  # each is asked at another moment
    gc.unfreeze()
    gc.collect()  # here, and not in whatever test comes next

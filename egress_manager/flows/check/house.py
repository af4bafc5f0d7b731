"""Checks of our own house: what we store in, what we write to, and the service itself."""

import asyncio

from egress_manager.domain.checks import (
    Result,
    judge_database,
    judge_space,
    ok,
    skipped,
)
from egress_manager.domain.troubles import CheckFailed, Trouble
from egress_manager.flows.check.doors import CheckDoors


async def settings(doors: CheckDoors) -> Result:
    """They were read, or there would be no doors."""
    return ok(doors.summary)


async def redis(doors: CheckDoors) -> Result:
    """The Redis through which jobs are handed on."""
    if doors.redis is None:
        return skipped("REDIS_URL is not set: jobs run in the service's process")
    return ok(f"Redis {await doors.redis.ping()}")


async def mongodb(doors: CheckDoors) -> Result:
    """A document is written by a majority and journaled, read again and deleted."""
    return judge_database(await doors.store.write())


async def directory(doors: CheckDoors) -> Result:
    """A file is written through to the disk, renamed and removed."""
    folder = await asyncio.to_thread(doors.disk.write)
    return ok(f"{folder.path}, written by the user {folder.uid}")


async def space(doors: CheckDoors) -> Result:
    """How many hours of calls there is room for."""
    return judge_space(await asyncio.to_thread(doors.disk.write))


async def bucket(doors: CheckDoors) -> Result:
    """An object is written, read and deleted, with the key that LiveKit Egress is given."""
    if doors.storage is None:
        return skipped("EGRESS_MANAGER_S3_BUCKET is not set: all files are in the directory")
    return ok(f"{await doors.storage.write()}: an object was written, read and deleted")


async def service(doors: CheckDoors) -> Result:
    """It answers at its address."""
    await doors.service.is_there()
    return ok("it answers")


async def health(doors: CheckDoors) -> Result:
    """Its own parts, as it sees them: the same directory by its own user, the recorder."""
    said = await doors.service.health()
    if said["ill"]:
        why = "; ".join(f"{name}: {said['parts'][name]['detail']}" for name in said["ill"])
        raise CheckFailed(Trouble.PARTS_ILL, why=why)
    return ok(", ".join(said["parts"]))


async def api_key(doors: CheckDoors) -> Result:
    """A list can be had with the key."""
    await doors.service.newest("/recordings", "")
    return ok("with the API key that was given")

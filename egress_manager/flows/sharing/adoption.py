"""Give a database to another LiveKit, or a recordings directory to another database, on purpose."""

from dataclasses import dataclass

from egress_manager.domain.identity import DatabaseIdentity
from egress_manager.errors import Conflict, LiveKitRefused
from egress_manager.flows.sharing.doors import DirectoryMark, Identities, LiveKitProof


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a database and of a directory; `name` is what the settings call the database."""

    name: str
    identities: Identities
    directory: DirectoryMark
    livekit: LiveKitProof


async def adopt_livekit(marks: Marks, *, also: bool = False) -> DatabaseIdentity:
    """The database belongs to the LiveKit of the settings from now on; its mark.

    `also` says that it is the same LiveKit at one more address. Raises `LiveKitUnavailable`,
    `LiveKitRefused`, `StoreUnavailable`, and `Conflict` where another process was faster.
    """
    own = marks.livekit.own
    if not await marks.livekit.knows(own.credential):
        raise LiveKitRefused("LiveKit refused the API key: check LIVEKIT_API_KEY and _SECRET")
    identity = await marks.identities.read()
    livekit = identity.livekit.with_(own) if also and identity.livekit else own
    after = await marks.identities.save(identity, livekit)
    if after.livekit != livekit:
        raise Conflict("another process has just changed the mark: run it again")
    return after


async def adopt_directory(marks: Marks) -> DatabaseIdentity:
    """The recordings directory belongs to the database of the settings from now on.

    Raises `StorageFailed`, `StoreUnavailable`.
    """
    identity = await marks.identities.read()
    await marks.directory.give_to(identity.id)
    return identity

"""What a process of ours does. By default one does everything."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A part of the work that a process of its own can do, as many as wanted of each."""

    #: Serve the API and take webhooks in.
    API = "api"
    #: Do what is due, with files as well, and look after LiveKit Egress.
    JOBS = "jobs"
    #: Be in the rooms and keep what is said.
    RECORDER = "recorder"


ALL: Final = frozenset(Role)


def works_on_files(roles: Collection[Role]) -> bool:
    """Whether a process of these roles makes files, or listens to them."""
    return Role.JOBS in roles or Role.RECORDER in roles

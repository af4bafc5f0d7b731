"""What the processes of an installation may set: what each does, how much, for whose eyes."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from egress_manager.domain.roles import Role
from egress_manager.settings.house import PREFIX, listed


def _listed_roles(value: object) -> object:
    """`none` is no role at all."""
    names = listed(value.lower() if isinstance(value, str) else value)
    return () if names == ("none",) else names


#: Where the umask is set, and what it is if it is not.
UMASK: Final = f"{PREFIX}UMASK"
DEFAULT_UMASK: Final = "027"


def umask_of(text: str) -> int:
    """The umask that is written there. Raises `ValueError` where it is none that we can live with.

    What it takes from the owner would be taken from us.
    """
    if not re.fullmatch(r"0{1,2}[0-7]{2}", text):
        raise ValueError(
            f"write three octal digits, the first of them 0, like {DEFAULT_UMASK}: "
            "027 lets the group read, 077 nobody, 007 lets the group write"
        )
    return int(text, 8)


Roles = Annotated[tuple[Role, ...], NoDecode, BeforeValidator(_listed_roles)]


class ProcessSettings(BaseSettings):
    """What one of several processes does, and how much."""

    roles: Roles = Field(
        default=(Role.JOBS, Role.RECORDER),
        alias=f"{PREFIX}ROLES",
        description="What the service does beside its API: `jobs,recorder`, one of them, or `none` "
        "where `egress-manager jobs` and `egress-manager recorder` run as processes of their own.",
    )
    most_lag: float = Field(
        default=0.25,
        ge=0,
        le=60,
        alias=f"{PREFIX}MOST_LAG",
        description="A process that is behind by more than this gets no more calls to capture "
        "while another one has time, in seconds. Where all are behind, calls are captured "
        "nevertheless and mixed later; `/health` says so.",
    )

    umask: str = Field(
        default=DEFAULT_UMASK,
        alias=UMASK,
        description="Which rights others do not get to files and folders that are made, in octal "
        "digits: with `027` the owner writes, the group reads, and others get nothing. `077` is "
        "for the owner alone; with `007` the group writes, too.",
    )

    @field_validator("umask")
    @classmethod
    def _is_umask(cls, value: str) -> str:
        umask_of(value)
        return value

    @property
    def umask_bits(self) -> int:
        """The umask as the system takes it."""
        return umask_of(self.umask)

    @property
    def all_roles(self) -> frozenset[Role]:
        """What the service does, its API among it."""
        return frozenset((Role.API, *self.roles))

"""What installations of several processes or hosts may set."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from egress_manager.domain.roles import Role
from egress_manager.settings.house import PREFIX, listed


def _listed_roles(value: object) -> object:
    """`none` is no role at all."""
    names = listed(value.lower() if isinstance(value, str) else value)
    return () if names == ("none",) else names


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

    @property
    def all_roles(self) -> frozenset[Role]:
        """What the service does, its API among it."""
        return frozenset((Role.API, *self.roles))

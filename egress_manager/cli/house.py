"""`egress-manager serve | jobs | recorder | settings | keys`: the service, on this machine."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from egress_manager import telemetry
from egress_manager.cli.service import AsJson
from egress_manager.cli.tables import console, print_json, table
from egress_manager.domain.roles import Role
from egress_manager.errors import SettingsWrong
from egress_manager.settings import load_settings, words

keys = App("keys", help="The key that opens the API.")


def serve(*, host: str = "0.0.0.0", port: int = 5000) -> None:
    """Run the service: the API, the jobs and the recorder, or what EGRESS_MANAGER_ROLES names.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on.
    """
    import uvicorn

    telemetry.set_up(load_settings().log_level)
    uvicorn.run("egress_manager.app:app", host=host, port=port, log_config=None, access_log=False)


def jobs() -> None:
    """Do what is due, beside other processes: needs REDIS_URL. Any number of them, on any host."""
    _work(Role.JOBS)


def recorder() -> None:
    """Capture calls, beside other processes: needs REDIS_URL. Any number of them, on any host."""
    _work(Role.RECORDER)


def _work(role: Role) -> None:
    import uvloop

    from egress_manager import process

    settings = load_settings()
    telemetry.set_up(settings.log_level)
    if not settings.redis_url:
        raise SettingsWrong(
            f"egress-manager {role} needs REDIS_URL, through which processes share the work; "
            "without it egress-manager serve does everything"
        )
    uvloop.run(process.work(settings, role))


def settings(
    *,
    as_json: AsJson = False,
    markdown: Annotated[bool, Parameter(negative="")] = False,
    env_example: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show every setting and where it comes from; secrets are masked.

    Parameters
    ----------
    as_json
        For scripts.
    markdown
        Print docs/settings.md instead.
    env_example
        Print .env.example instead.
    """
    if markdown or env_example:
        print(words.as_markdown() if markdown else words.as_env_example(), end="")
        return
    shown = list(words.shown(load_settings()))
    if as_json:
        print_json({each.variable: {"value": each.value, "from": each.origin} for each in shown})
        return
    rows = ([each.variable, each.value, each.origin] for each in shown)
    console().print(table(["variable", "value", "from"], rows))


@keys.command(name="new")
def new_key() -> None:
    """Make a new API key and show it; the old one opens nothing any more."""
    print(asyncio.run(_new_key()))


async def _new_key() -> str:
    from egress_manager.api import auth
    from egress_manager.wiring.beside import open_keys

    async with open_keys(load_settings()) as kept:
        return await auth.make_new_key(kept, _Now())


class _Now:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

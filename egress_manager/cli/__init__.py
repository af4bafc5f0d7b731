"""The command line: one module a noun; what is listed here is what there is.

`calls` and `recordings` ask the running service over HTTP. Tables are for people; `--json` prints
what the API says, for scripts. What goes wrong is one sentence on stderr and an exit code: 1, or 2
for settings that can't be used; with `--json` it is `{"error": {"code", "detail"}}` on stdout, too.

What runs the service is imported where it is needed only: a list should not wait for it.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from cyclopts import App, CycloptsError

from egress_manager.cli.adopt import adopt
from egress_manager.cli.audit import audit
from egress_manager.cli.calls import calls
from egress_manager.cli.check import check
from egress_manager.cli.house import jobs, keys, recorder, serve, settings
from egress_manager.cli.importing import import_files
from egress_manager.cli.migrate import migrate
from egress_manager.cli.rebuild import rebuild
from egress_manager.cli.reconcile import reconcile
from egress_manager.cli.recordings import recordings
from egress_manager.cli.replay import inbox, replay
from egress_manager.cli.report import report
from egress_manager.cli.sip import sip
from egress_manager.errors import EgressManagerError, SettingsWrong
from egress_manager.settings import words

app = App(
    "egress-manager",
    help="The call recorder for self-hosted LiveKit.",
    version=lambda: f"egress-manager {_version()}",
    version_flags=["--version"],
)
for command in (
    serve,
    jobs,
    recorder,
    check,
    settings,
    calls,
    recordings,
    report,
    reconcile,
    keys,
    sip,
    migrate,
    audit,
    rebuild,
    adopt,
    inbox,
    replay,
):
    app.command(command)
app.command(import_files, name="import")

#: The code of what has no code of its own.
FAILED: Final = "failed"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, and exit."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    as_json = "--json" in given
    try:
        os.umask(words.umask())
        app(given, exit_on_error=not as_json, print_error=not as_json)
    except SettingsWrong as error:
        sys.exit(_complaint(error.code, str(error), 2, as_json=as_json))
    except EgressManagerError as error:
        code = FAILED if error.code == EgressManagerError.code else error.code
        sys.exit(_complaint(code, str(error), 1, as_json=as_json))
    except CycloptsError as error:
        sys.exit(_complaint("bad_command", str(error), 1, as_json=as_json))


def _version() -> str:
    """The version that is installed; a checkout need not be."""
    try:
        return version("egress-manager")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


def _complaint(code: str, detail: str, exit_code: int, *, as_json: bool) -> int:
    """Say what went wrong: a sentence for people, and for a script the JSON that it reads."""
    print(f"egress-manager: {detail}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": {"code": code, "detail": detail}}, ensure_ascii=False))
    return exit_code

"""The command line: one module a noun; what is listed here is what there is.

`calls` and `recordings` ask the running service over HTTP. Tables are for people; `--json` prints
what the API says, for scripts. What goes wrong is one sentence on stderr and an exit code: 1, or 2
for settings that can't be used.

What runs the service is imported where it is needed only: a list should not wait for it.
"""

import os
import sys
from collections.abc import Sequence

from cyclopts import App

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

app = App("egress-manager", help="The call recorder for self-hosted LiveKit.", version_flags=[])
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, and exit."""
    try:
        os.umask(words.umask())
        app(arguments)
    except SettingsWrong as error:
        sys.exit(_complaint(error, 2))
    except EgressManagerError as error:
        sys.exit(_complaint(error, 1))


def _complaint(error: EgressManagerError, code: int) -> int:
    print(f"egress-manager: {error}", file=sys.stderr)
    return code

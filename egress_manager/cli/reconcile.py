"""`egress-manager reconcile`: LiveKit, the disk and the documents, held against each other."""

from typing import Annotated

from cyclopts import Parameter

from egress_manager.cli.service import HERE, Service, ask, tell
from egress_manager.cli.tables import console, print_json, table


def reconcile(
    *, apply: Annotated[bool, Parameter(negative="")] = False, service: Service = HERE
) -> None:
    """Show what does not fit between LiveKit, the disk and the documents, and what is to be done.

    Parameters
    ----------
    apply
        Do it. The service does most of it by itself, every few seconds.
    """
    found = tell(service, "/reconciliation") if apply else ask(service, "/reconciliation", {})
    if service.as_json:
        print_json(found)
        return
    differences = found["differences"]
    if not differences:
        print("everything fits")
        return
    rows = ([d["kind"], d["about"], _state(d["mended"], apply), d["words"]] for d in differences)
    console().print(table(["what", "about", "state", "what is done"], rows))
    if not apply:
        print("nothing was changed; --apply does it")


def _state(mended: bool, apply: bool) -> str:
    if not apply:
        return "found"
    return "mended" if mended else "has to wait"

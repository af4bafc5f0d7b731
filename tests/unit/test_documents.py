"""Every command, option and route that a document names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from egress_manager.app import app as service
from egress_manager.cli import app as commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

#: A command with what follows it, up to the end of the line or of the code it stands in.
COMMAND = re.compile(r"(?<![/~\w.-])(?<!SETUSER )egress-manager((?: [^\s`|;&()]+)*)")
ROUTE = re.compile(r"\b(GET|POST|PUT|DELETE) (/(?:[\w{}…./-]*[\w}…])?)")
#: What stands for an id in a path.
ID = re.compile(r"\{[^}]*\}|…|(?<=/)(?:rec|call|TR)_[^/]*")
EVERYWHERE = {"--help", "--version"}
#: LiveKit's own, and what is for browsers and so not in the API's description.
OTHERS = {
    ("POST", "/twirp/livekit.Egress"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/swagger/{}"),
}


def named(tokens: list[str]) -> tuple[App, list[str]]:
    """The command that words lead to, and the words after it."""
    command = commands
    for n, token in enumerate(tokens):
        if token.startswith("-"):
            return command, tokens[n:]
        try:
            command = command[token]
        except KeyError:
            return command, tokens[n:]
    return command, []


def options_of(command: App) -> set[str]:
    """The options that a command takes; a noun by itself may take none."""
    if command is commands or command.default_command is None:
        return set()
    return {name for each in command.assemble_argument_collection() for name in each.names}


def wrong(document: Path) -> Iterator[str]:
    """Commands and options that are not there."""
    for found in COMMAND.finditer(document.read_text()):
        command, rest = named(found[1].split())
        if command is commands and rest and rest[0].islower() and rest[0].isalpha():
            yield f"{found[0]}: no such command"
        has = options_of(command)
        for option in (word.partition("=")[0] for word in rest if word.startswith("--")):
            if option not in has | EVERYWHERE:
                yield f"{found[0]}: no such option"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_in_the_documents_exist(document: Path) -> None:
    """As they are written there."""
    assert list(wrong(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_routes_in_the_documents_exist(document: Path) -> None:
    """With any names for their ids."""
    described = {
        (verb.upper(), ID.sub("{}", path))
        for path, operations in service.openapi()["paths"].items()
        for verb in operations
    }
    said = {
        (found[1], ID.sub("{}", found[2].rstrip("./")))
        for found in ROUTE.finditer(document.read_text())
    }

    assert said - described - OTHERS == set()


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    """Else the tests above would tell nothing."""
    document = tmp_path / "page.md"
    document.write_text("Call `egress-manager recordigns`, or `egress-manager calls --colour red`.")

    assert list(wrong(document)) == [
        "egress-manager recordigns: no such command",
        "egress-manager calls --colour red: no such option",
    ]

"""What the house rules say about size, names and words, counted."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from egress_manager import testing

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "egress_manager"

#: One function is one screen; a few need two. Lines.
FUNCTION_P90, FUNCTION_MOST, MODULE_MOST = 30, 50, 400

#: Names that say nothing about what is inside.
EMPTY_MODULES = {"base", "common", "core", "helper", "helpers", "misc", "tools", "util", "utils"}
EMPTY_ENDINGS = ("Manager", "Helper", "Handler", "Util", "Utils")
#: The product's own name is not such an ending.
PRODUCT = {"EgressManager"}

#: Where every public name has a docstring: what others build on.
DOCUMENTED = ("domain", "flows", "ports.py", "errors.py")

#: Ports whose real adapter does no I/O, so that tests use it as it is.
NEED_NO_FAKE = {"Webhooks"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def functions(file: Path) -> Iterator[Function]:
    """Every function of a file, however deep."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, Function):
            yield node


def parsed(file: Path) -> ast.Module:
    """A file as a tree."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def lines(function: Function) -> int:
    """How long a function is, with its decorators and its docstring."""
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def named(file: Path, node: ast.AST | None = None) -> str:
    """How a message calls a place."""
    place = str(file.relative_to(ROOT))
    return place if node is None else f"{place}:{getattr(node, 'lineno', 1)}"


def test_nine_functions_of_ten_fit_one_screen() -> None:
    """The 90th percentile of all functions of the product."""
    lengths = sorted(
        lines(f) for file in sources("egress_manager", "lab", "chaos") for f in functions(file)
    )

    assert lengths[len(lengths) * 9 // 10] <= FUNCTION_P90


def test_no_function_is_longer_than_two_screens() -> None:
    """Neither in the product nor beside it."""
    long = [
        f"{named(file, function)} {function.name}: {lines(function)} lines"
        for file in sources("egress_manager", "lab", "chaos")
        for function in functions(file)
        if lines(function) > FUNCTION_MOST
    ]

    assert not long


def test_no_module_is_too_long_to_read_in_one_go() -> None:
    """Neither in the product nor beside it."""
    lengths = {
        named(file): len(file.read_text(encoding="utf-8").splitlines())
        for file in sources("egress_manager", "lab", "chaos")
    }

    assert not {name: length for name, length in lengths.items() if length > MODULE_MOST}


def test_module_names_say_what_is_inside() -> None:
    """No module is called by what it is for its writer: a helper, a tool, something common."""
    empty = [
        named(file)
        for file in sources("egress_manager", "lab", "chaos")
        if file.stem in EMPTY_MODULES
    ]

    assert not empty


def test_class_names_say_what_they_are() -> None:
    """No class is a manager, a helper or a handler of something."""
    empty = [
        f"{named(file, node)} {node.name}"
        for file in sources("egress_manager")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(EMPTY_ENDINGS)
        and node.name not in PRODUCT
    ]

    assert not empty


@pytest.mark.parametrize("place", DOCUMENTED)
def test_public_names_of_the_core_have_docstrings(place: str) -> None:
    """Modules, classes and functions; of a class, what is not private and not the obvious."""
    path = PACKAGE / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    silent = [name for file in files if file.stem != "__init__" for name in undocumented(file)]

    assert not silent


def undocumented(file: Path) -> Iterator[str]:
    """Public names of a file that have no docstring."""
    module = parsed(file)
    if ast.get_docstring(module) is None:
        yield named(file)
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield f"{named(file, node)} {node.name}"
            if isinstance(node, ast.ClassDef) and not is_plain_protocol(node):
                yield from undocumented_methods(file, node)


def undocumented_methods(file: Path, owner: ast.ClassDef) -> Iterator[str]:
    """Public methods of a class that have no docstring."""
    for node in owner.body:
        if not isinstance(node, Function) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield f"{named(file, node)} {owner.name}.{node.name}"


def is_plain_protocol(node: ast.ClassDef) -> bool:
    """A protocol whose own docstring says all there is to say: none of its verbs has one."""
    methods = [child for child in node.body if isinstance(child, Function)]
    bases = {ast.unparse(base).split("[")[0] for base in node.bases}
    return "Protocol" in bases and all(ast.get_docstring(method) is None for method in methods)


def ports() -> dict[str, set[str]]:
    """The verbs of every port."""
    return {
        node.name: {child.name for child in node.body if isinstance(child, Function)}
        for node in parsed(PACKAGE / "ports.py").body
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
    }


@pytest.mark.parametrize("port", sorted(ports().keys() - NEED_NO_FAKE))
def test_every_port_has_a_fake_that_tests_can_use(port: str) -> None:
    """`egress_manager/testing` has a class with all the verbs of the port."""
    fakes = [
        name
        for name, fake in vars(testing).items()
        if isinstance(fake, type)
        and fake.__module__.startswith(testing.__name__)
        and ports()[port] <= set(dir(fake)) | set(getattr(fake, "__annotations__", {}))
    ]

    assert fakes


def test_tests_use_fakes_and_not_mocks() -> None:
    """What a test can't push through a door is not to be patched in behind its back."""
    names = {"Mock", "MagicMock", "AsyncMock", "patch"}
    mocking = [
        named(file, node)
        for file in sources("tests")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ImportFrom | ast.Import)
        and (
            getattr(node, "module", "") == "unittest.mock"
            or any(alias.name in names | {"unittest.mock"} for alias in node.names)
        )
    ]

    assert not mocking


def test_the_licence_is_there_and_is_the_one_that_is_named() -> None:
    """Apache-2.0, in full, as the package's metadata says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text

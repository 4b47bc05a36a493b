"""Imports point one way, from the command line down to the errors, without cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.rooms import PACKAGE, SOURCES, name_of, room_of

#: The level of each room: it imports from its own level or a lower one.
LEVELS = {
    "errors": 0,
    "settings": 0,
    "events": 1,
    "servers": 1,
    "store": 2,
    "aggregate": 3,
    "repository": 3,
    "subscriptions": 3,
    "projections": 3,
    "privacy": 3,
    "slices": 3,
    "archive": 4,
    "": 4,  # the front door, eventlab/__init__.py
    "observe": 5,
    "testing": 5,
    "accounts": 6,
    "mailroom": 6,
    "charts": 7,
    "lessons": 7,
    "sandbox": 7,
    "cli": 8,
    "__main__": 9,
}
#: For readers and tests: of the library, only the command line imports these rooms.
ASIDE = {"charts", "lessons", "sandbox"}


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield the modules of the package that a module imports anywhere, except for types only."""
    home = module.split(".") if module else []
    if not is_package:
        home = home[:-1]
    for node in _outside_type_checking(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package, _, rest = alias.name.partition(".")
                if package == "eventlab":
                    yield rest
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, home)


def _imported_from(node: ast.ImportFrom, home: list[str]) -> Iterator[str]:
    package, *rest = (node.module or "").split(".")
    if node.level:
        base = home[: len(home) - (node.level - 1)] + (
            node.module.split(".") if node.module else []
        )
    elif package == "eventlab":
        base = rest
    else:
        return
    for alias in node.names:
        inner = [*base, alias.name]
        is_module = any(PACKAGE.joinpath(*inner).with_suffix(s).exists() for s in ("", ".py"))
        yield ".".join(inner if is_module else base)


def _outside_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _outside_type_checking(child)


def fault_of(module: str, target: str) -> str | None:
    """Return what is wrong with an import, or None."""
    room = room_of(module)
    other = room_of(target)
    if room == other:
        return None
    if LEVELS[other] > LEVELS[room]:
        return f"{module or 'eventlab'} imports {target}, which is on a higher level"
    if other in ASIDE and LEVELS[room] < LEVELS["cli"] and room not in ASIDE:
        return f"{module} imports {target}, which is for readers and tests only"
    if room in ASIDE and other in ASIDE and "sandbox" in (room, other):
        return f"{module} imports {target}: the sandbox is independent of charts and lessons"
    return None


def faults_of(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Return what is wrong with all imports of a module."""
    targets = imports_of(module, source, is_package=is_package)
    return [fault for target in targets if (fault := fault_of(module, target))]


def cycles_of(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the part of a graph that leads into a cycle."""
    left = dict(graph)
    while leaves := {
        name for name, targets in left.items() if not (targets - {name}) & left.keys()
    }:
        for leaf in leaves:
            del left[leaf]
    return left


def graph_of_modules() -> dict[str, set[str]]:
    """Return the modules below the front door, each with the modules that it imports."""
    graph = {
        name_of(path): set(
            imports_of(
                name_of(path), path.read_text("utf-8"), is_package=path.name == "__init__.py"
            )
        )
        for path in SOURCES
    }
    del graph[""]  # everything below the front door is loaded through it
    return graph


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    source = path.read_text("utf-8")
    assert faults_of(name_of(path), source, is_package=path.name == "__init__.py") == []


def test_levels_name_every_subpackage_and_no_other() -> None:
    rooms = {room_of(name_of(path)) for path in SOURCES}
    assert rooms == LEVELS.keys()


def test_no_two_modules_import_each_other() -> None:
    assert cycles_of(graph_of_modules()) == {}


def test_no_two_subpackages_import_each_other() -> None:
    rooms: dict[str, set[str]] = {}
    for module, targets in graph_of_modules().items():
        rooms.setdefault(room_of(module), set()).update(map(room_of, targets))
    assert cycles_of(rooms) == {}


def test_cycle_is_found() -> None:
    assert cycles_of({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()}).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from eventlab.events import Event"),
        ("store.store", "import eventlab.repository"),
        ("repository", "def late():\n    from .accounts import account"),
        ("projections.projector", "from eventlab import charts"),
        ("mailroom.router", "from ..sandbox import gmail"),
        ("accounts.http.app", "from eventlab.cli.main import main"),
        ("store.store", "from eventlab import connect"),
    ],
)
def test_upward_import_is_found(module: str, source: str) -> None:
    assert faults_of(module, source)


def test_import_for_types_only_is_no_import() -> None:
    source = "if TYPE_CHECKING:\n    from eventlab.store.store import EventStore"
    assert list(imports_of("errors", source)) == []

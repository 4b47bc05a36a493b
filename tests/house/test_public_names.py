"""Public names explain themselves: documented, fully typed, unique, with explicit options."""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest

from tests.house.rooms import PACKAGE, SOURCES, name_of, public_definitions, tree_of


def undocumented(tree: ast.Module) -> list[str]:
    """Return the public classes, functions and methods that have no docstring."""
    missing = ["the module"] if tree.body and not ast.get_docstring(tree) else []
    found = [name for name, node in public_definitions(tree) if not ast.get_docstring(node)]
    return missing + found


def untyped(tree: ast.Module) -> list[str]:
    """Return the public functions and methods with a parameter or a result that has no type."""
    found = []
    for name, node in public_definitions(tree):
        if isinstance(node, ast.ClassDef):
            continue
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if "." in name and named and named[0].arg in ("self", "cls"):
            named = named[1:]
        variable = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        if node.returns is None or any(a.annotation is None for a in [*named, *variable]):
            found.append(name)
    return found


def hidden_options(tree: ast.Module) -> list[str]:
    """Return the functions that take ``**options: Any``, which hides a typo and the manual."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.kwarg:
            annotation = node.args.kwarg.annotation
            if annotation is None or ast.unparse(annotation) == "Any":
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_names_have_a_docstring(path: Path) -> None:
    assert undocumented(tree_of(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_public_names_are_typed(path: Path) -> None:
    assert untyped(tree_of(path)) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_options_are_explicit(path: Path) -> None:
    assert hidden_options(tree_of(path)) == []


def test_class_names_are_unique() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name_of(path))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_package_ships_its_types() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_missing_docstring_is_found() -> None:
    source = '''
        """A."""
        class B:
            def c(self): ...
            def _d(self): ...
        async def e(): ...
        def _f(): ...
    '''
    assert undocumented(ast.parse(textwrap.dedent(source))) == ["B", "B.c", "e"]
    assert undocumented(ast.parse("x = 1")) == ["the module"]


def test_missing_type_is_found() -> None:
    source = """
        class B:
            def typed(self, x: int, *more: str) -> None: ...
            def c(self, x) -> None: ...
        def e(x: int): ...
        def f(*, x: int, **more) -> None: ...
    """
    assert untyped(ast.parse(textwrap.dedent(source))) == ["B.c", "e", "f"]


def test_hidden_options_are_found() -> None:
    assert hidden_options(ast.parse("def f(**options: Any): ...\ndef g(**counts: int): ...")) == [
        "f"
    ]

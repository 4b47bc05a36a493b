"""The package is small enough to teach from: limits on files, scripts, core and subpackages."""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from pathlib import Path

import pytest

from tests.house.rooms import PACKAGE, SCRIPTS, SOURCES, name_of, room_of

MAX_CORE_LINES = 3900
MAX_FILE_LINES = 250
MAX_SCRIPT_LINES = 80
MAX_ROOMS = 20

CORE = {
    "errors",
    "events",
    "aggregate",
    "repository",
    "store",
    "projections",
    "subscriptions",
}
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_of_code(source: str) -> int:
    """Count the lines that hold code, without docstrings, comments and blank lines."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstring_lines(ast.parse(source)))


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def lines_of_lua(source: str) -> int:
    """Count the lines of a Lua script that are neither blank nor a comment."""
    lines = (line.strip() for line in source.splitlines())
    return sum(1 for line in lines if line and not line.startswith("--"))


def test_core_is_small_enough_to_teach_from() -> None:
    sizes = {
        name_of(path): lines_of_code(path.read_text("utf-8"))
        for path in SOURCES
        if room_of(name_of(path)) in CORE
    }
    assert {room_of(name) for name in sizes} == CORE
    assert sum(sizes.values()) < MAX_CORE_LINES, sizes


def test_scripts_are_short() -> None:
    sizes = {path.name: lines_of_lua(path.read_text("utf-8")) for path in SCRIPTS}
    assert "append.lua" in sizes
    assert max(sizes.values()) <= MAX_SCRIPT_LINES, sizes


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_file_is_short(path: Path) -> None:
    assert lines_of_code(path.read_text("utf-8")) <= MAX_FILE_LINES


def test_package_has_few_subpackages() -> None:
    # Two doors are no rooms: `__init__` offers the public names, `__main__` calls `cli`.
    rooms = {room_of(name_of(path)) for path in SOURCES} - {"", "__main__"}
    assert len(rooms) <= MAX_ROOMS, sorted(rooms)


def test_scripts_lie_beside_the_code_that_runs_them() -> None:
    for script in SCRIPTS:
        used = f'"{script.parent.name}/{script.stem}"'
        generic = f'f"{script.parent.name}/'  # a room whose name is filled in by a method
        sources = [path.read_text("utf-8") for path in script.parent.glob("*.py")]
        assert any(used in text or generic in text for text in sources), script.relative_to(PACKAGE)


def test_count_is_of_code_only() -> None:
    source = '''
        """A docstring
        of two lines."""

        # a comment
        def double(x):  # one
            """Return it twice."""
            text = """two
            three"""
            return (x +
                    x)  # four and five
    '''
    assert lines_of_code(textwrap.dedent(source)) == 5

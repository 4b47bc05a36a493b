"""List every message of the program in one table: ``python -m tools.messages``.

Errors, log lines, command-line help and API descriptions are written in different files by
different people. Reading them side by side shows which terms differ and which sentences are hard
to read. Values are shown as ``{name}``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOG = dict.fromkeys(["debug", "info", "warning", "error", "exception", "critical"], "log")
HELP = dict.fromkeys(["add", "add_parser", "add_argument"], "help")
KINDS = {"__init__": "error", **LOG, **HELP, "print": "output", "write": "output"}
OPTIONS = {"help": "help", "description": "API", "summary": "API", "epilog": "help"}
MIN_WORDS = 3  # a text with fewer words is a name or a code


@dataclass(frozen=True)
class Message:
    """A message, with its kind, its file and line, and its text."""

    kind: str
    file: str
    line: int
    text: str


def messages(root: Path = ROOT) -> list[Message]:
    """Return the package's distinct messages, sorted by kind, file and line.

    >>> messages()[0].kind
    'API'
    """
    found: dict[tuple[str, str], Message] = {}
    for path in sorted((root / "eventlab").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for kind, node in _texts(ast.parse(path.read_text("utf-8"))):
            text = " ".join(_shown(node).split())
            if len(text.split()) >= MIN_WORDS:
                found.setdefault((kind, text), Message(kind, name, node.lineno, text))
    return sorted(found.values(), key=lambda m: (m.kind, m.file, m.line))


def table(found: list[Message]) -> str:
    """Return the messages as a Markdown table.

    >>> table([Message("log", "a.py", 3, "view {name}: working")]).splitlines()[2]
    '| log | a.py:3 | view {name}: working |'
    """
    rows = ["| kind | where | text |", "|---|---|---|"]
    for message in found:
        text = message.text.replace("|", "\\|")
        rows.append(f"| {message.kind} | {message.file}:{message.line} | {text} |")
    return "\n".join(rows)


def _texts(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield each string and its kind, except docstrings and parts of other strings."""
    kinds = dict(_kinds(tree))
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) or node in inner:  # a docstring or part of another string
            inner.update(ast.iter_child_nodes(node) if _is_statement_text(node) else ())
        elif isinstance(node, ast.expr) and _is_text(node):
            inner.update(ast.walk(node))
            yield kinds.get(node, "text"), node


def _is_statement_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _kinds(tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from ((argument, "error") for argument in node.exc.args)
        elif isinstance(node, ast.Call):
            method = ast.unparse(node.func).rpartition(".")[2]
            if method in KINDS:
                yield from ((argument, KINDS[method]) for argument in node.args)
            for option in node.keywords:
                if option.arg in OPTIONS:
                    yield option.value, OPTIONS[option.arg]


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    return isinstance(node, ast.JoinedStr)


def _shown(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_shown(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"{{{ast.unparse(node.value)}}}"
    if isinstance(node, ast.BinOp):
        return _shown(node.left) + _shown(node.right)
    return f"{{{ast.unparse(node)}}}"


if __name__ == "__main__":
    sys.stdout.write(table(messages()) + "\n")

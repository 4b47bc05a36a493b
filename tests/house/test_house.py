"""The house keeps its own rules: small, one way, quiet on import, documented, at home on any machine."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "eventlab"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))

CORE_LIMIT, FILE_LIMIT, SCRIPT_LIMIT = 2200, 250, 80

#: What stands on what: a room imports from its own level or a lower one.
LEVELS = {
    **dict.fromkeys(["errors"], 0),
    **dict.fromkeys(["events", "servers"], 1),
    **dict.fromkeys(["store"], 2),
    **dict.fromkeys(["aggregate", "repository", "subscriptions", "projections"], 3),
    "": 4,  # the front door, eventlab/__init__.py
    **dict.fromkeys(["accounts", "mailroom"], 5),
    **dict.fromkeys(["charts", "lessons", "sandbox"], 6),
    **dict.fromkeys(["cli", "__main__"], 7),
}
ASIDE = {"charts", "lessons", "sandbox"}  # for the reader: only the command line may import them


def name_of(path: Path) -> str:
    """Give a module's name in the package: '' for the front door, 'servers.binaries', 'store'."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip(".")
    )


def level(module: str) -> int:
    """Give the level of a module's part of the house."""
    return LEVELS[module.partition(".")[0]]


CORE = [
    path
    for path in SOURCES
    if level(name_of(path)) < LEVELS[""] and not name_of(path).startswith("servers")
]


# ----------------------------------------------------------------------------------------------------- how much


def lines_of_code(source: str) -> int:
    """Count the lines that hold code; docstrings, comments and blank lines are not counted."""
    silent = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstring_lines(ast.parse(source)))


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
        ):
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def lines_of_lua(source: str) -> int:
    return sum(
        1 for line in source.splitlines() if line.strip() and not line.strip().startswith("--")
    )


def test_the_core_is_small_enough_to_teach_from() -> None:
    sizes = {name_of(path): lines_of_code(path.read_text("utf-8")) for path in CORE}
    assert sizes.keys() >= {
        "errors",
        "events",
        "store.store",
        "store.adoption",
        "projections.rebuild",
    }
    assert sum(sizes.values()) < CORE_LIMIT, sizes


def test_the_scripts_are_counted_apart_and_short() -> None:
    sizes = {path.name: lines_of_lua(path.read_text("utf-8")) for path in SCRIPTS}
    assert "append.lua" in sizes
    assert max(sizes.values()) < SCRIPT_LIMIT, sizes


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_is_long(path: Path) -> None:
    assert lines_of_code(path.read_text("utf-8")) <= FILE_LIMIT


def test_the_count_is_of_code_only() -> None:
    source = '''
        """A docstring
        of two lines."""

        # a comment
        def double(x):  # one
            """Say it."""
            text = """two
            three"""
            return (x +
                    x)  # four and five
    '''
    assert lines_of_code(textwrap.dedent(source)) == 5


# ----------------------------------------------------------------------------------------------------- one way


def imports(module: str, source: str, is_package: bool) -> Iterator[str]:
    """Give the modules of the package that a module imports, wherever in it; for a type checker only is no import."""
    home = module.split(".") if module else []
    if not is_package:
        home = home[:-1]
    for node in _outside_type_checking(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                a.name.partition(".")[2] for a in node.names if a.name.split(".")[0] == "eventlab"
            )
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, home)


def _imported_from(node: ast.ImportFrom, home: list[str]) -> Iterator[str]:
    if node.level:
        base = home[: len(home) - (node.level - 1)] + (
            node.module.split(".") if node.module else []
        )
    elif (node.module or "").split(".")[0] == "eventlab":
        base = (node.module or "").split(".")[1:]
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


def wrong_way(module: str, target: str) -> str | None:
    """Say what is wrong with an import, if anything is."""
    part, other = module.partition(".")[0], target.partition(".")[0]
    if part == other:
        return None
    if level(other) > level(part):
        return f"{module or 'eventlab'} imports {target}, which stands above it"
    if other in ASIDE and level(part) < LEVELS["cli"] and part not in ASIDE:
        return f"{module} imports {target}, which is for the reader"
    if part in ASIDE and other in ASIDE and "sandbox" in (part, other):
        return f"{module} imports {target}"
    return None


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    module = name_of(path)
    found = imports(module, path.read_text("utf-8"), path.name == "__init__.py")
    assert [fault for target in found if (fault := wrong_way(module, target))] == []


def test_no_two_modules_import_each_other() -> None:
    graph = {
        name_of(p): set(imports(name_of(p), p.read_text("utf-8"), p.name == "__init__.py"))
        for p in SOURCES
    }
    graph.pop("", None)  # everything below the front door is loaded through it
    while leaves := {m for m, targets in graph.items() if not (targets - {m}) & graph.keys()}:
        for leaf in leaves:
            del graph[leaf]
    assert graph == {}, "these import each other"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from eventlab.events import Event"),
        ("store", "import eventlab.repository"),
        ("repository", "def late():\n    from .accounts import account"),
        ("projections.projector", "from eventlab import charts"),
        ("mailroom.router", "from ..sandbox import gmail"),
        ("accounts.http.app", "from eventlab.cli.main import main"),
        ("store", "from eventlab import connect"),
    ],
)
def test_an_import_upwards_is_found(module: str, source: str) -> None:
    assert [
        fault for target in imports(module, source, False) if (fault := wrong_way(module, target))
    ]


def test_an_import_for_types_only_is_none() -> None:
    assert (
        list(
            imports(
                "errors",
                "if TYPE_CHECKING:\n    from eventlab.store.store import EventStore",
                False,
            )
        )
        == []
    )


# ------------------------------------------------------------------------------------------------ quiet on import

WATCH = """
import os, sys, threading
REFUSED = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove",
           "os.rename", "os.rmdir", "os.kill", "tempfile.", "shutil.", "_thread.start_new_thread", "signal.")
HARMLESS = ("socket.__new__", "socket.gethostname")   # what third parties look up about themselves
def watch(event, args):
    if not armed or event in HARMLESS:
        return
    if event == "open" and (set("wax+") & set(str(args[1] or "")) or int(args[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
        raise SystemExit(f"importing opens {args[0]!r} for writing")
    if event.startswith(REFUSED):
        raise SystemExit(f"importing does {event} {args!r:.200}")
def start(self):
    raise SystemExit("importing starts a thread")
armed = False
sys.addaudithook(watch)
for name in filter(None, sys.argv[2].split(",")):
    __import__(name)
threading.Thread.start, armed = start, True
for name in sys.argv[1].split(","):
    print(name)
    __import__(name)
armed = False
"""
#: What draws and shows keeps caches of its own; what is asked here is what our import adds.
THEIRS = ["matplotlib.pyplot", "pandas", "ipywidgets", "IPython.display", "tqdm.auto", "requests"]
ASKS_FOR_IPV6 = ["urllib3"]  # by a socket, when it is imported


def import_quietly(
    modules: Sequence[str], already: Sequence[str] = (), path: Path = ROOT
) -> tuple[int, list[str], str]:
    """Import modules in a fresh interpreter that refuses all else; give its status, what it tried, its complaint."""
    command = [
        sys.executable,
        "-B",
        "-W",
        "error",
        "-c",
        WATCH,
        ",".join(modules),
        ",".join(already),
    ]
    done = subprocess.run(
        command, cwd=path, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


def modules(aside: bool) -> list[str]:
    names = [name_of(p) for p in SOURCES if not name_of(p).endswith("__main__")]
    return [f"eventlab.{n}".rstrip(".") for n in names if (n.partition(".")[0] in ASIDE) is aside]


@pytest.mark.parametrize(
    ("names", "already"),
    [(modules(aside=False), ASKS_FOR_IPV6), (modules(aside=True), THEIRS)],
    ids=["all", "aside"],
)
def test_importing_does_nothing_else(names: list[str], already: list[str]) -> None:
    assert names, "no module was found"
    assert import_quietly(names, already) == (0, names, "")


@pytest.mark.parametrize(
    "line",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "open('left_behind', 'w')",
        "from pathlib import Path; Path('left_behind').mkdir()",
        "import subprocess; subprocess.Popen(['true'])",
        "import threading; threading.Thread(target=lambda: None).start()",
        "import threading; threading.Timer(5, print).start()",
    ],
)
def test_a_noisy_import_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(line)
    status, _tried, complaint = import_quietly(["noisy"], path=tmp_path)
    assert (status, complaint.startswith("importing ")) == (1, True)
    assert not (tmp_path / "left_behind").exists()


# ---------------------------------------------------------------------------------------------------- documented


def undocumented(source: str) -> list[str]:
    """Give the public classes, functions and methods that have no docstring."""
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
    return missing + [name for name, node in _public(tree, "") if not ast.get_docstring(node)]


def _public(
    parent: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    for node in parent.body:
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        if any(
            "overload" in ast.unparse(d) or ".setter" in ast.unparse(d) for d in node.decorator_list
        ):
            continue
        yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from _public(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_what_is_public_is_documented(path: Path) -> None:
    assert undocumented(path.read_text("utf-8")) == []


def test_what_is_undocumented_is_found() -> None:
    source = '"""A."""\nclass B:\n    def c(self): ...\n    def _d(self): ...\nasync def e(): ...\ndef _f(): ...\n'
    assert undocumented(source) == ["B", "B.c", "e"]
    assert undocumented("x = 1") == ["the module"]


# --------------------------------------------------------------------------------------- at home on any machine

WIPES = re.compile(r"flush_?(?:all|db)\b|drop_?database\b", re.IGNORECASE)
#: Folders of one machine, and the hosts that packages come from; in pieces, that this file is not found by itself.
FOREIGN = re.compile(
    r"(?<![\w.])/"
    + r"(?:work|root)/\w|/ho"
    + r"me/(?!jovyan|learner)\w|py"
    + r"pi\.org|python"
    + r"hosted|npm"
    + r"js\."
)
TEXT = {
    ".py",
    ".lua",
    ".md",
    ".toml",
    ".txt",
    ".cfg",
    ".ipynb",
    ".sh",
    ".svg",
    ".html",
    ".json",
    ".yml",
    ".yaml",
    "",
}
NOT_OURS = {"__pycache__", "build", "dist"}


def files_of_ours() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if any(
            (part.startswith(".") and part != ".ci")
            or part in NOT_OURS
            or part.endswith(".egg-info")
            for part in parts
        ):
            continue
        if path.is_file() and path.suffix in TEXT:
            yield path


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_is_wiped(path: Path) -> None:
    assert WIPES.findall(path.read_text("utf-8")) == []


def test_no_file_names_a_folder_of_one_machine_or_a_registry() -> None:
    found = {
        str(p.relative_to(ROOT)): m[0]
        for p in files_of_ours()
        if (m := FOREIGN.search(p.read_text("utf-8")))
    }
    found = {
        name: text for name, text in found.items() if name != "tests/notebooks/test_rules.py"
    }  # its bad samples
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["redis.flush" + "all()", "FLUSH" + "DB", "drop_" + "database('x')", "drop" + "Database"],
)
def test_a_wipe_is_found(text: str) -> None:
    assert WIPES.search(text)


@pytest.mark.parametrize(
    "text", ["see /wo" + "rk/main", "'/ro" + "ot/x'", "/ho" + "me/me/x", "https://py" + "pi.org/x"]
)
def test_a_foreign_name_is_found(text: str) -> None:
    assert FOREIGN.search(text)

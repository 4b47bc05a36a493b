"""What every page must keep to: one small function per rule, each giving the faults it finds in one notebook.

Rules about more than one page (`order`, `one_setup_cell`) and about Markdown files (`broken_links`) stand at the end.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from nbformat.validator import iter_validate

from tools.notebooks import dumps, normalise, read, without_pictures

ROOT = Path(__file__).resolve().parents[1]
MAX_IGNORED = 2
LIBRARIES = (
    *(
        "IPython",
        "bson",
        "fastapi",
        "google",
        "google_auth_oauthlib",
        "googleapiclient",
        "ipywidgets",
        "matplotlib",
    ),
    "exercises",  # notebooks/exercises: the judges of the exercises, in files of their own
    *("msgspec", "numpy", "pandas", "pymongo", "redis", "requests", "tqdm", "uvicorn"),
)
#: What the first cell must say, and the words by which a reader finds it.
OPENING = {
    "what the reader will be able to do": r"you will be able to",
    "what he needs": r"you need",
    "how long it takes": r"\b\d+ minutes",
}

_LINK = re.compile(
    r"""\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*)?\)|(?:href|src)\s*=\s*["']([^"']+)["']"""
)
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ABSOLUTE = re.compile(
    r"(?<![\w.}])/(?:home|root|work|tmp|usr|opt|var|srv|private|Users|mnt)/\w|\b[A-Z]:\\\\?\w"
)
_WIPES = re.compile(r"flush_?(?:all|db)|drop_?database", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """A notebook, where it lies, and the text of its file."""

    path: Path
    nb: NotebookNode
    text: str

    @classmethod
    def load(cls, path: Path) -> Page:
        """Read the page of a file."""
        return cls(path, read(path), path.read_text("utf-8"))

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """The code cells, each with its place in the notebook."""
        return [(i, c) for i, c in enumerate(self.nb.cells) if c.cell_type == "code"]

    @property
    def prose(self) -> list[tuple[int, NotebookNode]]:
        """The Markdown cells, each with its place in the notebook."""
        return [(i, c) for i, c in enumerate(self.nb.cells) if c.cell_type == "markdown"]


def tags(cell: NotebookNode) -> list[str]:
    """Give a cell's tags."""
    return list(cell.metadata.get("tags", []))


def without_ignored(nb: NotebookNode) -> NotebookNode:
    """Give a copy without what strict nbval does not compare either: pictures, and outputs tagged so."""
    nb = without_pictures(nb)
    for cell in nb.cells:
        if "nbval-ignore-output" in tags(cell):
            cell.outputs = []
        for output in cell.get("outputs", []):
            output.pop("traceback", None)
    return nb


# ------------------------------------------------------------------------------------------ the file's form


def valid(page: Page) -> list[str]:
    """The file is a valid notebook of format 4.5."""
    errors = iter_validate(page.nb, version=4, version_minor=5)  # type: ignore[no-untyped-call]
    faults = [f"not a valid notebook: {error.message}" for error in errors]
    return (
        faults
        if (page.nb.nbformat, page.nb.nbformat_minor) == (4, 5)
        else [*faults, "not notebook format 4.5"]
    )


def settled(page: Page) -> list[str]:
    """The file is in the form that `make notebooks` gives: no widget state, no times, no version, no chance order."""
    return (
        []
        if dumps(normalise(page.nb)) == page.text
        else ["not in the settled form: run `make notebooks`"]
    )


def unique_ids(page: Page) -> list[str]:
    """Every cell has an id of its own."""
    ids = [cell.get("id") for cell in page.nb.cells]
    return [
        f"cell {i}: id {known!r} is missing or taken"
        for i, known in enumerate(ids)
        if not known or known in ids[:i]
    ]


# --------------------------------------------------------------------------------------------- what it shows


def counted(page: Page) -> list[str]:
    """Every code cell was run, in order: a cell without a count is one that nbval does not compare."""
    return [
        f"cell {i}: count {cell.execution_count}, expected {n}"
        for n, (i, cell) in enumerate(page.code, start=1)
        if cell.execution_count != n
    ]


def errors_are_meant(page: Page) -> list[str]:
    """A stored error has the tag `raises-exception`, and a cell with the tag has a stored error."""
    faults = []
    for i, cell in page.code:
        raised = [o.ename for o in cell.outputs if o.output_type == "error"]
        meant = "raises-exception" in tags(cell)
        if raised and not meant:
            faults.append(f"cell {i}: stored error {raised[0]} without the tag raises-exception")
        if meant and not raised:
            faults.append(
                f"cell {i}: tagged raises-exception, but no error is stored, so nbval would not miss it"
            )
    return faults


def nothing_skipped(page: Page) -> list[str]:
    """No cell is kept from nbval; a few outputs may be, with the reason in the text above ("not compared …")."""
    faults, ignored = [], 0
    for i, cell in page.code:
        if re.search(r"nbval[_-]", cell.source, re.IGNORECASE):
            faults.append(f"cell {i}: a comment for nbval; use a tag")
        for tag in tags(cell):
            if tag in ("nbval-skip", "nbval-raises-exception"):
                faults.append(f"cell {i}: tag {tag}")
        if "nbval-ignore-output" in tags(cell):
            ignored += 1
            above = page.nb.cells[i - 1] if i else None
            if above is None or above.cell_type != "markdown" or "not compared" not in above.source:
                faults.append(
                    f"cell {i}: nbval-ignore-output, but the text above does not say why ('not compared …')"
                )
    if ignored > MAX_IGNORED:
        faults.append(f"{ignored} outputs ignored, at most {MAX_IGNORED}")
    return faults


def no_hushing(page: Page) -> list[str]:
    """No cell hides its value by a semicolon at the end: nbval runs cells so that it shows all the same."""
    return [
        f"cell {i}: ends with a semicolon; assign the value to _"
        for i, c in page.code
        if _hushes(c.source)
    ]


def _hushes(source: str) -> bool:
    last = source.rstrip().rpartition("\n")[2]
    return last.endswith(";") and not last.lstrip().startswith("#")


def no_absolute_path(page: Page) -> list[str]:
    """No path of some machine, neither in a source nor in an output."""
    faults = []
    for i, cell in enumerate(page.nb.cells):
        for text in (cell.source, *_shown(cell)):
            if found := _ABSOLUTE.search(text):
                faults.append(
                    f"cell {i}: absolute path {text[found.start() : found.start() + 30]!r}"
                )
    return faults


def _shown(cell: NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield from output.get("traceback", [])
        yield from (
            str(v) for mime, v in output.get("data", {}).items() if not mime.startswith("image/p")
        )


# ------------------------------------------------------------------------------------------------ what it does


def _trees(page: Page) -> Iterator[tuple[int, ast.Module]]:
    plain = TransformerManager()  # type: ignore[no-untyped-call]
    for i, cell in page.code:
        yield i, ast.parse(plain.transform_cell(cell.source))


def public_imports(page: Page) -> list[str]:
    """Only public names of eventlab, the standard library and the listed libraries are imported."""
    return [
        f"cell {i}: imports {name}"
        for i, tree in _trees(page)
        for name in _imported(tree)
        if not _allowed(name.split("."))
    ]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names
            )
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "eventlab"
        ):
            yield f"eventlab.{node.attr}"


def _allowed(parts: list[str]) -> bool:
    if parts[0] == "eventlab":
        return not any(part.startswith("_") or part == "*" for part in parts[1:])
    return parts[0] in LIBRARIES or parts[0] in sys.stdlib_module_names


def wipes_nothing(page: Page) -> list[str]:
    """No page empties a server: it may be the reader's own."""
    return [f"cell {i}: {m[0]}" for i, cell in page.code if (m := _WIPES.search(cell.source))]


# ------------------------------------------------------------------------------------------------- what it says


def opening(page: Page) -> list[str]:
    """The first cell is the title, what the reader will be able to do, what he needs, and how long it takes."""
    first = page.nb.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        return ["the first cell is not a title"]
    return [
        f"the first cell does not say {what}"
        for what, how in OPENING.items()
        if not re.search(how, first.source, re.I)
    ]


def ending(page: Page) -> list[str]:
    """The last cell says what comes next."""
    last = page.nb.cells[-1]
    said = last.cell_type == "markdown" and re.search(r"\bnext\b", last.source, re.IGNORECASE)
    return [] if said else ["the last cell does not say what comes next"]


def links(page: Page) -> list[str]:
    """Every link to a page, a heading or a picture leads somewhere, in the notebooks' folder: Lab shows no other."""
    where, folder = page.path, page.path.parent
    return [
        f"cell {i}: {fault}"
        for i, cell in page.prose
        for fault in broken_links(where, cell.source, page.nb, folder)
    ]


RULES: Sequence[Callable[[Page], list[str]]] = (
    valid, settled, unique_ids, counted, errors_are_meant, nothing_skipped, no_hushing, no_absolute_path,
    public_imports, wipes_nothing, opening, ending, links,
)  # fmt: skip


# ------------------------------------------------------------------------------------------- more than one page


def one_setup_cell(pages: Sequence[Page]) -> list[str]:
    """The first code cell is the same on every page."""
    first = [page.code[0][1].source if page.code else "" for page in pages]
    return [
        f"{p.path.name}: its first code cell differs"
        for p, s in zip(pages, first, strict=True)
        if s != first[0]
    ]


def order(pages: Sequence[Page]) -> list[str]:
    """The pages are numbered from 00 on without a hole, and each one's last cell leads to the following."""
    numbers = [page.path.name[:2] for page in pages]
    faults = [
        f"{page.path.name}: no number" for page in pages if not re.match(r"\d\d_", page.path.name)
    ]
    if numbers != [f"{number:02d}" for number in range(len(pages))]:
        faults.append(f"the pages are numbered {numbers}: begin with 00, and leave out none")
    for page, following in itertools.pairwise(pages):
        if following.path.name not in page.nb.cells[-1].source:
            faults.append(f"{page.path.name}: its last cell has no link to {following.path.name}")
    return faults


def broken_links(
    path: Path, markdown: str, nb: NotebookNode | None = None, root: Path = ROOT
) -> list[str]:
    """Give the links in a piece of Markdown of the file `path` that lead nowhere; other sites are not tried."""
    faults = []
    for found in _LINK.finditer(_CODE.sub("", markdown)):
        target = found[1] or found[2]
        if _ELSEWHERE.match(target) or target.startswith("//"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / unquote(name)).resolve() if name else path
        if name and (name.startswith("/") or not file.is_relative_to(root) or not file.exists()):
            faults.append(f"link {target!r} leads to no file")
        elif anchor and unquote(anchor) not in _anchors(file, nb if not name else None):
            faults.append(f"link {target!r} leads to no heading")
    return faults


def _anchors(file: Path, nb: NotebookNode | None) -> set[str]:
    if file.suffix != ".ipynb":
        return {_github(h) for h in _headings(file.read_text("utf-8"))}
    cells = (nb or read(file)).cells
    return {
        h.replace(" ", "-") for c in cells if c.cell_type == "markdown" for h in _headings(c.source)
    }


def _headings(markdown: str) -> list[str]:
    fenced = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
    plain = (
        re.sub(r"[*`]", "", line)
        for line in re.findall(r"^#{1,6} +(.+?) *#*$", fenced.sub("", markdown), re.M)
    )
    return [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in plain]


def _github(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

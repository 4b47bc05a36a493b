"""The rules for notebooks, with one small function per rule.

A function's docstring states its rule, and the function returns the problems that it finds on a
page. Rules for all pages together (`order`, `one_setup_cell`) and for Markdown files
(`broken_links`) are at the end.
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

from tools.notebooks import PNG, dumps, normalise, read, without_pictures

ROOT = Path(__file__).resolve().parents[1]
MAX_IGNORED = 2
MINUTES_PER_EXERCISE = 4
LIBRARIES = (
    "IPython",
    "bson",
    "exercises",  # notebooks/exercises, which contains the exercises and their judges
    "fastapi",
    "google",
    "google_auth_oauthlib",
    "googleapiclient",
    "ipywidgets",
    "matplotlib",
    "msgspec",
    "numpy",
    "pandas",
    "pymongo",
    "redis",
    "requests",
    "tqdm",
    "uvicorn",
)
#: The first line of a folded output.
FOLDED = "compare with your prediction:"
#: The statements that the first cell must contain, and the pattern that finds each of them.
OPENING = {
    "what the reader will be able to do": r"you will be able to",
    "what the reader needs": r"you need",
    "how long it takes": r"\b\d+ minutes",
}

_LINK = re.compile(
    r"""\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*)?\)|(?:href|src)\s*=\s*["']([^"']+)["']"""
)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)")
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ABSOLUTE = re.compile(
    r"(?<![\w.}])/(?:home|root|work|tmp|usr|opt|var|srv|private|Users|mnt)/\w|\b[A-Z]:\\\\?\w"
)
_UNGUARDED = re.compile(r"\bPopen\b|\bcreate_subprocess_\w+|\bspawn[lv]\w*")
_WIPES = re.compile(r"flush_?(?:all|db)|drop_?database", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """A notebook, with its path and the text of its file."""

    path: Path
    nb: NotebookNode
    text: str

    @classmethod
    def load(cls, path: Path) -> Page:
        """Read a page from a file."""
        return cls(path, read(path), path.read_text("utf-8"))

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """The code cells, each with its index in the notebook."""
        return [(i, c) for i, c in enumerate(self.nb.cells) if c.cell_type == "code"]

    @property
    def prose(self) -> list[tuple[int, NotebookNode]]:
        """The Markdown cells, each with its index in the notebook."""
        return [(i, c) for i, c in enumerate(self.nb.cells) if c.cell_type == "markdown"]


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def without_ignored(nb: NotebookNode) -> NotebookNode:
    """Return a copy without what nbval does not compare: pictures, tracebacks, ignored outputs."""
    nb = without_pictures(nb)
    for cell in nb.cells:
        if "nbval-ignore-output" in tags(cell):
            cell.outputs = []
        for output in cell.get("outputs", []):
            output.pop("traceback", None)
    return nb


# ----------------------------------------------------------------------------- the form of the file


def valid(page: Page) -> list[str]:
    """The file is a valid notebook of format 4.5."""
    errors = iter_validate(page.nb, version=4, version_minor=5)  # type: ignore[no-untyped-call]
    problems = [f"not a valid notebook: {error.message}" for error in errors]
    return (
        problems
        if (page.nb.nbformat, page.nb.nbformat_minor) == (4, 5)
        else [*problems, "not notebook format 4.5"]
    )


def normalized(page: Page) -> list[str]:
    """The file is as `make notebooks` writes it: no widget state, times or versions."""
    return (
        []
        if dumps(normalise(page.nb)) == page.text
        else ["not in the normalized form: run `make notebooks`"]
    )


def unique_ids(page: Page) -> list[str]:
    """Every cell has a unique id."""
    ids = [cell.get("id") for cell in page.nb.cells]
    return [
        f"cell {i}: id {known!r} is missing or a duplicate"
        for i, known in enumerate(ids)
        if not known or known in ids[:i]
    ]


# ------------------------------------------------------------------------------------ what it shows


def counted(page: Page) -> list[str]:
    """Every code cell was run, in order, because nbval does not compare a cell without a count."""
    return [
        f"cell {i}: count {cell.execution_count}, expected {n}"
        for n, (i, cell) in enumerate(page.code, start=1)
        if cell.execution_count != n
    ]


def errors_are_meant(page: Page) -> list[str]:
    """A cell has the tag `raises-exception` if and only if it has a stored error."""
    problems = []
    for i, cell in page.code:
        raised = [o.ename for o in cell.outputs if o.output_type == "error"]
        meant = "raises-exception" in tags(cell)
        if raised and not meant:
            problems.append(f"cell {i}: stored error {raised[0]} without the tag raises-exception")
        if meant and not raised:
            problems.append(
                f"cell {i}: tagged raises-exception, but has no stored error for nbval to compare"
            )
    return problems


def nothing_skipped(page: Page) -> list[str]:
    """No cell is excluded from nbval.

    A few outputs may be excluded if the text above them says why ("not compared …").
    """
    problems, ignored = [], 0
    for i, cell in page.code:
        if re.search(r"nbval[_-]", cell.source, re.IGNORECASE):
            problems.append(f"cell {i}: a comment for nbval; use a tag")
        for tag in tags(cell):
            if tag in ("nbval-skip", "nbval-raises-exception"):
                problems.append(f"cell {i}: tag {tag}")
        if "nbval-ignore-output" in tags(cell):
            ignored += 1
            above = page.nb.cells[i - 1] if i else None
            if above is None or above.cell_type != "markdown" or "not compared" not in above.source:
                problems.append(
                    f"cell {i}: nbval-ignore-output, but the text above does not say why "
                    "('not compared …')"
                )
    if ignored > MAX_IGNORED:
        problems.append(f"{ignored} outputs ignored, at most {MAX_IGNORED}")
    return problems


def no_final_semicolon(page: Page) -> list[str]:
    """No cell hides its value with a final semicolon, because nbval shows the value anyway."""
    return [
        f"cell {i}: ends with a semicolon; assign the value to _"
        for i, c in page.code
        if _ends_with_semicolon(c.source)
    ]


def _ends_with_semicolon(source: str) -> bool:
    last = source.rstrip().rpartition("\n")[2]
    return last.endswith(";") and not last.lstrip().startswith("#")


def no_absolute_path(page: Page) -> list[str]:
    """Neither the source nor the output of a cell contains an absolute path."""
    problems = []
    for i, cell in enumerate(page.nb.cells):
        for text in (cell.source, *_shown(cell)):
            if found := _ABSOLUTE.search(text):
                problems.append(
                    f"cell {i}: absolute path {text[found.start() : found.start() + 30]!r}"
                )
    return problems


def _shown(cell: NotebookNode) -> Iterator[str]:
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield from output.get("traceback", [])
        yield from (
            str(v) for mime, v in output.get("data", {}).items() if not mime.startswith("image/p")
        )


# ------------------------------------------------------------------------------------- what it does


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
    """No page deletes all data of a server, because the server may be the reader's own."""
    return [f"cell {i}: {m[0]}" for i, cell in page.code if (m := _WIPES.search(cell.source))]


def guards_its_processes(page: Page) -> list[str]:
    """A cell starts background processes only with `guarded`, so that they end with the kernel."""
    return [f"cell {i}: {m[0]}" for i, cell in page.code if (m := _UNGUARDED.search(cell.source))]


# ------------------------------------------------------------------------------------- what it says


def opening(page: Page) -> list[str]:
    """The first cell has the title, the goals, the requirements, and the time needed."""
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
    found = last.cell_type == "markdown" and re.search(r"\bnext\b", last.source, re.IGNORECASE)
    return [] if found else ["the last cell does not say what comes next"]


def links(page: Page) -> list[str]:
    """Every link to a page, heading or picture has a target in the notebooks' folder.

    JupyterLab cannot open other files.
    """
    where, folder = page.path, page.path.parent
    return [
        f"cell {i}: {problem}"
        for i, cell in page.prose
        for problem in broken_links(where, cell.source, page.nb, folder)
    ]


def headings_step_down(page: Page) -> list[str]:
    """A heading is at most one level below the previous heading, as in the website's contents."""
    problems, last = [], 0
    for i, cell in page.prose:
        for marks in re.findall(r"^(#{1,6}) ", _CODE.sub("", cell.source), re.MULTILINE):
            if len(marks) > last + 1:
                problems.append(f"cell {i}: a heading of level {len(marks)} follows one of {last}")
            last = len(marks)
    return problems


def alt_texts(page: Page) -> list[str]:
    """Every picture has a description: ``![words](…)`` or ``charts.show("words")``."""
    problems = [
        f"cell {i}: picture {found[2]!r} has no alt text"
        for i, cell in page.prose
        for found in _PICTURE.finditer(_CODE.sub("", cell.source))
        if not found[1].strip()
    ]
    for i, cell in page.code:
        for output in cell.outputs:
            about = output.get("metadata", {}).get(PNG, {})
            if PNG in output.get("data", {}) and not about.get("alt", "").strip():
                problems.append(f"cell {i}: the figure has no alt text; use charts.show(...)")
    return problems


def folds_hide_the_answer(page: Page) -> list[str]:
    """Every folded output begins with the same line, because JupyterLab still shows that line."""
    problems = []
    for i, cell in page.code:
        if cell.metadata.get("jupyter", {}).get("outputs_hidden"):
            first = cell.outputs[0].get("text", "") if cell.outputs else ""
            if first.partition("\n")[0] != FOLDED:
                problems.append(f"cell {i}: its folded output does not begin with {FOLDED!r}")
    return problems


def minutes_are_honest(page: Page) -> list[str]:
    """The page does not promise a shorter time than it takes.

    A minute is enough for 180 words of prose or six lines of code. An exercise takes four minutes.
    """
    words = sum(len(cell.source.split()) for _, cell in page.prose)
    lines = sum(len(cell.source.splitlines()) for _, cell in page.code)
    exercises = sum("exercise" in tags(cell) for _, cell in page.code)
    needed = words / 180 + lines / 6 + exercises * MINUTES_PER_EXERCISE
    found = re.search(r"\b(\d+) minutes", page.nb.cells[0].source)
    promised = int(found[1]) if found else 0
    # Promises are rounded to five minutes, so that a small edit does not change them.
    return (
        []
        if promised >= needed - 2.5
        else [f"promises {promised} minutes; reading it takes about {needed:.0f}"]
    )


RULES: Sequence[Callable[[Page], list[str]]] = (
    valid,
    normalized,
    unique_ids,
    counted,
    errors_are_meant,
    nothing_skipped,
    no_final_semicolon,
    no_absolute_path,
    public_imports,
    wipes_nothing,
    guards_its_processes,
    opening,
    ending,
    links,
    headings_step_down,
    alt_texts,
    folds_hide_the_answer,
    minutes_are_honest,
)


# ------------------------------------------------------------------------------- more than one page


def one_setup_cell(pages: Sequence[Page]) -> list[str]:
    """The first code cell is the same on every page."""
    first = [page.code[0][1].source if page.code else "" for page in pages]
    return [
        f"{p.path.name}: its first code cell differs"
        for p, s in zip(pages, first, strict=True)
        if s != first[0]
    ]


def order(pages: Sequence[Page]) -> list[str]:
    """The pages are numbered from 00 without gaps, and the last cell of each links to the next."""
    numbers = [page.path.name[:2] for page in pages]
    problems = [
        f"{page.path.name}: no number" for page in pages if not re.match(r"\d\d_", page.path.name)
    ]
    if numbers != [f"{number:02d}" for number in range(len(pages))]:
        problems.append(f"the pages are numbered {numbers}: start at 00 and leave no gaps")
    for page, following in itertools.pairwise(pages):
        if following.path.name not in page.nb.cells[-1].source:
            problems.append(f"{page.path.name}: its last cell has no link to {following.path.name}")
    return problems


def broken_links(
    path: Path, markdown: str, nb: NotebookNode | None = None, root: Path = ROOT
) -> list[str]:
    """Return the broken links in the Markdown of the file `path`; ignore external links."""
    problems = []
    for found in _LINK.finditer(_CODE.sub("", markdown)):
        target = found[1] or found[2]
        if _ELSEWHERE.match(target) or target.startswith("//"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / unquote(name)).resolve() if name else path
        if name and (name.startswith("/") or not file.is_relative_to(root) or not file.exists()):
            problems.append(f"link {target!r} does not point to a file")
        elif anchor and unquote(anchor) not in _anchors(file, nb if not name else None):
            problems.append(f"link {target!r} does not point to a heading")
    return problems


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

"""The notebooks follow the rules of tools/rules.py, and each rule reports a page that breaks it."""

from __future__ import annotations

import base64
import copy
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tools import notebooks, rules
from tools.rules import Page

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [Page.load(path) for path in PATHS]
MARKDOWN = [
    p
    for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "notebooks").glob("*.md"))
    if p.exists()
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.stem)

# ----------------------------------------------------------------------------------- the real pages


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@each_page
def test_page_follows_each_rule(page: Page, rule: Callable[[Page], list[str]]) -> None:
    assert rule(page) == [], rule.__doc__


@pytest.mark.parametrize(
    "rule", [rules.order, rules.one_setup_cell], ids=lambda rule: rule.__name__
)
def test_pages_together_follow_each_rule(rule: Callable[[Sequence[Page]], list[str]]) -> None:
    assert PAGES, "there is no notebook"
    assert rule(PAGES) == [], rule.__doc__


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_markdown_file_has_no_broken_link(path: Path) -> None:
    assert rules.broken_links(path, path.read_text("utf-8")) == []


@pytest.mark.parametrize("name", ["README.md", "notebooks/00_start_here.ipynb"])
def test_map_lists_every_page(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert [p.name for p in PATHS if p.name not in text and p.name not in name] == []


# ---------------------------------------------------------------- run again, and beside one another


@pytest.fixture(scope="module")
def rounds() -> list[dict[Path, NotebookNode | Exception]]:
    """Run every page twice, two at a time, and in the second round beside a different page."""
    return [run_in_pairs(PAGES), run_in_pairs(PAGES[1:] + PAGES[:1])]


def run_in_pairs(pages: Sequence[Page]) -> dict[Path, NotebookNode | Exception]:
    """Run the pages two at a time; the last of an odd number runs beside the first."""
    ran: dict[Path, NotebookNode | Exception] = {}
    for at in range(0, len(pages), 2):
        pair = (pages[at], pages[(at + 1) % len(pages)])
        ran |= zip(
            (p.path for p in pair), notebooks.run_together([p.nb for p in pair]), strict=True
        )
    return ran


@each_page
@pytest.mark.pages
@pytest.mark.parametrize("turn", [0, 1], ids=["first", "second"])
def test_page_output_is_the_same_when_run_twice_and_beside_another(
    page: Page, turn: int, rounds: list[dict[Path, NotebookNode | Exception]]
) -> None:
    ran = rounds[turn][page.path]
    assert not isinstance(ran, Exception), str(ran)
    assert notebooks.dumps(rules.without_ignored(ran)) == notebooks.dumps(
        rules.without_ignored(page.nb)
    )


# ---------------------------------------------------------------------- the rules, on a bad page


def toy() -> NotebookNode:
    """Return a small page that follows every rule."""
    opening = (
        "# Toy\n\n**You will be able to** add.\n\n**You need** nothing.\n\n**Time:** 5 minutes."
    )
    setup, adding, failing = (new_code_cell(s) for s in ("import json", "print(1 + 1)", "1 / 0"))
    adding.outputs = [new_output("stream", name="stdout", text="2\n")]
    failing.metadata["tags"] = ["raises-exception"]
    failing.outputs = [
        new_output(
            "error",
            ename="ZeroDivisionError",
            evalue="division by zero",
            traceback=["division by zero"],
        )
    ]
    cells = [new_markdown_cell(opening), setup, adding, new_markdown_cell("## A heading"), failing]
    end = new_markdown_cell("**Next:** [up](#A-heading), [the file](README.md#some-where)")
    return notebooks.normalise(new_notebook(cells=[*cells, end]))


def page_of(nb: NotebookNode, where: Path, text: str | None = None) -> Page:
    return Page(where / "00_toy.ipynb", nb, notebooks.dumps(nb) if text is None else text)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a folder in place of the notebooks' folder, with a README."""
    (tmp_path / "README.md").write_text("# Some *where*\n")
    return tmp_path.resolve()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_accepts_a_good_page(rule: Callable[[Page], list[str]], here: Path) -> None:
    assert rule(page_of(toy(), here)) == []


def tag(cell: int, name: str) -> Callable[[NotebookNode], None]:
    def change(nb: NotebookNode) -> None:
        nb.cells[cell].metadata["tags"] = [*nb.cells[cell].metadata.get("tags", []), name]

    return change


def untag(nb: NotebookNode) -> None:
    nb.cells[4].metadata = {}


def source(cell: int, text: str) -> Callable[[NotebookNode], None]:
    def change(nb: NotebookNode) -> None:
        nb.cells[cell].source = text

    return change


def output(cell: int, *outputs: NotebookNode) -> Callable[[NotebookNode], None]:
    def change(nb: NotebookNode) -> None:
        nb.cells[cell].outputs = list(outputs)

    return change


def put(cell: int, **values: object) -> Callable[[NotebookNode], None]:
    return lambda nb: nb.cells[cell].update(values)


def ignored(times: int) -> Callable[[NotebookNode], None]:
    def change(nb: NotebookNode) -> None:
        for _ in range(times):
            nb.cells[1:1] = [new_markdown_cell("A rate: not compared."), new_code_cell("x")]
            tag(2, "nbval-ignore-output")(nb)

    return change


WIDGET = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
TIMES = {"execution": {"iopub.execute_input": "2024-01-01T00:00:00Z"}}
BAD: list[tuple[Callable[[Page], list[str]], Callable[[NotebookNode], object]]] = [
    (rules.valid, put(1, cell_type="chart")),
    (rules.valid, lambda nb: nb.update(nbformat_minor=4)),
    (rules.normalized, lambda nb: nb.metadata.update(widgets=WIDGET)),
    (rules.normalized, lambda nb: nb.metadata.language_info.update(version="3.11.7")),
    (rules.normalized, put(1, metadata=TIMES)),
    (
        rules.normalized,
        output(
            2,
            new_output(
                "display_data", {"text/plain": "x", notebooks.WIDGET_VIEW: {"model_id": "1"}}
            ),
        ),
    ),
    (rules.normalized, output(2, *(new_output("stream", name="stdout", text=t) for t in "ab"))),
    (rules.unique_ids, lambda nb: [c.update(id="same") for c in nb.cells]),
    (rules.unique_ids, lambda nb: nb.cells[1].pop("id")),
    (rules.counted, put(1, execution_count=None)),
    (rules.counted, put(2, execution_count=7)),
    (rules.counted, lambda nb: nb.cells.insert(2, new_code_cell(""))),
    (rules.errors_are_meant, untag),
    (rules.errors_are_meant, output(4)),
    (rules.nothing_skipped, tag(2, "nbval-skip")),
    (rules.nothing_skipped, tag(2, "nbval-ignore-output")),
    (rules.nothing_skipped, ignored(rules.MAX_IGNORED + 1)),
    (rules.nothing_skipped, source(2, "# NBVAL_SKIP\nprint(1)")),
    (rules.no_final_semicolon, source(2, "x = 1\nredis.delete('x');")),
    (rules.no_absolute_path, source(2, "open('/tmp/x')")),
    (rules.no_absolute_path, source(0, r"# See C:\Users")),
    (
        rules.no_absolute_path,
        output(2, new_output("stream", name="stdout", text="in /home/me/lab\n")),
    ),
    (
        rules.no_absolute_path,
        output(2, new_output("display_data", {"text/html": "<td>/work/main</td>"})),
    ),
    (
        rules.no_absolute_path,
        output(4, new_output("error", ename="E", evalue="no /usr/bin", traceback=[])),
    ),
    (rules.public_imports, source(2, "from eventlab.store.store import _keys")),
    (rules.public_imports, source(2, "import eventlab._hidden")),
    (rules.public_imports, source(2, "from eventlab import *")),
    (rules.public_imports, source(2, "import eventlab\neventlab._leases")),
    (rules.public_imports, source(2, "%pylab\nimport unheard_of")),
    (rules.public_imports, source(2, "from . import sibling")),
    (rules.wipes_nothing, source(2, "lab.redis.flushall()")),
    (rules.wipes_nothing, source(2, "lab.redis.execute_command('FLUSHDB')")),
    (rules.wipes_nothing, source(2, "client.drop_database('eventlab')")),
    (rules.wipes_nothing, source(2, "lab.mongo.command('dropDatabase')")),
    (rules.guards_its_processes, source(2, "subprocess.Popen([])")),
    (rules.guards_its_processes, source(2, "asyncio.create_subprocess_exec()")),
    (rules.opening, source(0, "Toy")),
    (rules.opening, source(0, toy().cells[0].source.replace("You will be able to", "We"))),
    (rules.opening, source(0, toy().cells[0].source.replace("You need", "With"))),
    (rules.opening, source(0, toy().cells[0].source.replace("5 minutes", "long"))),
    (rules.ending, source(5, "The end.")),
    (rules.ending, lambda nb: nb.cells.pop()),
    (rules.links, source(3, "[there](nowhere.ipynb)")),
    (rules.links, source(3, "[there](#No-heading)")),
    (rules.links, source(3, "[there](README.md#Some-where)")),
    (rules.links, source(3, "[there](..)")),
    (rules.links, source(3, "![a picture](none.svg 'a title')")),
    (rules.links, source(3, "<img src='none.svg'>")),
    (rules.headings_step_down, source(3, "## A heading\n\n#### Two below it")),
    (rules.alt_texts, source(3, "![ ](README.md)")),
    (
        rules.alt_texts,
        output(2, new_output("display_data", {"text/plain": "x", notebooks.PNG: "aa"})),
    ),
    (rules.folds_hide_the_answer, put(2, metadata={"jupyter": {"outputs_hidden": True}})),
    (rules.minutes_are_honest, source(3, "word " * 180 * 8)),
    (rules.minutes_are_honest, source(2, "print(1)\n" * 6 * 8)),
]


@pytest.mark.parametrize(
    ("rule", "spoil"), BAD, ids=[f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(BAD)]
)
def test_rule_reports_a_bad_page(
    rule: Callable[[Page], list[str]], spoil: Callable[[NotebookNode], object], here: Path
) -> None:
    bad = toy()
    spoil(bad)
    assert rule(page_of(bad, here))


def test_every_rule_has_a_bad_page() -> None:
    assert {rule for rule, _ in BAD} == set(rules.RULES)


def test_broken_links_ignores_code(here: Path) -> None:
    file = here / "a.md"
    assert rules.broken_links(file, "`[x](none)` and\n```\n[y](none)\n```\n", root=here) == []
    assert (
        len(rules.broken_links(file, "[x](none) [y](/none) [z](https://example.org/)", root=here))
        == 2
    )


def test_order_reports_missing_numbers_and_links(here: Path) -> None:
    one, two, three = (Page(here / f"{name}.ipynb", toy(), "") for name in ("00_a", "01_b", "03_c"))
    assert len(rules.order([one, two])) == 1  # no link
    assert any("numbered" in fault for fault in rules.order([two, three]))
    assert any("numbered" in fault for fault in rules.order([one, one]))
    one.nb.cells[-1].source += "[b](01_b.ipynb)"
    assert rules.order([one, two]) == []


def test_one_setup_cell_reports_a_different_cell(here: Path) -> None:
    pages = [page_of(toy(), here), page_of(toy(), here)]
    assert rules.one_setup_cell(pages) == []
    pages[1].nb.cells[1].source += "\n"
    assert len(rules.one_setup_cell(pages)) == 1


# --------------------------------------------------------------------------------- the normal form


def png(colour: str, software: str) -> str:
    about, file = PngInfo(), io.BytesIO()
    about.add_text("Software", software)
    Image.new("RGB", (4, 4), colour).save(
        file, "png", pnginfo=about, compress_level=len(software) % 10
    )
    return base64.b64encode(file.getvalue()).decode()


def drawn(colour: str, software: str = "one", text: str = "<Figure>") -> NotebookNode:
    cell = new_code_cell("plot()", id="plot")
    cell.outputs = [
        new_output("display_data", {"image/png": png(colour, software), "text/plain": text})
    ]
    return notebooks.normalise(new_notebook(cells=[cell]))


def test_normalise_removes_the_software_name_of_a_picture_only() -> None:
    raw, normalized = (
        png("red", "maker 1.0"),
        drawn("red", "maker 1.0").cells[0].outputs[0].data["image/png"],
    )
    assert b"maker" in base64.b64decode(raw)
    assert b"maker" not in base64.b64decode(normalized)
    assert notebooks.same_pixels(raw, normalized)


def test_keep_pictures_keeps_the_bytes_of_an_equal_picture() -> None:
    old, again = drawn("red", "four"), drawn("red", "sevenxx")
    assert notebooks.dumps(old) != notebooks.dumps(again)
    kept = notebooks.keep_pictures(again, old, notebooks.same_pixels)
    assert notebooks.dumps(kept) == notebooks.dumps(old)


@pytest.mark.parametrize(
    "other", [drawn("blue"), drawn("red", "four", text="<Other>")], ids=["pixels", "text"]
)
def test_keep_pictures_takes_a_different_picture(other: NotebookNode) -> None:
    kept = notebooks.keep_pictures(other, drawn("red"), notebooks.same_pixels)
    assert notebooks.dumps(kept) == notebooks.dumps(other)


def test_normalise_is_idempotent() -> None:
    once = toy()
    assert notebooks.dumps(notebooks.normalise(once)) == notebooks.dumps(once)


def test_normalise_keeps_what_a_reader_sees() -> None:
    nb = toy()
    noisy = copy.deepcopy(nb)
    noisy.metadata.language_info.version = "3.12.1"
    noisy.cells[1].metadata = {"execution": {}, "collapsed": False}
    noisy.cells[2].execution_count = 12
    noisy.cells[2].outputs = [
        new_output("stream", name="stdout", text=t) for t in ("99\r", "2", "\n")
    ]
    noisy.cells[4].outputs[0].traceback.insert(
        0, "\x1b[32mFile ~/here/store.py:12\x1b[0m in append()"
    )
    assert notebooks.dumps(notebooks.normalise(noisy)) == notebooks.dumps(nb)


def test_run_reproduces_the_stored_outputs_each_time(tmp_path: Path) -> None:
    """Two at a time, each in its own kernel."""
    nbformat.write(toy(), tmp_path / "a.ipynb")
    stored = notebooks.read(tmp_path / "a.ipynb")
    first, second = notebooks.run_together([stored, stored], tmp_path)
    assert notebooks.dumps(first) == notebooks.dumps(second)
    assert first.cells[2].outputs == stored.cells[2].outputs
    assert "\n".join(first.cells[4].outputs[0].traceback).count("ZeroDivisionError") >= 1
    assert rules.no_absolute_path(page_of(first, tmp_path)) == []

"""``jupyter nbconvert --to html`` shows what each cell shows, and no internals of a widget."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.notebooks.test_rules import PATHS
from tools import notebooks

#: How a widget, a bar that never moves, or an object without a text of its own is exported.
INTERNALS = re.compile(
    r"\b(?:VBox|HBox|Box|Tab|Accordion|HTML|Output|Button|ToggleButtons?|Label|RadioButtons|Dropdown"
    r"|(?:Int|Float|Selection)\w*Slider|(?:Int|Float)Progress|Textarea|Play)\((?:\w+=|\))"
    r"|\b0%\s*\||<IPython\.|<Figure size| object at 0x|widget-view"
)


def internals(page: NotebookNode) -> list[str]:
    """Return the internals of widgets that the outputs of a page show as HTML."""
    outputs = new_notebook(cells=[c.copy() for c in page.cells if c.cell_type == "code"])
    for cell in outputs.cells:
        cell.source = ""  # the code may name a widget
    exporter: Any = HTMLExporter(template_name="basic")
    body, _ = exporter.from_notebook_node(outputs)
    return INTERNALS.findall(html.unescape(re.sub(r'src="data:[^"]*"', "", body)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_page_as_html_shows_no_internals_of_a_widget(path: Path) -> None:
    assert internals(notebooks.read(path)) == []


@pytest.mark.parametrize(
    "shown",
    [
        {"text/plain": "VBox(children=(IntSlider(value=3), HTML(value='')))"},
        {"text/plain": "IntSlider(value=3, max=5)"},
        {"text/plain": "Output()"},
        {"text/plain": "  0%|          | 0/100 [00:00<?, ?it/s]"},
        {"text/plain": "<IPython.core.display.HTML object>"},
        {"text/plain": "<Figure size 640x480 with 1 Axes>"},
        {"text/plain": "<eventlab.x.Y object at 0x7f3c>"},
    ],
    ids=lambda shown: re.sub(r"\W+", "-", shown["text/plain"])[:20],
)
def test_internals_of_a_widget_are_found(shown: dict[str, str]) -> None:
    cell = new_code_cell("show()", outputs=[new_output("display_data", shown)])
    assert internals(new_notebook(cells=[cell]))


def test_widget_that_is_run_is_exported_with_its_table() -> None:
    """A reader's own export has the widget beside the table, and no state to draw it from."""
    view = {notebooks.WIDGET_VIEW: {"model_id": "gone"}, "text/plain": "x"}
    cell = new_code_cell(
        "show()", outputs=[new_output("display_data", view | {"text/html": "<b>table</b>"})]
    )
    exporter: Any = HTMLExporter(template_name="basic")
    body, _ = exporter.from_notebook_node(new_notebook(cells=[cell]))
    assert "<b>table</b>" in body
    assert "gone" not in body

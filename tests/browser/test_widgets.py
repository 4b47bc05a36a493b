"""The widgets of the pages, operated in a real JupyterLab by a real browser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

NAME = "widgets_of_a_test.ipynb"
CELLS = [
    """
    from eventlab import EventStore, connect
    from eventlab.accounts import Account, AccountView
    from eventlab.lessons import CrashStepper, StepRace, TimeSlider

    lab = connect()
    store = EventStore(lab.redis, "testWidgets", clock=lambda: 1767254400000)
    """,
    "StepRace(store)",
    "TimeSlider(store.read('shared'), Account, AccountView('any'))",
    "CrashStepper(EventStore(lab.redis, 'testWidgetsCrash'), lab.mongo)",
]


def contents(url: str, method: str, notebook: Any = None) -> None:
    """Write a notebook to the Lab's folder, or delete it."""
    body = json.dumps({"type": "notebook", "content": notebook}).encode() if notebook else None
    request = urllib.request.Request(
        url.replace("/?", f"/api/contents/{NAME}?"), method=method, data=body
    )
    with urllib.request.urlopen(request, timeout=180):
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    from tools import browser
    from tools.notebooks import KERNELSPEC

    cells = [
        nbformat.v4.new_code_cell("\n".join(map(str.strip, code.split("\n")))) for code in CELLS
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})
    scratch: Path = tmp_path_factory.mktemp("lab")
    with browser.lab(scratch) as url, browser.browser() as chromium:
        contents(url, "PUT", notebook)
        try:
            opened = chromium.new_page(viewport={"width": browser.WIDTH, "height": 900})
            assert browser.open_and_run(opened, url, NAME)
            yield opened
        finally:
            contents(url, "DELETE")


def shown(page: Page, cell: int) -> Any:
    return page.locator(".jp-NotebookPanel .jp-CodeCell").nth(cell)


def press(page: Page, cell: int, *names: str) -> None:
    for name in names:
        shown(page, cell).get_by_role("button", name=name, exact=True).click()


def test_race_in_the_browser_shows_the_conflict_of_the_late_writer(page: Page) -> None:
    a, b = "A: next step", "B: next step"
    press(page, 1, a, b, a, b, a, b)
    shown(page, 1).get_by_text("got a conflict: the account is at version 3").wait_for()
    press(page, 1, b, b)
    shown(page, 1).get_by_text("rejected the withdrawal: 20 is less than 80").wait_for()


def test_time_slider_in_the_browser_goes_back_to_an_earlier_state(page: Page) -> None:
    cell = shown(page, 2)
    cell.get_by_text("deposit, on 2026-01-01").wait_for()
    cell.locator(".noUi-handle").press("ArrowLeft")
    cell.get_by_text("create, on 2026-01-01").wait_for()


def test_crash_stepper_in_the_browser_counts_an_event_twice(page: Page) -> None:
    press(page, 3, "Next command")
    shown(page, 3).get_by_text("next: MongoDB: checkpoint = 1").wait_for()
    press(page, 3, "Kill it here", "Run to the end")
    shown(page, 3).get_by_text("result: 100 too much").wait_for()
    press(page, 3, "Start over")
    shown(page, 3).locator("select").select_option("one transaction")
    press(page, 3, "Next command", "Kill it here", "Run to the end")
    shown(page, 3).get_by_text("result: right").wait_for()

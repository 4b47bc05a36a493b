"""Every notebook in a real JupyterLab, started by the product's own command, in a real browser.

Pictures of the pages go to the folder that EVENTLAB_PICTURES names (else to pytest's temporary
one).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

PATHS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    from tools import browser

    with browser.lab(folder) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from tools import browser

    with browser.browser() as program:
        yield program


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("EVENTLAB_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_page_runs_in_the_browser(
    path: Path, url: str, chromium: Browser, folder: Path, pictures: Path
) -> None:
    from tools import browser

    before = path.read_bytes()
    seen = browser.inspect(chromium, url, path.name, pictures / f"{path.stem}.png")
    assert seen.problems == [], (folder / "lab.log").read_text("utf-8")[-5_000:]
    assert path.read_bytes() == before, "inspecting a page must not change it"


def test_page_is_inspected_only_after_its_last_cell_has_run(
    url: str, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools import browser

    # Under load, the run may begin, or continue after a cell, only after the kernel was idle.
    run = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
    late = browser.RUN_ALL.replace(f"await {run}", f"setTimeout(() => {run}, 5000)")
    assert late != browser.RUN_ALL
    monkeypatch.setattr(browser, "RUN_ALL", late)
    assert browser.inspect(chromium, url, PATHS[0].name, None).problems == []


#: A widget that is drawn some seconds after the run of the page.
LATE_WIDGET = """async () => {{
  const widget = document.createElement('div');
  widget.className = 'jp-OutputArea-output';
  widget.textContent = 'Loading widget...';
  document.querySelector('.jp-NotebookPanel .jp-Cell').append(widget);
  await ({run_all})();
  const timer = setInterval(() => {{
    if (!({has_run})()) return;
    clearInterval(timer);
    setTimeout(() => widget.remove(), 5000);
  }}, 100);
}}"""


def test_page_is_inspected_only_after_its_widgets_are_drawn(
    url: str, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools import browser

    late = LATE_WIDGET.format(run_all=browser.RUN_ALL, has_run=browser.HAS_RUN)
    monkeypatch.setattr(browser, "RUN_ALL", late)
    assert browser.inspect(chromium, url, PATHS[0].name, None).problems == []

"""Run notebooks in a real JupyterLab and a real browser, and report problems.

    python -m tools.browser [--pictures DIR] [--url URL-OF-A-RUNNING-LAB] [NAME ...]

This needs `pip install -r requirements-browser.txt` and Debian's chromium.  Every request to
another machine is blocked and reported, because a page must not need the internet.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, Page, Route, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from eventlab.lessons.ports import free_port
from tools.notebooks import select

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1", None)
WIDTH = 1100  # pixels
TIMEOUT = 180  # seconds

#: Render all cells, not only the visible ones, and disable pop-ups and autosave.
SETTINGS: dict[str, dict[str, object]] = {
    "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "docmanager-extension/plugin": {"autosave": False},
}

IDLE = """() => window.jupyterapp?.shell?.currentWidget
  ?.sessionContext?.session?.kernel?.status === 'idle'"""
RUN_ALL = """async () => {
  for (const w of window.jupyterapp.shell.currentWidget.content.widgets)
    if (w.model.type === 'code') w.model.executionCount = null;
  await window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""
FOLD_SIDEBAR = (
    "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
)
# Between two cells, the kernel is idle for a moment, and no cell may be marked as busy. So also
# wait until each cell has been run, unless an error has stopped the run.
FINISHED = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets
    .filter(w => w.model.type === 'code' && w.model.sharedModel.getSource().trim());
  const stopped = w => !(w.model.getMetadata('tags') || []).includes('raises-exception')
    && w.model.outputs.toJSON().some(o => o.output_type === 'error');
  return cells.every(w => w.model.executionCount != null) || cells.some(stopped);
}"""
BUSY = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
  .some(e => e.textContent.includes('*'))"""
HAS_RUN = f"() => ({FINISHED})() && !({BUSY})() && ({IDLE})()"
# A widget loads its code after the kernel is idle, and so does a picture its file.
DRAWN = """() => {
  const all = s => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) ' + s)];
  return !all('.jp-OutputArea-output').some(e => e.textContent.includes('Loading widget'))
    && all('.jp-Cell img').every(e => e.complete);
}"""
HEIGHT = "() => document.querySelector('.jp-WindowedPanel-outer')?.scrollHeight ?? 2000"
TO_THE_TOP = """() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0;
  document.querySelector('.jp-WindowedPanel-outer')?.scrollTo(0, 0); }"""
INSPECT = """() => {
  const all = s => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) ' + s)];
  const seen = { cells: 0, errors: [], not_run: [] };
  window.jupyterapp.shell.currentWidget.content.widgets.forEach((w, i) => {
    if (w.model.type !== 'code' || !w.model.sharedModel.getSource().trim()) return;
    seen.cells += 1;
    if (w.model.executionCount == null) seen.not_run.push(i);
    if ((w.model.getMetadata('tags') || []).includes('raises-exception')) return;
    for (const o of w.model.outputs.toJSON())
      if (o.output_type === 'error') seen.errors.push(`cell ${i}: ${o.ename}: ${o.evalue}`);
  });
  seen.broken = all('.jp-OutputArea-output')
      .filter(e => /Error displaying widget|Loading widget/.test(e.textContent))
      .map(e => e.textContent.trim())
    .concat(all('.jp-RenderedMermaid.jp-mod-warning').map(() => 'mermaid'))
    .concat(all('.jp-Cell img').filter(e => !e.naturalWidth)
      .map(e => 'picture ' + e.src.slice(0, 80)));
  seen.pictures = all('.jp-OutputArea-output img').length;
  seen.widgets = all('.jupyter-widgets').length;
  return seen;
}"""


@dataclass
class Seen:
    """The contents of a notebook's page after all its cells have been run."""

    name: str
    cells: int = 0
    errors: list[str] = field(default_factory=list)
    not_run: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    pictures: int = 0
    widgets: int = 0
    seconds: float = 0.0
    finished: bool = True

    @property
    def problems(self) -> list[str]:
        """A description of each problem."""
        empty = [] if self.cells else ["no code cell"]
        unrun = [f"cell {i} was not run" for i in self.not_run]
        broken = [f"broken: {what}" for what in self.broken]
        late = [] if self.finished else [f"the run did not end within {TIMEOUT} s"]
        return (
            empty
            + late
            + self.errors
            + unrun
            + broken
            + [f"needs the internet: {url}" for url in self.blocked]
        )


@contextlib.contextmanager
def lab(scratch: Path) -> Iterator[str]:
    """Run `eventlab lab` as a user would, with private data, and yield its URL."""
    port = free_port()
    token = secrets.token_hex(16)
    _write_settings(scratch)
    command = [sys.executable, "-m", "eventlab", "lab", "--no-browser", "--port", str(port)]
    with (scratch / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data", str(scratch / "data")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(scratch, token),
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}/?token={token}"
    try:
        _wait_for(url, process, scratch / "lab.log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(scratch: Path, token: str) -> dict[str, str]:
    names = {"CONFIG": "config", "RUNTIME": "runtime"}
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST", "EVENTLAB"))
    }
    env |= {f"JUPYTER_{name}_DIR": str(scratch / folder) for name, folder in names.items()}
    env |= {
        "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "spaces"),
    }
    return env | {"JUPYTER_TOKEN": token, "IPYTHONDIR": str(scratch / "ipython")}


def _write_settings(scratch: Path) -> None:
    for name, values in SETTINGS.items():
        file = scratch / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    config = {
        "ServerApp": {"allow_root": True},
        "LabApp": {"expose_app_in_browser": True, "news_url": ""},
    }
    (scratch / "config").mkdir()
    (scratch / "config" / "jupyter_server_config.json").write_text(json.dumps(config))


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            with urllib.request.urlopen(url.replace("/?", "/api/status?"), timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    "JupyterLab did not start:\n" + log.read_text("utf-8")[-3000:]
                ) from error
            time.sleep(0.2)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Yield a headless browser, using the Chromium that is installed on the system.

    Raises ``RuntimeError`` if Chromium is not installed.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise RuntimeError("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=list(FLAGS), timeout=TIMEOUT * 1000
        )
        try:
            yield chromium
        finally:
            chromium.close()


def inspect(chromium: Browser, url: str, notebook: str, picture: Path | None) -> Seen:
    """Run all cells of one notebook in the Lab at `url`, and return what the page shows.

    If `picture` is given, a screenshot of the page is written to it.
    """
    began = time.monotonic()
    seen = Seen(notebook)
    context = chromium.new_context(viewport={"width": WIDTH, "height": 900})

    def gate(route: Route) -> None:
        if urlsplit(route.request.url).hostname in LOOPBACK:
            route.continue_()
        else:
            seen.blocked.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    try:
        page = context.new_page()
        seen.finished = open_and_run(page, url, notebook)
        if picture:
            _take_screenshot(page, picture)
        found: dict[str, Any] = page.evaluate(INSPECT)
    finally:
        context.close()
    for name, value in found.items():
        setattr(seen, name, value)
    seen.seconds = round(time.monotonic() - began, 1)
    return seen


def open_and_run(page: Page, url: str, notebook: str) -> bool:
    """Open a notebook in the Lab at `url`, and run all its cells; return whether the run ended."""
    page.set_default_timeout(TIMEOUT * 1000)
    page.goto(
        url.replace("/?", f"/lab/tree/{quote(notebook)}?reset&"), wait_until="domcontentloaded"
    )
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function(IDLE)
    page.evaluate(RUN_ALL)
    try:
        page.wait_for_function(HAS_RUN)
    except PlaywrightTimeout:
        return False
    with contextlib.suppress(PlaywrightTimeout):  # what is not drawn is then reported as broken
        page.wait_for_function(DRAWN)
    return True


def _take_screenshot(page: Page, picture: Path) -> None:
    page.evaluate(FOLD_SIDEBAR)
    page.set_viewport_size(
        {"width": WIDTH, "height": min(int(page.evaluate(HEIGHT)) + 140, 15_000)}
    )
    page.evaluate(TO_THE_TOP)
    page.wait_for_timeout(500)
    page.screenshot(path=picture)


def main(argv: Sequence[str] | None = None) -> int:
    """Inspect the named notebooks (default: all); return 1 if any has a problem, otherwise 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.browser", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="part of a file's name (default: all notebooks)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        default=Path("pictures"),
        metavar="DIR",
        help="folder for the screenshots (default: pictures)",
    )
    parser.add_argument(
        "--url", help="use a running Lab, with its token: http://127.0.0.1:8888/?token=…"
    )
    arguments = parser.parse_args(argv)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    problems = 0
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="eventlab-")))
        url = arguments.url or stack.enter_context(lab(scratch))
        chromium = stack.enter_context(browser())
        for path in select(arguments.names):
            seen = inspect(chromium, url, path.name, arguments.pictures / f"{path.stem}.png")
            problems += len(seen.problems)
            print(
                f"{seen.name:34} {seen.seconds:5.1f} s  {seen.problems or 'OK'}  {seen}",
                flush=True,
            )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

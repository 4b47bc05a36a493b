"""A reader's progress: each check appends a line to a file, and the table replays the file."""

from __future__ import annotations

import contextlib
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from eventlab.lessons.interactive import WIDGET, as_table
from eventlab.servers.directories import data_directory, prepare_data
from eventlab.servers.errors import DirectoryRefused

FILE: Final = "progress.jsonl"
#: The package of the exercises, which is in the folder of the notebooks.
EXERCISES: Final = "exercises"
RIGHT: Final = "Right"
_HEADING = re.compile(r'"#+ (Exercise \d[^"\\]*)')  # in a notebook's JSON


class Progress:
    """The exercises of each notebook, and which of them are solved.

    The plain text does not depend on the reader, so that the stored notebook is the same for
    everyone. The table of the reader's progress is a widget.
    """

    def __init__(self) -> None:
        self.results = _results()
        self.titles: dict[str, str] = {}
        self.pages: dict[str, list[str]] = {}
        for page, titles in _pages():
            self.titles |= titles
            self.pages[page] = list(titles)

    def solved(self, page: str) -> list[str]:
        """Return the names of the solved exercises of a notebook."""
        return [name for name in self.pages[page] if self.results.get(name) == RIGHT]

    def rows(self) -> list[tuple[str, str, str]]:
        """Return each notebook's name, count of solved exercises, and next exercise."""
        rows = []
        for page, names in self.pages.items():
            solved = self.solved(page)
            left = [name for name in names if name not in solved]
            tried = " (tried)" if left and left[0] in self.results else ""
            following = self.titles[left[0]] + tried if left else "all done"
            rows.append((page, f"{len(solved)} of {len(names)}", following))
        return rows

    def table(self) -> str:
        """Return the progress as HTML."""
        return as_table(["page", "solved", "next"], self.rows())

    def __repr__(self) -> str:
        return "Your progress: run this cell in JupyterLab to see which exercises you have solved."

    def _repr_mimebundle_(
        self,
        include: Any = None,  # noqa: ARG002 - IPython's protocol
        exclude: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self)}
        try:
            import ipywidgets
        except ImportError:
            return {**bundle, "text/html": self.table()}
        shown = ipywidgets.HTML(self.table())
        return {**bundle, WIDGET: shown._repr_mimebundle_()[WIDGET]}


def progress() -> Progress:
    """Return your progress so far, with a row for each notebook."""
    return Progress()


def record(exercise: object, kind: str) -> None:
    """Append the result of a check to the progress file, if the file can be written."""
    name = _name_of(exercise)
    if name is not None:
        with contextlib.suppress(OSError, DirectoryRefused):
            folder = data_directory()
            prepare_data(folder)  # with your own servers, the folder may not exist yet
            with (folder / FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"exercise": name, "result": kind}) + "\n")


def _name_of(exercise: object) -> str | None:
    for module in list(sys.modules):
        if module.startswith(f"{EXERCISES}."):
            for name, value in vars(sys.modules[module]).items():
                if value is exercise:
                    return f"{module.partition('.')[2]}.{name}"
    return None


def _results() -> dict[str, str]:
    """Replay the progress file; return each exercise's result. A right result is never replaced."""
    results: dict[str, str] = {}
    with contextlib.suppress(OSError, DirectoryRefused):
        for line in (data_directory() / FILE).read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                event = json.loads(line)
                if results.get(event["exercise"]) != RIGHT:
                    results[event["exercise"]] = event["result"]
    return results


def _pages() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each notebook's title, and a dict from the names of its exercises to their titles."""
    try:
        package = importlib.import_module(EXERCISES)
    except ImportError:  # the kernel was not started in the notebooks' folder
        return
    folder = Path(next(iter(package.__path__)))
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    for notebook in sorted(folder.parent.glob("[0-9]*.ipynb")):
        number, _, page = notebook.stem.partition("_")
        if page in modules:
            module = importlib.import_module(f"{EXERCISES}.{page}")
            text = notebook.read_text("utf-8")
            # In the notebook's order, which may differ from the order in the exercises' module.
            places = {
                name: text.find(f"{EXERCISES}.{page} import {name}")
                for name, value in vars(module).items()
                if hasattr(value, "judge")
            }
            names = sorted((name for name in places if places[name] >= 0), key=places.__getitem__)
            title = f"{number} {page.replace('_', ' ').capitalize()}"
            yield title, {f"{page}.{name}": _title(text[: places[name]], name) for name in names}


def _title(above: str, name: str) -> str:
    """Return the last heading above an exercise or, if there is none, the exercise's name."""
    found = _HEADING.findall(above)
    return (found[-1] if found else name.replace("_", " ")).replace("`", "")

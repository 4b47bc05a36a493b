"""Nothing in the repository belongs to one machine, and nothing empties a server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.rooms import ROOT, SCRIPTS, SOURCES

WIPES = re.compile(r"flush_?(?:all|db)\b|drop_?database\b", re.IGNORECASE)
#: Folders of one machine, and the hosts that packages come from. Written in pieces, so that this
#: file does not match itself.
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
BAD_SAMPLES = "tests/notebooks/test_rules.py"


def tracked_files() -> Iterator[Path]:
    """Yield the text files of the repository; other files in the checkout belong to the user."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix in TEXT:
            yield path


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_package_never_empties_a_server(path: Path) -> None:
    assert WIPES.findall(path.read_text("utf-8")) == []


def test_no_file_names_a_folder_of_one_machine_or_a_registry() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): match[0]
        for path in tracked_files()
        if (match := FOREIGN.search(path.read_text("utf-8")))
    }
    found.pop(BAD_SAMPLES, None)
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["redis.flush" + "all()", "FLUSH" + "DB", "drop_" + "database('x')", "drop" + "Database"],
)
def test_command_that_empties_a_server_is_found(text: str) -> None:
    assert WIPES.search(text)


@pytest.mark.parametrize(
    "text", ["see /wo" + "rk/main", "'/ro" + "ot/x'", "/ho" + "me/me/x", "https://py" + "pi.org/x"]
)
def test_foreign_name_is_found(text: str) -> None:
    assert FOREIGN.search(text)

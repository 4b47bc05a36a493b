"""Every environment variable is named in one place, and the README's table shows all of them."""

from __future__ import annotations

import re
import subprocess
import sys

from eventlab import settings
from tests.house.rooms import PACKAGE, ROOT, SOURCES

NAME = re.compile(r"EVENTLAB_[A-Z_]*[A-Z]")
LITERAL = re.compile(r"""["']EVENTLAB_[A-Z_]*[A-Z]["']""")


def listed() -> set[str]:
    """Return the names of all variables that the registry lists."""
    return {name for group in settings.VARIABLES.values() for name in group}


def test_settings_list_every_constant_of_the_registry() -> None:
    constants = {
        value
        for name, value in vars(settings).items()
        if name.isupper() and isinstance(value, str) and NAME.fullmatch(value)
    }
    assert constants == listed()


def test_settings_list_every_variable_that_the_package_mentions() -> None:
    mentioned = {
        found for path in SOURCES for found in NAME.findall(path.read_text(encoding="utf-8"))
    }
    assert mentioned - {"EVENTLAB_CXONE"} == listed()


def test_only_the_registry_spells_a_variable_out() -> None:
    spelled = {}
    for path in SOURCES:
        if path == PACKAGE / "settings.py":
            continue
        code = re.sub(r'"""[\s\S]*?"""', "", path.read_text(encoding="utf-8"))
        if found := LITERAL.findall(code):
            spelled[path.relative_to(PACKAGE).as_posix()] = found
    assert spelled == {}


def test_readme_shows_the_table_of_the_registry() -> None:
    command = [sys.executable, "-m", "tools.settings_table", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

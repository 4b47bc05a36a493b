"""The files that packagers, CI and GitHub read agree with one another."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import eventlab
from tests.house.rooms import PACKAGE, ROOT

REGISTRY = re.compile(r"https?://|file:|--(?:extra-)?index-url|--find-links")


def requirements(name: str) -> list[Requirement]:
    """Return the requirements of a file or of a lock, without their hashes."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    plain = (line.partition("#")[0].strip().removesuffix("\\").strip() for line in lines)
    return [Requirement(line) for line in plain if line and not line.startswith("-")]


def pins(name: str) -> dict[str, set[str]]:
    """Return the exact versions of each package in a file; markers can select one of several."""
    found: dict[str, set[str]] = {}
    for requirement in requirements(name):
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return found


def project() -> dict[str, object]:
    """Return the project table of pyproject.toml."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(table, dict)
    return table


@pytest.mark.parametrize(
    ("chosen", "lock"),
    [
        ("requirements.txt", "requirements.lock"),
        ("requirements-browser.txt", "requirements-browser.lock"),
        ("requirements-docs.txt", "requirements-docs.lock"),
        ("binder/notebook.in", "binder/notebook.lock"),
    ],
)
def test_lock_agrees_with_the_chosen_versions(chosen: str, lock: str) -> None:
    locked = pins(lock)
    assert {name: locked.get(name) for name in pins(chosen)} == pins(chosen), "run make lock"


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.lock",
        "requirements-browser.lock",
        "requirements-docs.lock",
        "binder/notebook.lock",
    ],
)
def test_lock_has_a_hash_for_every_package_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert REGISTRY.findall(text) == []
    entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_every_dependency_of_the_package_is_pinned_in_its_range() -> None:
    table = project()
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    assert extras.keys() == {"servers", "lab", "serve", "mailroom", "privacy", "all"}
    wanted = [*table["dependencies"], *(r for e in extras.values() for r in e)]  # type: ignore[misc]
    locked = pins("requirements.lock")
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name != "eventlab":
            pinned = locked[canonicalize_name(requirement.name)]
            assert all(requirement.specifier.contains(pin) for pin in pinned), text
    assert not Requirement(wanted[0]).specifier.contains("8.0.0")


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project()["version"] == eventlab.__version__ == version("eventlab")
    assert citation["version"] == eventlab.__version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == project()["authors"] == [{"name": "eventlab developers"}]


def test_changelog_has_a_section_for_what_is_unreleased() -> None:
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_configuration_files_can_be_read() -> None:
    hidden = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(hidden) >= 6
    for path in hidden:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))


def test_pre_commit_runs_make_check() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert [hook["entry"] for hook in hooks] == ["make check"]


def test_wheel_contains_the_package_and_its_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "eventlab", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "eventlab").rglob("*")
        if path.is_file()
    }
    assert names == files
    kinds = {Path(name).suffix for name in names}
    assert {".py", ".typed", ".lua", ".eml", ".mplstyle"} <= kinds
    for line in ("Provides-Extra: servers", "Requires-Python: >=3.11", "License-Expression: MIT"):
        assert line in text


def paths_in(text: str) -> set[str]:
    """Return the paths between backticks whose first part is a folder of the repository."""
    spans = re.findall(r"`([^`\s]+)`", text)
    return {span for span in spans if "/" in span and (ROOT / span.partition("/")[0]).is_dir()}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_pages_name_only_files_that_exist(name: str) -> None:
    paths = paths_in((ROOT / name).read_text(encoding="utf-8"))
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_contributing_maps_every_folder_of_the_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("__init__.py")}
    named = paths_in(text)
    missing = {folder for folder in folders if not any(path.startswith(folder) for path in named)}
    assert missing == set()


def test_readme_names_every_extra_and_every_chosen_package() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert [extra for extra in extras if f"| `{extra}` |" not in text] == []
    files = ("requirements.txt", "requirements-browser.txt", "requirements-docs.txt")
    chosen = [item for file in files for item in requirements(file)]
    assert [item.name for item in chosen if item.name not in text] == []


def test_path_that_does_not_exist_is_found() -> None:
    assert paths_in("`eventlab/no.py`, `make lab`, `a/b`, `EVENTLAB_DATA`") == {"eventlab/no.py"}

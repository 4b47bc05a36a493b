"""Binder and the devcontainer name what exists: files, modules, make targets, Python versions."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path

from tests.house.rooms import ROOT

BINDER = ROOT / "binder"


def supported() -> set[str]:
    """Return the Python versions that the package is tested with, such as 3.12."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return set(re.findall(r":: (3\.\d+)", "\n".join(project["classifiers"])))


def missing(folder: Path) -> list[str]:
    """Return what the files of a binder folder name, and what does not exist."""
    [python] = re.findall(r"^python-(3\.\d+)$", (folder / "runtime.txt").read_text("utf-8"), re.M)
    required = re.findall(r"^-r (\S+)$", (folder / "requirements.txt").read_text("utf-8"), re.M)
    scripts = (folder / "postBuild").read_text("utf-8") + (folder / "start").read_text("utf-8")
    modules = re.findall(r"python -m (eventlab\.\S+)", scripts)
    assert required
    assert modules
    return [
        *({python} - supported()),
        *(name for name in required if not (folder / name).resolve().is_file()),
        *(name for name in modules if importlib.util.find_spec(name) is None),
    ]


def test_binder_names_what_exists() -> None:
    assert missing(BINDER) == []


def test_missing_names_each_kind(tmp_path: Path) -> None:
    (tmp_path / "runtime.txt").write_text("python-3.8\n")
    (tmp_path / "requirements.txt").write_text("-r ../gone.lock\n")
    (tmp_path / "postBuild").write_text("pip install -e .\n")
    (tmp_path / "start").write_text("python -m eventlab.servers.gone &\n")
    assert missing(tmp_path) == ["3.8", "../gone.lock", "eventlab.servers.gone"]


def test_devcontainer_names_what_exists() -> None:
    found = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    [python] = re.findall(r"/python:(3\.\d+)-", found["image"])
    make, target = found["postCreateCommand"].split()
    rules = (ROOT / "Makefile").read_text("utf-8")
    [installed] = re.findall(r"^INSTALLED := \$\(VENV\)/(\S+)$", rules, re.M)
    assert python in supported()
    assert (make, target) == ("make", f".venv/{installed}")
    interpreter = found["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter.endswith("/.venv/bin/python")


def test_binder_s_notebook_belongs_to_the_lab_of_the_lock() -> None:
    """Notebook 7.N needs JupyterLab 4.N: its major and minor versions follow it."""
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    [lab] = re.findall(r"^jupyterlab==4\.(\d+)\.", lock, re.M)
    [notebook] = re.findall(r"^notebook==7\.(\d+)\.", (BINDER / "notebook.lock").read_text(), re.M)
    assert notebook == lab

"""``eventlab lab``: JupyterLab runs with the servers, and the command ends when it ends."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from eventlab.cli import lab as command
from eventlab.cli import main
from eventlab.lessons.ports import free_port
from eventlab.servers import Lab, directories, state
from eventlab.servers.directories import DATA_VARIABLE
from tests.support.servers import is_gone, running
from tests.support.waiting import PATIENCE_SECONDS, wait_until


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_lab_runs_jupyter_with_the_servers_until_it_ends(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's proxy is not used for loopback, and figures are shown in the notebooks."""
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / command.FIRST_PAGE).touch()
    port = free_port()
    words = ["lab", "--no-browser", f"--port={port}", "--data=data"]
    with subprocess.Popen(
        [sys.executable, "-m", "eventlab", *words], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert wait_until(lambda: answers(f"http://127.0.0.1:{port}/api"))
            found = running(data)
            [jupyter] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            variables = Path(f"/proc/{jupyter}/environ").read_text().split("\0")
            assert f"{DATA_VARIABLE}={data}" in variables  # for the kernels, wherever they start
            assert "no_proxy=example.org,127.0.0.1,localhost,::1" in variables
            assert not [text for text in variables if text.startswith("MPLBACKEND=")]
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
    assert wait_until(lambda: is_gone(found))


IN_PLACE_OF_JUPYTER = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
print("up", flush=True)
while True:
    time.sleep(0.05)  # a signal just before a longer one would be handled after it
"""
CTRL_C = f"""
import sys
from pathlib import Path
from eventlab.cli import lab, main
lab._find_notebooks = Path
lab._jupyter = lambda *_: [sys.executable, "-c", {IN_PLACE_OF_JUPYTER!r}]
sys.exit(main.main(["lab", "--in-place"]))
"""


def test_lab_leaves_ctrl_c_to_jupyter(lab: Lab) -> None:
    words = [sys.executable, "-c", CTRL_C]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 7


INTERRUPTED_WHILE_IMPORTED = """
import os, signal, sys
sys.modules["jupyterlab"] = None
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, *_):
        if name == "jupyterlab.labapp":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
del sys.modules["jupyterlab"]
"""


def test_ctrl_c_while_jupyter_is_imported_prints_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTED + command.JUPYTER],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_lab_without_notebooks_names_the_missing_page(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "site-packages" / "eventlab" / "cli" / "lab.py"
    monkeypatch.setattr(command, "__file__", str(installed))
    assert main.main(["lab", "--data", str(data)]) == 1
    assert capsys.readouterr().err == (
        "eventlab: notebooks/00_start_here.ipynb is not in the current directory:"
        " change to your clone of eventlab first\n"
    )
    assert not data.exists()


def test_lab_without_jupyterlab_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_find_notebooks", Path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main.main(["lab"]) == 1
    assert capsys.readouterr().err.startswith(
        "eventlab: jupyterlab is not installed: in your clone of eventlab: python -m pip install"
    )


def test_lab_returns_jupyter_s_exit_status(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    monkeypatch.setattr(command, "_find_notebooks", Path)
    for code, status in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)):
        monkeypatch.setattr(command, "_jupyter", lambda *_, code=code: [sys.executable, "-c", code])
        assert main.main(["lab", "--in-place"]) == status
    assert state.is_supervised(directories.data_directory())


def test_jupyter_runs_no_module_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "tornado.py").write_text("open('was_run', 'w').close()\n")
    arguments = argparse.Namespace(no_browser=True, port=None)
    words = command._jupyter(tmp_path, arguments)
    done = subprocess.run(
        [*words, "--version"], cwd=tmp_path, capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, (tmp_path / "was_run").exists()) == (0, False)

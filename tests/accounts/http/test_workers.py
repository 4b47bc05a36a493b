"""The processes of ``eventlab serve``: when they exit, and which code they run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from eventlab.lessons.ports import free_port
from eventlab.servers import Lab
from tests.support.accounts_api import Served, serving
from tests.support.servers import is_alive
from tests.support.waiting import PATIENCE_SECONDS, wait_until

# What the installed command does: its folder is in sys.path, the working directory is not.
COMMAND = "import sys; del sys.path[0]; from eventlab.cli.main import main; sys.exit(main())"


def descendants(api: Served) -> list[int]:
    """Return the processes that the service has started."""
    return [process.pid for process in psutil.Process(api.process.pid).children(recursive=True)]


def test_workers_end_when_their_parent_is_killed(lab: Lab, category: str) -> None:
    with serving(lab, category, workers=2) as api:
        wait_until(lambda: len(descendants(api)) >= 3)  # and multiprocessing's resource tracker
        processes = descendants(api)
        api.process.kill()
        assert wait_until(lambda: not any(map(is_alive, processes)))


@pytest.mark.parametrize("workers", [1, 2])
def test_closed_terminal_ends_the_service(lab: Lab, category: str, workers: int) -> None:
    with serving(lab, category, workers=workers) as api:
        processes = descendants(api)
        api.process.send_signal(signal.SIGHUP)
        assert api.process.wait(PATIENCE_SECONDS) == 0
        # multiprocessing's resource tracker ends when it sees that its parent has ended.
        assert wait_until(lambda: not any(map(is_alive, processes)))
        assert "Traceback" not in "".join(api.output)


def test_workers_run_no_module_of_the_working_directory(category: str, tmp_path: Path) -> None:
    (tmp_path / "socket.py").write_text("open('was_run', 'w').close()\nraise SystemExit(1)\n")
    arguments = ["serve", f"--port={free_port()}", "--workers=2", f"--category={category}"]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        started = any("startup complete" in line or "died" in line for line in lines)
        process.terminate()
        process.stderr.read()
    assert (started, (tmp_path / "was_run").exists()) == (True, False)

"""``eventlab serve`` as a process: shutdown and invalid arguments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from eventlab.lessons.ports import free_port
from eventlab.servers import Lab
from tests.support import command
from tests.support.accounts_api import (
    Served,
    serving,
)
from tests.support.waiting import PATIENCE_SECONDS, wait_until


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_finishes_the_running_request(lab: Lab, category: str, workers: int) -> None:
    with serving(lab, category, workers=workers) as api:
        id = api.opened()
        body = b'{"amount":100}'
        with socket.create_connection(("127.0.0.1", api.port), timeout=30) as client:
            head = f"POST /accounts/{id}/deposits HTTP/1.1\r\nHost: localhost\r\n"
            head += "Content-Type: application/json\r\nExpect: 100-continue\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            # The service sends this when it begins to wait for the body: the request is running.
            assert client.recv(65_536).startswith(b"HTTP/1.1 100 ")
            os.kill(api.process.pid, signal.SIGTERM)
            wait_until(lambda: "Shutting down" in "".join(api.output))
            assert api.process.poll() is None
            client.sendall(body)
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert api.process.wait(PATIENCE_SECONDS) == 0
        assert api.store.version(id) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_with_status_0_on_a_stop_signal(
    lab: Lab, category: str, number: signal.Signals
) -> None:
    with serving(lab, category) as api:
        api.process.send_signal(number)
        assert api.process.wait(PATIENCE_SECONDS) == 0
        assert "Traceback" not in "".join(api.output)


def test_ctrl_c_while_workers_start_prints_no_traceback(category: str) -> None:
    words = ["serve", "--workers=2", f"--port={free_port()}", f"--category={category}"]
    with subprocess.Popen(
        [sys.executable, "-m", "eventlab", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while "Started parent process" not in process.stdout.readline():
            assert process.poll() is None
        children = wait_until(lambda: psutil.Process(process.pid).children())
        assert children
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert "Traceback" not in process.stdout.read()
    assert process.returncode == 0


def test_serve_reports_a_category_that_cannot_be_used() -> None:
    status, out, error = command.run("serve", "--category=a{b}")
    assert (status, out, error[:10]) == (1, "", "eventlab: ")


def test_serve_reports_a_port_that_is_in_use(api: Served) -> None:
    status, out, error = command.run("serve", f"--port={api.port}")
    assert (status, out, error) == (
        1,
        "",
        f"eventlab: cannot listen on '127.0.0.1', port {api.port} (Address already in use):"
        " choose another host or port with --host or --port\n",
    )

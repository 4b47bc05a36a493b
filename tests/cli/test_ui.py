"""``eventlab ui``: it serves the read-only page on loopback until a signal."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import requests

from eventlab import NEW, Event, EventStore
from tests.support import command
from tests.support.waiting import PATIENCE_SECONDS


def test_ui_serves_the_given_categories_until_sigterm(store: EventStore) -> None:
    store.append("a", [Event("create"), Event("deposit", {"amount": 7})], expected=NEW)
    reader = f"{store.category}=eventlab.accounts.account:Account"
    with command.start("ui", "--port=0", f"--reader={reader}") as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[2]
            assert url.startswith("http://127.0.0.1:")
            page = requests.get(url, timeout=30).text
            for name in (store.category, "accountStream", "mailStream"):
                assert name in page
            query = {"category": store.category, "id": "a"}
            page = requests.get(f"{url}/aggregate", params=query, timeout=30).text
            assert "&#34;funds&#34;: 7" in page
            foreign = requests.get(url, headers={"Host": "evil.example"}, timeout=30)
            assert foreign.status_code == 400
            assert requests.post(url, timeout=30).status_code == 405
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()


def test_ui_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, error = command.run("ui", f"--port={port}")
    assert status == 1
    assert f"cannot listen on port {port}" in error


@pytest.mark.parametrize(
    "reader", ["cart:Cart", "cart=", "=cart:Cart", "c=eventlab.accounts.views:AccountView"]
)
def test_ui_rejects_a_reader_that_is_no_aggregate(reader: str, tmp_path: Path) -> None:
    assert command.run("ui", f"--reader={reader}")[0] == 2

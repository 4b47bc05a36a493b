"""The account service that page 09 starts: several processes, one of which is killed or paused."""

from __future__ import annotations

import psutil
import pytest
import requests

from eventlab import EventStore
from eventlab.lessons.account_processes import AccountProcesses
from tests.support.waiting import wait_until


@pytest.mark.long  # page 09 runs the same in each test run
def test_account_processes_are_paused_killed_restarted_and_stopped(store: EventStore) -> None:
    # One instance: the page itself starts two, and each costs a second of this test.
    with AccountProcesses(store.category, f"{store.category}View", instances=1) as bank:

        def opened() -> bool:
            # A busy machine may take longer than the service lets Redis take: then it is 503.
            return requests.post(
                f"{bank.urls[0]}/accounts",
                json={"id": "a"},
                headers={"Idempotency-Key": "open"},
                timeout=60,
            ).ok

        def is_kept() -> bool:
            found = requests.get(f"{bank.urls[0]}/accounts/a", timeout=60)
            return found.ok and found.json()["version"] == 1

        assert wait_until(opened)

        projector = psutil.Process(bank.projector.pid)
        bank.pause_projector()
        assert projector.status() == psutil.STATUS_STOPPED
        bank.resume_projector()
        assert projector.status() != psutil.STATUS_STOPPED

        bank.kill(0)
        assert bank.instances[0].returncode < 0
        bank.restart(0)
        assert wait_until(is_kept)
        bank.pause_projector()
        assert bank.close() == [0, 0]

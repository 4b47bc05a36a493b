"""Run a mail router in its own process, which is killed when CXone has accepted an email."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

from eventlab.lessons.processes import PATIENCE
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import load
from eventlab.mailroom.router import Router
from eventlab.mailroom.settings import Settings
from eventlab.servers import connect
from eventlab.store.store import EventStore


class DoomedClient(CXoneClient):
    """A client that kills its process when CXone has accepted a work item."""

    def post_work_item(
        self,
        *,
        work_item_id: str,
        payload: str,
        sender: str,
        work_item_type: str = "email",
        point_of_contact: str | None = None,
    ) -> str | None:
        """Create the work item, and kill the process before the router gets the contact id."""
        super().post_work_item(
            work_item_id=work_item_id,
            payload=payload,
            sender=sender,
            work_item_type=work_item_type,
            point_of_contact=point_of_contact,
        )
        os.kill(os.getpid(), signal.SIGKILL)
        return None


def route_until_killed(
    category: str, settings: Mapping[str, str], *, name: str = "doomed", call_seconds: float = 2
) -> bool:
    """Run a router that is killed after its first work item; return whether it was killed.

    ``settings`` are the mailroom's environment variables. ``call_seconds`` is the time limit of a
    call to CXone. The deadline of a work item is 6.5 times ``call_seconds`` after the router
    records the intent to send it (13 seconds by default, so that a lesson does not take minutes).
    """
    command = [sys.executable, "-m", "eventlab.lessons.killed_router", category, name]
    command += [str(call_seconds)]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, timeout=PATIENCE, check=False
    )
    return done.returncode == -signal.SIGKILL


def main() -> None:
    """Run the router that will be killed; the arguments are those of ``route_until_killed``."""
    category, name, limit = sys.argv[1:]
    seconds = float(limit)
    settings = Settings.from_environment(os.environ)
    gmail = GmailClient(load(settings.gmail_token), endpoint=settings.gmail_endpoint)
    timeout = (seconds / 2, 1.25 * seconds)
    cxone = DoomedClient(settings.cxone, timeout=timeout, total_timeout=seconds)
    store = EventStore(connect().redis, category)
    Router(store, gmail, cxone, name=name, deadline_margin=2 * seconds).run_once()


if __name__ == "__main__":
    main()

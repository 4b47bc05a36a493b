"""A fake Gmail, a fake CXone, and a client for each, for the notebooks about email."""

from __future__ import annotations

import html
import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import requests

from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import load
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.payload import payload_of
from eventlab.sandbox.cxone.agent_client import AgentClient
from eventlab.sandbox.fakes import Fakes
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.samples import samples

WORK_ITEMS: Final = "/interactions/work-items"
PATIENCE_SECONDS: Final = 120.0  # shorter than a cell's time limit, so that the error is shown


def responds(
    status: int,
    reason: str = "",
    *,
    times: int = 1,
    skip: int = 0,
    retry_after: int | None = None,
) -> Fault:
    """Return a fault that makes CXone respond with this status instead of accepting a work item.

    The first ``skip`` work items are accepted. ``retry_after`` is in seconds.

    >>> responds(429, times=2).times
    2
    """
    headers = [("icStatusDescription", reason)] if reason else []
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return Fault(on=WORK_ITEMS, status=status, headers=tuple(headers), times=times, skip=skip)


def hangs_up(moment: Literal["before", "after"], *, skip: int = 0) -> Fault:
    """Return a fault that makes CXone close the connection before or after accepting a work item.

    >>> hangs_up("after").drop
    'after'
    """
    return Fault(on=WORK_ITEMS, drop=moment, skip=skip)


@dataclass(frozen=True, kw_only=True)
class ScreenPop:
    """The page that an agent's browser loads, and the email's HTML in the frame of that page."""

    page: str
    frame: str


class MailSystems:
    """A fake Gmail and a fake CXone on this machine, with the clients ``gmail`` and ``cxone``.

    The inbox contains the first ``mails`` samples. The clients do not wait between retries;
    ``pauses`` collects the seconds that the CXone client would have waited. Close the systems after
    use.

    >>> with MailSystems(mails=1) as systems:
    ...     systems.fetch(systems.id_of("01-plain")).sender_address
    'john.doe@example.com'
    """

    def __init__(self, mails: int = 50) -> None:
        self.fakes = Fakes(mails=samples()[:mails])
        self.pauses: list[float] = []
        settings = self.fakes.settings()
        self._credentials = load(settings.gmail_token)
        self._cxone_settings = settings.cxone
        self.gmail = GmailClient(
            self._credentials, endpoint=settings.gmail_endpoint, sleep=lambda _seconds: None
        )
        self.cxone = CXoneClient(settings.cxone, sleep=self.pauses.append)
        # The notebooks show what happens. Without a handler, Python would also print each warning.
        self._quiet = logging.NullHandler()
        logging.getLogger("eventlab").addHandler(self._quiet)

    # ------------------------------------------------------------------------------------- Gmail

    def id_of(self, name: str) -> str:
        """Return the Gmail id of a sample email, such as ``01-plain``."""
        return next(sample.gmail_id for sample in samples() if sample.name == name)

    def raw(self, name: str) -> bytes:
        """Return the bytes of a sample email."""
        return next(sample.raw for sample in samples() if sample.name == name)

    def fetch(self, id: str) -> Message:
        """Fetch an email from Gmail in the same way as the mailroom."""
        [(_, message)] = self.gmail.get([id])
        if message is None:
            raise LookupError(f"Gmail has no email {id!r}: it was deleted")
        return message

    def fetch_sample(self, name: str) -> Message:
        """Fetch a sample email from Gmail in the same way as the mailroom."""
        return self.fetch(self.id_of(name))

    def fetch_parts(self, name: str) -> dict[str, Any]:
        """Fetch the parts of a sample email as Gmail's API describes them (``format=full``)."""
        url = f"{self.fakes.gmail_url}/gmail/v1/users/me/messages/{self.id_of(name)}"
        token = {"Authorization": f"Bearer {self._credentials.token}"}
        response = requests.get(url, params={"format": "full"}, headers=token, timeout=20)
        response.raise_for_status()
        payload: dict[str, Any] = response.json()["payload"]
        return payload

    def deliver(
        self,
        subject: str,
        *,
        sender: str = "jane.roe@example.org",
        labels: Iterable[str] = ("INBOX", "UNREAD"),
    ) -> str:
        """Deliver a short email to the mailbox, and return its id."""
        raw = f"From: {sender}\r\nSubject: {subject}\r\n\r\nPlease call me.\r\n".encode()
        return self.fakes.gmail.deliver(raw, labels=labels)

    def deliver_sample(self, name: str) -> str:
        """Deliver a copy of a sample email to the inbox, and return its id."""
        return self.fakes.gmail.deliver(self.raw(name))

    def gmail_fails(self, id: str) -> None:
        """Make Gmail respond with 500 to each request for one email until ``repair`` is called."""
        self.fakes.gmail.faults.order(Fault(on=f"messages/{id}", times=1000, status=500))

    # ------------------------------------------------------------------------------------- CXone

    def cxone_fails(self, *faults: Fault) -> None:
        """Inject faults for the next work items; ``responds`` and ``hangs_up`` create faults."""
        self.fakes.cxone.faults.order(*faults)

    def repair(self) -> None:
        """Remove the faults that have not occurred yet."""
        self.fakes.gmail.faults.clear()
        self.fakes.cxone.faults.clear()

    def accepted(self) -> Counter[str]:
        """Return how many times the fake CXone has accepted each work item id.

        The prefix ``gmail:`` of the router's ids is left out.
        """
        items = self.fakes.cxone.work_items
        return Counter(item.work_item_id.removeprefix("gmail:") for item in items)

    def contact_of(self, id: str) -> str:
        """Return the contact id of an email that CXone has accepted exactly once."""
        [contact] = [
            item.contact_id
            for item in self.fakes.cxone.work_items
            if item.work_item_id.removeprefix("gmail:") == id
        ]
        return contact

    def forget_work_items(self) -> None:
        """Forget the work items that CXone has accepted so far."""
        self.fakes.cxone.work_items.clear()

    def screen_pop(self, message: Message) -> ScreenPop:
        """Post an email as a work item, let an agent accept it, and return the screen pop."""
        contact = self.cxone.post_work_item(
            work_item_id=f"gmail:{message.gmail_id}",
            payload=payload_of(message),
            sender=message.sender_address,
        )
        with AgentClient(self._cxone_settings) as agent:
            url = _accept(agent, contact)
            text = requests.get(url, timeout=20).text
            agent.end(contact or "")
        srcdoc = re.search('srcdoc="([^"]*)"', text)
        escaped = srcdoc[1] if srcdoc else ""
        around = text.replace(escaped, "") if escaped else text
        return ScreenPop(page=around, frame=html.unescape(escaped))

    # ------------------------------------------------------------------------------- the commands

    def environment(self) -> Mapping[str, str]:
        """Return the mailroom's settings as environment variables for another process."""
        return self.fakes.environment()

    def route_command(self, category: str, collection: str) -> Callable[..., None]:
        """Return a function that runs ``eventlab route`` with options and prints the output.

        >>> route = systems.route_command("mail", "mailView")
        >>> route("--held")
        $ eventlab route --held
        no email is held, in doubt, refused or being sent
        """
        names = ["--category", category, "--collection", collection]

        def route(*words: str) -> None:
            print("$ eventlab route", *words)
            done = subprocess.run(
                [sys.executable, "-m", "eventlab", "route", *words, *names],
                env=os.environ | self.environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
            print((done.stdout or done.stderr).strip(), end="\n\n")

        return route

    def close(self) -> None:
        """Close the clients, and stop the fake servers."""
        logging.getLogger("eventlab").removeHandler(self._quiet)
        self.gmail.close()
        self.cxone.close()
        self.fakes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _accept(agent: AgentClient, contact: str | None) -> str:
    """Accept offers until this contact is accepted, and return the URL of its screen pop."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        for event in agent.next_events(20):
            if event["Status"] == "Incoming":
                agent.accept(event["ContactID"])
            elif event["Status"] == "Active" and event["ContactID"] == contact:
                return event["ScreenPopUrl"]
            elif event["Status"] == "Active":
                agent.end(event["ContactID"])  # an older contact, which was first in the queue
    raise TimeoutError(f"CXone did not offer contact {contact!r}: run `eventlab doctor`")

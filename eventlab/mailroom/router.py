"""The router: every mail of the inbox becomes one work item, or is left to a person with the reason."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from eventlab.errors import CommandRejected
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.errors import GmailFailed, TokenDead, WorkItemUnsent
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.inbox import Inbox
from eventlab.mailroom.sender import Outbox
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.work_items import DOWN, Ledger
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

TRIES: Final = 12  # with their pauses more than four hours
ENOUGH: Final = 3  # mails one after the other that CXone does not let in: it will not let in the next one either


class Router:
    """Takes mails from Gmail to CXone, each once. Several may run on one store: what one has, the others leave.

    ``name`` tells routers apart (default: host and process). ``together`` is how many intents share one wait for the
    disk, which takes up to a second: a router that is killed leaves at most so many mails in doubt. ``margin`` is how
    many seconds a deadline lies behind all that CXone's client may still do. A mail that cannot be sent is tried
    again after ``pause`` seconds, then after twice as long, and is held after ``tries``. ``label`` is put on what was
    routed (Gmail's consent must cover it). ``automatic_type`` is the work item type of mail that no person wrote.

    >>> with GmailClient(load("token.json")) as gmail, CXoneClient(settings) as cxone:
    ...     print(Router(EventStore(lab.redis, "mailStream"), gmail, cxone).run_once())
    listed 3, new 3: submitted 3, held 0, refused 0, skipped 0
    """

    def __init__(
        self,
        store: EventStore,
        gmail: GmailClient,
        cxone: CXoneClient,
        *,
        name: str | None = None,
        together: int = 10,
        margin: float = 60.0,
        tries: int = TRIES,
        pause: float = 30.0,
        label: str | None = None,
        automatic_type: str = "email",
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._ledger = Ledger(store)
        self._inbox = Inbox(self._ledger, gmail)
        self._outbox = Outbox(
            self._ledger,
            cxone,
            name=self.name,
            margin=int(margin * 1000),
            tries=tries,
            pause=int(pause * 1000),
            automatic_type=automatic_type,
        )
        self._together, self._label = together, label

    def run_once(self, stop: threading.Event | None = None) -> Summary:
        """Record what is new, send what is due, the oldest first, and say what came of it.

        ``stop`` ends the round early, between two mails. Raises ``TokenDead``, ``GmailFailed`` if Gmail is away,
        ``NotOnDisk`` if Redis cannot promise to remember. What was done until then is recorded.

        >>> router.run_once().submitted
        3
        """
        self._ledger.begin()
        self._inbox.receive()
        self._ledger.worklist.refresh()
        self._expire()
        return self._ledger.summary(self._send_due(stop or threading.Event()))

    def watch(
        self,
        stop: threading.Event,
        every: float = 30.0,
        tell: Callable[[Summary], object] = log.info,
    ) -> None:
        """Do a round every so many seconds until ``stop`` is set, and ``tell`` each summary.

        While Gmail or Redis is away it waits. Raises ``TokenDead``, and ``NotOnDisk``: a person is needed.

        Example: ``router.watch(stop, every=30, tell=print)``
        """
        while not stop.is_set():
            try:
                tell(self.run_once(stop))
            except TokenDead:
                raise
            except (GmailFailed, *DOWN) as error:
                log.warning("this round failed: %s", error)
            stop.wait(every)

    def resend(self, id: str) -> Summary:
        """Send a mail that is held, in doubt or refused once more, because a person says so.

        Raises ``CommandRejected`` for one that is not, or whose deadline is not over yet; ``WorkItemUnsent``
        if CXone gives no
        token: then nothing has changed.

        Example: ``router.resend("18c2a0b1c2d3e4f5")``
        """
        self._ledger.begin()
        self._ledger.load(id).resend(
            self._ledger.disk.now()
        )  # asked first, so that no token is fetched in vain
        self._outbox.cxone.sign_in()
        self._ledger.decide(id, lambda item: item.resend(self._ledger.disk.now()))
        log.info("mail %s: sent again by a person's decision", id)
        self._send([id], threading.Event())
        return self._ledger.summary()

    def confirm(self, id: str, contact_id: str | None = None) -> None:
        """Take a person's word that CXone has a mail that is held or in doubt; nothing is sent.

        Raises ``CommandRejected`` for one that is not, or whose deadline is not over yet.

        Example: ``router.confirm("18c2a0b1c2d3e4f5", "412345678900000001")``
        """
        confirm(self._ledger, id, contact_id)

    def _expire(self) -> None:
        now = self._ledger.disk.now()
        for item in list(self._ledger.worklist.of("submitting")):
            if item.deadline < now:
                fresh = self._ledger.load(item.id)
                try:
                    fresh.expire(now)
                except CommandRejected:
                    continue  # somebody knows more by now
                self._ledger.save(fresh, "held")

    def _send_due(self, stop: threading.Event) -> str:
        """Send what is due; give the reason for ending early, if there is one."""
        now = self._ledger.disk.now()
        due = [item.id for item in self._ledger.worklist.of("received") if item.due <= now]
        if not due:
            return ""
        self._outbox.not_let_in = 0
        try:
            self._outbox.cxone.sign_in()  # else each mail would wait for a token, in vain
            for at in range(0, len(due), self._together):
                if stop.is_set():
                    break
                self._send(due[at : at + self._together], stop)
                if self._outbox.not_let_in >= ENOUGH:
                    return f"{self._outbox.not_let_in} mails one after the other were not let in by CXone"
        except TokenDead:
            raise
        except (WorkItemUnsent, GmailFailed) as error:
            return str(error)
        return "it was told to stop" if stop.is_set() else ""

    def _send(self, ids: Sequence[str], stop: threading.Event) -> None:
        fetched = dict(
            self._inbox.fetch(ids)
        )  # here and not before: no body is kept, and few are in memory
        intents = [
            intent for id in ids if (intent := self._outbox.intend(id, fetched[id])) is not None
        ]
        if not intents:
            return
        self._outbox.settle(intents)
        taken = []
        for intent in intents:
            if stop.is_set():
                self._outbox.give_up(intent)
            elif self._outbox.post(intent):
                taken.append(intent.id)
        if self._label is not None and taken:
            self._inbox.label(taken, self._label)


def confirm(ledger: Ledger, id: str, contact_id: str | None = None) -> None:
    """``Router.confirm`` without a router, for who has neither Gmail nor CXone at hand.

    Example: ``confirm(Ledger(EventStore(lab.redis, "mailStream")), "18c2a0b1c2d3e4f5")``
    """

    def decide(item: WorkItem) -> None:
        item.confirm(ledger.disk.now(), contact_id)

    ledger.decide(id, decide)
    log.info("mail %s: confirmed by a person", id)

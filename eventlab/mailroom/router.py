"""The router: each email in the inbox becomes one work item or is held for review."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from eventlab.errors import CommandRejected
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.errors import (
    ConsentRequired,
    GmailFailed,
    IntentLost,
    NotOnDisk,
    WorkItemUnsent,
)
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.inbox import Fetched, Inbox, InboxRules
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.round_counter import RoundCounter
from eventlab.mailroom.selection import Selection
from eventlab.mailroom.sender import STOPPED, Prepared, Sender, SendingOptions
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.work_items import WorkItems
from eventlab.mailroom.worklist import Worklist
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason, server
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 12  # about five hours, including the backoff
#: A round ends after this many unsent emails in a row, because CXone would probably not accept the
#: next email either.
MAX_UNSENT_IN_A_ROW: Final = 3


class Router:
    """Sends each email in a Gmail inbox to CXone once.

    Several routers may share one store: only one of them handles each email. ``name`` identifies
    the router (default: host and process id). Up to ``batch_size`` emails share one fsync, which
    takes up to a second. If a router is killed, at most ``batch_size`` emails are left in doubt. An
    attempt must start within ``deadline_margin`` seconds after it is recorded; its deadline also
    includes the longest time that a call to CXone can take. An email that cannot be sent is retried
    after ``backoff`` seconds, then after twice as long, and so on; it is held after
    ``max_attempts``.

    ``label`` is the Gmail label for routed emails (the Gmail consent must include labeling).
    ``automatic_type`` is the work item type of automatic mail. ``selection`` decides which emails
    become work items. Emails that Gmail received before ``since`` do not become work items unless
    they are moved to the inbox later; ``since`` is stored in the events. Without ``since``, the
    first round stops if the inbox contains more than ``max_old`` emails that are older than a day
    (None: no limit).

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
        batch_size: int = 10,
        deadline_margin: float = 60.0,
        max_attempts: int = MAX_ATTEMPTS,
        backoff: float = 30.0,
        label: str | None = None,
        automatic_type: str = "email",
        selection: Selection | None = None,
        since: datetime | None = None,
        max_old: int | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._store = store
        self._cxone = cxone
        self._batch_size = batch_size
        self._label = label
        self._work_items = WorkItems(store)
        self._worklist = Worklist(store)
        self._durable_log = DurableLog(store)
        self._counter = RoundCounter()
        self._selection = selection or Selection()
        rules = InboxRules(
            selection=self._selection,
            own=cxone.settings.points.addresses,
            secret=cxone.settings.secret,
            since=None if since is None else int(since.timestamp()),
            max_old=max_old,
        )
        self._inbox = Inbox(store, gmail, self._work_items, self._durable_log, self._counter, rules)
        options = SendingOptions(
            router_name=self.name,
            deadline_margin=deadline_margin,
            max_attempts=max_attempts,
            backoff=backoff,
            automatic_type=automatic_type,
        )
        self._sender = Sender(
            cxone, self._work_items, self._durable_log, self._counter, options, self._inbox
        )

    def run_once(self, stop: threading.Event | None = None) -> Summary:
        """Record new emails, send those that are due, oldest first, and return a summary.

        ``stop`` ends the round early, between two emails. Raises ``ConsentRequired``,
        ``GmailFailed`` if Gmail is down, ``SinceRequired`` if the first round finds too many old
        emails, and ``NotOnDisk`` if Redis cannot guarantee durability. Everything that was done
        before such an error has already been recorded.

        >>> router.run_once().submitted
        3
        """
        self._counter.start()
        self._sender.record_owed()
        self._inbox.receive()
        self._worklist.refresh()
        self._expire()
        self._hold_over_cap()
        return self._summary(self._send_due(stop or threading.Event()))

    def watch(
        self,
        stop: threading.Event,
        poll_interval: float = 30.0,
        report: Callable[[Summary], object] = log.info,
    ) -> None:
        """Run a round every ``poll_interval`` seconds until ``stop`` is set.

        ``report`` is called with the summary of each round. If Gmail or Redis is down, the router
        logs the outage once and keeps retrying. Raises ``ConsentRequired``, ``SinceRequired`` and
        ``NotOnDisk``, which need an operator.
        """
        failed = ""  # what failed in the last round: an outage is logged once
        while not stop.is_set():
            try:
                report(self.run_once(stop))
                if failed:
                    log.info("%s is available again", failed)
                failed = ""
            except ConsentRequired:
                raise
            except IntentLost as error:
                failed = _log_failure("Redis", error.reason, failed)
            except GmailFailed as error:
                failed = _log_failure("Gmail", str(error), failed)
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise misconfiguration(error) or error from error
                failed = _log_failure(server(error), reason(error), failed)
            stop.wait(poll_interval)

    def resend(self, id: str) -> Summary:
        """Resend an email that is held, in doubt or refused, at an operator's request.

        The selection rules and Gmail's labels do not apply: the email is skipped only if it was
        deleted. Raises ``CommandRejected`` if the email has a different status or its deadline has
        not passed, and ``WorkItemUnsent`` if CXone issues no token. After either error, nothing has
        changed.
        """
        self._counter.start()
        # Checked before signing in, so that a rejected decision fetches no token.
        self._work_items.load(id).resend(self._durable_log.now())
        self._cxone.sign_in()
        self._work_items.decide(id, lambda item: item.resend(self._durable_log.now()))
        log.info("email %s: resent by an operator", id)
        self._send([id], threading.Event())
        return self._summary()

    def confirm(self, id: str, contact_id: str | None = None) -> None:
        """Record an operator's confirmation that CXone has an email that is held or in doubt.

        Nothing is sent. The email is labeled if the router has a ``label``. Raises
        ``CommandRejected`` if the email has a different status or its deadline has not passed.
        """
        confirm(self._store, id, contact_id)
        if self._label is not None:
            self._inbox.label([id], self._label)

    def _hold_over_cap(self) -> None:
        """Hold any emails above a sender's cap; an operator can still decide to send them."""
        cap = self._selection.sender_cap
        held = False
        for item in list(self._worklist.with_status("received")) if cap else ():
            if self._worklist.rank(item.id) > cap:
                fresh = self._work_items.load(item.id)
                if fresh.status != "received" or fresh.released:
                    continue
                fresh.hold(f"its sender sent more than {cap} emails in an hour")
                if self._work_items.save(fresh) is not None:
                    self._counter.add_decision(fresh)
                    held = True
        if held:
            self._worklist.refresh()

    def _expire(self) -> None:
        now = self._durable_log.now()
        for item in list(self._worklist.with_status("submitting")):
            if item.deadline < now:
                fresh = self._work_items.load(item.id)
                try:
                    fresh.expire(now)
                except CommandRejected:
                    continue  # the outcome is known by now
                if self._work_items.save(fresh) is not None:
                    self._counter.add_decision(fresh)

    def _send_due(self, stop: threading.Event) -> str:
        """Send the emails that are due; return the reason for ending early, or ''."""
        now = self._durable_log.now()
        due = [item for item in self._worklist.with_status("received") if item.due <= now]
        if not due:
            return ""
        self._sender.unsent_in_a_row = 0
        try:
            self._cxone.sign_in()  # once, so that a failure does not delay every email
            for batch in _batches(due, self._batch_size):
                if stop.is_set():
                    break
                self._send(batch, stop)
                if self._sender.unsent_in_a_row >= MAX_UNSENT_IN_A_ROW:
                    count = self._sender.unsent_in_a_row
                    return f"CXone did not accept any of the last {count} emails"
        except ConsentRequired:
            raise
        except (WorkItemUnsent, GmailFailed) as error:
            return str(error)
        return STOPPED if stop.is_set() else ""

    def _send(self, ids: Sequence[str], stop: threading.Event) -> None:
        # Fetch the emails only now: no body is stored, and only a few are in memory at a time.
        prepared = {id: self._prepare(mail) for id, mail in self._inbox.fetch(ids)}
        try:
            self._send_prepared({id: prepared[id] for id in ids}, stop)
        except (NotOnDisk, *SERVER_ERRORS):
            with suppress(*SERVER_ERRORS):  # if this fails, the next round records them
                self._sender.record_owed()
            raise
        finally:
            self._label_accepted()

    def _prepare(self, mail: Fetched) -> Prepared:
        if not isinstance(mail, Message):
            return self._sender.prepare(mail)
        earlier = self._worklist.conversations.earlier(mail)
        released = self._work_items.load(mail.gmail_id).released
        return self._sender.prepare(mail, earlier=earlier, released=released)

    def _send_prepared(self, prepared: Mapping[str, Prepared], stop: threading.Event) -> None:
        intents = [
            intent
            for id, mail in prepared.items()
            if (intent := self._sender.intend(id, mail)) is not None
        ]
        if not intents:
            return
        self._sender.wait_until_fsynced(intents)
        for intent in intents:
            if stop.is_set():
                self._sender.withdraw(intent)
            else:
                self._sender.send(intent)

    def _label_accepted(self) -> None:
        accepted = list(self._sender.accepted)
        self._sender.accepted.clear()
        if self._label is not None and accepted:
            self._inbox.label(accepted, self._label)

    def _summary(self, problem: str = "") -> Summary:
        self._worklist.refresh()
        return self._counter.summary(
            waiting=len(list(self._worklist.with_status("received"))),
            open=len(list(self._worklist.with_status("in_doubt", "held"))),
            problem=problem,
        )


def _batches(items: Sequence[WorkItem], size: int) -> Iterator[list[str]]:
    """Yield batches of ids in order; no batch contains two emails from the same thread.

    A reply names the contact id of an earlier email in its thread, so the earlier email is sent
    first.
    """
    batch: list[str] = []
    threads: set[str] = set()
    for item in items:
        if len(batch) == size or item.thread_id in threads:
            yield batch
            batch = []
            threads.clear()
        batch.append(item.id)
        threads.update([item.thread_id] if item.thread_id else [])
    if batch:
        yield batch


def _log_failure(what: str, why: str, failed_before: str) -> str:
    level = logging.DEBUG if what == failed_before else logging.WARNING
    log.log(level, "this round failed, and the next round tries again: %s: %s", what, why)
    return what


def confirm(store: EventStore, id: str, contact_id: str | None = None) -> None:
    """Confirm an email as ``Router.confirm`` does, but without a Gmail or CXone client."""
    durable_log = DurableLog(store)

    def decide(item: WorkItem) -> None:
        item.confirm(durable_log.now(), contact_id)

    WorkItems(store).decide(id, decide)
    log.info("email %s: confirmed by an operator", id)

"""Sends each email after the intent to send it is on disk, and then records the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from eventlab.errors import CommandRejected, EventLabError
from eventlab.events import Recorded
from eventlab.mailroom.correspondent import correspondent
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.errors import (
    GmailFailed,
    NotOnDisk,
    WorkItemInDoubt,
    WorkItemRefused,
    WorkItemUnsent,
)
from eventlab.mailroom.inbox import GONE, Fetched, Inbox
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.payload import payload_of
from eventlab.mailroom.round_counter import RoundCounter
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.work_items import WorkItems

log = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS: Final = 3600.0
STOPPED: Final = "the router was stopped"
NOT_SENT: Final = "a server failed before the email was sent"
TOO_LATE: Final = "its deadline passed before it could be sent"
NO_PAYLOAD: Final = "it could not be converted into a work item: see the error in the log"


@dataclass(frozen=True)
class WorkItemRequest:
    """The work item that CXone is asked to create for an email."""

    work_item_id: str
    payload: str = field(repr=False)
    sender: str = field(repr=False)
    work_item_type: str
    point_of_contact: str | None = None


@dataclass(frozen=True)
class NotNow:
    """An email that must not be sent now; ``record(item, now)`` records the reason."""

    record: Callable[[WorkItem, int], None]


#: Of an email of up to 5 MB, only this is kept in memory until the email is sent: at most 48 KB.
Prepared = WorkItemRequest | NotNow


@dataclass(frozen=True)
class Intent:
    """A recorded attempt and the request that it will send; times are in milliseconds since 1970.

    The request must not be sent after ``latest_start``.
    """

    id: str
    attempt: int
    latest_start: int
    deadline: int
    request: WorkItemRequest
    events: tuple[Recorded, ...] = ()  # as Redis acknowledged them


Outcome = Callable[[WorkItem], None]


@dataclass(frozen=True, kw_only=True)
class SendingOptions:
    """The options of a sender, as explained in ``Router``; times are in seconds."""

    router_name: str
    deadline_margin: float
    max_attempts: int
    backoff: float
    automatic_type: str


class Sender:
    """Sends emails to CXone.

    Call ``prepare``, ``intend``, ``wait_until_fsynced`` and ``send``, in this order. The sender
    records the outcome of each attempt. An outcome that Redis cannot store is kept in memory until
    ``record_owed`` records it. ``accepted`` holds the ids of the emails that CXone accepted and
    that the router has not labeled yet.
    """

    def __init__(
        self,
        cxone: CXoneClient,
        work_items: WorkItems,
        durable_log: DurableLog,
        counter: RoundCounter,
        options: SendingOptions,
        inbox: Inbox,
    ) -> None:
        self._cxone = cxone
        self._work_items = work_items
        self._durable_log = durable_log
        self._counter = counter
        self._options = options
        self._inbox = inbox
        self.unsent_in_a_row = 0
        self.accepted: list[str] = []
        self._owed: dict[tuple[str, int], tuple[Intent, Outcome]] = {}

    def prepare(
        self, message: Fetched, *, earlier: Sequence[str] = (), released: bool = False
    ) -> Prepared:
        """Return the request to send for an email, or ``NotNow`` if it must not be sent now.

        ``earlier`` holds the ids of earlier emails in the conversation; the payload names the first
        of them that CXone has. ``released`` means that an operator decided to send the email. The
        caller can discard the message afterwards.
        """
        if isinstance(message, GmailFailed):
            reason = str(message)
            return NotNow(lambda item, now: self._postpone(item, now, reason))
        skipped = self._inbox.reason_to_skip(message, released=released)
        if message is None or skipped is not None:
            return NotNow(lambda item, _now: item.skip(skipped or GONE))
        return self._request_for(message, earlier) or NotNow(
            lambda item, _now: item.hold(NO_PAYLOAD)
        )

    def intend(self, id: str, prepared: Prepared) -> Intent | None:
        """Record that an email is about to be sent, and return the intent.

        Returns None if the email must not be sent now or if another router is handling it.
        """
        item = self._work_items.load(id)
        now = self._durable_log.now()
        try:
            if isinstance(prepared, NotNow):
                prepared.record(item, now)
                if self._work_items.save(item) is not None:
                    self._counter.add_decision(item)
                return None
            latest_start = now + _milliseconds(self._options.deadline_margin)
            deadline = latest_start + _milliseconds(self._cxone.max_call_seconds)
            attempt = item.submit(router=self._options.router_name, now=now, deadline=deadline)
        except CommandRejected as error:
            log.debug("%s", error)
            return None
        intent = Intent(id, attempt, latest_start, deadline, prepared)
        # If Redis fails here, the intent may or may not have been recorded. If the intent was
        # recorded, record later that nothing was sent, so that no router marks the email as in
        # doubt.
        self._owe(intent, self._unsent(intent, NOT_SENT, counts=False, if_recorded=True))
        recorded = self._work_items.save(item)
        if recorded is None:
            self._paid(intent)
            return None
        intent = replace(intent, events=tuple(recorded))
        self._owe(intent, self._unsent(intent, NOT_SENT, counts=False))
        return intent

    def wait_until_fsynced(self, intents: list[Intent]) -> None:
        """Wait until the intents are on disk, and check that a failover has lost none of them.

        If the wait or the check fails, record that nothing was sent, and raise ``NotOnDisk``.
        """
        try:
            self._durable_log.wait_until_fsynced(
                [event for intent in intents for event in intent.events]
            )
        except NotOnDisk as error:
            for intent in intents:
                self._record_unsent(intent, error.reason, counts=False)
            raise

    def record_owed(self) -> None:
        """Record the outcomes that Redis could not store earlier."""
        for intent, outcome in list(self._owed.values()):
            self._record(intent, outcome)

    def withdraw(self, intent: Intent) -> None:
        """Record that the email of an intent was not sent because the router is stopping."""
        self._record_unsent(intent, STOPPED, counts=False)

    def send(self, intent: Intent) -> bool:
        """Send an email and record the outcome; return True if CXone accepted it."""
        attempt = intent.attempt
        # A process can be suspended for hours between two lines of code, so by now, another router
        # may have marked this email as in doubt.
        if self._durable_log.now() > intent.latest_start:
            self._record_unsent(intent, TOO_LATE, counts=False)
            return False
        self._paid(intent)  # from here on, the email may reach CXone
        try:
            contact_id = self._post(intent.request)
        except WorkItemUnsent as error:
            self._record_unsent(intent, error.reason)
            self.unsent_in_a_row += 1
            return False
        except WorkItemRefused as error:
            status = error.status
            reason = error.reason
            self._record(intent, lambda item: item.refused(attempt, status, reason))
        except WorkItemInDoubt as error:
            self._record_in_doubt(intent, error.reason)
        except Exception as error:  # noqa: BLE001 - the outcome is unknown: that must be recorded
            self._record_in_doubt(intent, f"{type(error).__name__} in {_place_of(error)}")
        else:
            self.unsent_in_a_row = 0
            return self._record(intent, lambda item: item.accepted(attempt, contact_id))
        self.unsent_in_a_row = 0
        return False

    def retry_delay(self, item: WorkItem) -> int:
        """Return how many milliseconds an email must wait before its next attempt.

        The delay doubles with each failed attempt, up to an hour.
        """
        backoff = _milliseconds(self._options.backoff) << item.failed_attempts
        return min(backoff, _milliseconds(MAX_BACKOFF_SECONDS))

    def _postpone(self, item: WorkItem, now: int, reason: str) -> None:
        item.postpone(
            reason,
            retry_at=now + self.retry_delay(item),
            max_attempts=self._options.max_attempts,
        )

    def _in_reply_to(self, earlier: Sequence[str]) -> str:
        for id in earlier:
            item = self._work_items.load(id)
            if item.status == "submitted":
                work_item = f"work item gmail:{id}"
                return f"contact {item.contact_id} ({work_item})" if item.contact_id else work_item
        return ""

    def _request_for(self, message: Message, earlier: Sequence[str]) -> WorkItemRequest | None:
        own = self._inbox.own()
        in_reply_to = self._in_reply_to(earlier)
        try:
            payload = payload_of(message, in_reply_to=in_reply_to)
            sender = correspondent(message, own).address
            point = self._cxone.settings.points.of(message, own)
        except EventLabError:
            raise
        except Exception as error:  # noqa: BLE001 - one email must not stop the others
            log.error(  # noqa: TRY400 - the traceback may quote the email
                "email %s: %s in %s", message.gmail_id, type(error).__name__, _place_of(error)
            )
            return None
        return WorkItemRequest(
            work_item_id=f"gmail:{message.gmail_id}",
            payload=payload,
            sender=sender,
            point_of_contact=point,
            work_item_type=self._options.automatic_type if message.automatic else "email",
        )

    def _post(self, request: WorkItemRequest) -> str | None:
        return self._cxone.post_work_item(
            work_item_id=request.work_item_id,
            payload=request.payload,
            sender=request.sender,
            work_item_type=request.work_item_type,
            point_of_contact=request.point_of_contact,
        )

    def _unsent(
        self, intent: Intent, reason: str, *, counts: bool, if_recorded: bool = False
    ) -> Outcome:
        def outcome(item: WorkItem) -> None:
            recorded = (item.router, item.attempt, item.deadline)
            if if_recorded and recorded != (
                self._options.router_name,
                intent.attempt,
                intent.deadline,
            ):
                return  # this attempt belongs to another router
            delay = self.retry_delay(item) if counts else 0
            item.unsent(
                intent.attempt,
                reason,
                retry_at=self._durable_log.now() + delay,
                max_attempts=self._options.max_attempts if counts else None,
            )

        return outcome

    def _record_unsent(self, intent: Intent, reason: str, *, counts: bool = True) -> None:
        self._record(intent, self._unsent(intent, reason, counts=counts))

    def _record_in_doubt(self, intent: Intent, reason: str) -> None:
        self._record(intent, lambda item: item.doubted(intent.attempt, reason))

    def _record(self, intent: Intent, outcome: Outcome) -> bool:
        """Record and count an outcome; return True if CXone accepted the email."""
        self._owe(intent, outcome)
        recorded = self._work_items.record_outcome(intent.id, outcome)
        self._paid(intent)
        if recorded is None:
            return False
        item, event = recorded
        self._counter.add_outcome(item, event)
        accepted = "submitted" in (event.type, event.data.get("outcome"))
        if accepted:
            self.accepted.append(intent.id)
        return accepted

    def _owe(self, intent: Intent, outcome: Outcome) -> None:
        self._owed[intent.id, intent.attempt] = (intent, outcome)

    def _paid(self, intent: Intent) -> None:
        self._owed.pop((intent.id, intent.attempt), None)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _place_of(error: Exception) -> str:
    """Return where an error was raised, without the error's text, which may quote the email."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return "an unknown location"
    return f"{step.tb_frame.f_code.co_qualname}, line {step.tb_lineno}"

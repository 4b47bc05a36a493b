"""The outbox: mails go to CXone one by one, the intent on the disk before, the outcome recorded after."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from eventlab.errors import CommandRejected, EventLabError
from eventlab.mailroom.cxone.client import CXoneClient
from eventlab.mailroom.errors import (
    GmailFailed,
    NotOnDisk,
    WorkItemInDoubt,
    WorkItemRefused,
    WorkItemUnsent,
)
from eventlab.mailroom.inbox import GONE, Fetched
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.payload import payload_of
from eventlab.mailroom.selection import unwanted
from eventlab.mailroom.work_item import WorkItem
from eventlab.mailroom.work_items import Ledger

log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 3_600_000  # milliseconds between two tries
STOPPED: Final = "the router was told to stop"
TOO_LATE: Final = "its time was over before it could be sent"

Send = Callable[[], str | None]


@dataclass(frozen=True)
class Intent:
    """An attempt that is recorded, what it will send, and until when (milliseconds) it may begin."""

    id: str
    attempt: int
    latest: int
    send: Send = field(repr=False)


class Outbox:
    """CXone and the ledger; the options are those of ``Router``, times in milliseconds. ``let_in`` tells of an outage.

    >>> intent = outbox.intend(id, message)
    >>> outbox.settle([intent])
    >>> outbox.post(intent)
    True
    """

    def __init__(
        self,
        ledger: Ledger,
        cxone: CXoneClient,
        *,
        name: str,
        margin: int,
        tries: int,
        pause: int,
        automatic_type: str,
    ) -> None:
        self.name, self.cxone = name, cxone
        self._ledger, self._disk = ledger, ledger.disk
        self._margin, self._tries, self._pause = margin, tries, pause
        self._automatic_type = automatic_type
        self.not_let_in = 0  # mails one after the other

    def intend(self, id: str, message: Fetched) -> Intent | None:
        """Record that a mail is about to be sent; None if it is not to be, or if another router has it.

        Example: ``outbox.intend(id, message)``
        """
        item, now = self._ledger.load(id), self._disk.now()
        try:
            send = self._looked_at(item, message, now)
            if send is None:
                self._ledger.save(item, item.status if item.status in ("skipped", "held") else "")
                return None
            latest = now + self._margin
            attempt = item.submit(
                router=self.name, now=now, deadline=latest + int(self.cxone.max_call_seconds * 1000)
            )
        except CommandRejected as error:
            log.debug("%s", error)
            return None
        return Intent(id, attempt, latest, send) if self._ledger.save(item) else None

    def settle(self, intents: list[Intent]) -> None:
        """Return when the intents are on the disk; else say that nothing was sent, and raise ``NotOnDisk``.

        Example: ``outbox.settle(intents)``
        """
        try:
            self._disk.settle()
        except NotOnDisk as error:
            for intent in intents:
                self._unsent(intent, error.reason, count=False)
            raise

    def give_up(self, intent: Intent) -> None:
        """Say that it will not be sent now, because the router is told to stop.

        Example: ``outbox.give_up(intent)``
        """
        self._unsent(intent, STOPPED, count=False)

    def post(self, intent: Intent) -> bool:
        """Send it, and record what came of it; True if CXone took it.

        Example: ``outbox.post(intent)``
        """
        id, attempt = intent.id, intent.attempt
        # A process can be stopped for hours between two lines: others may hold this mail in doubt by now.
        if self._disk.now() > intent.latest:
            self._unsent(intent, TOO_LATE, count=False)
            return False
        try:
            contact_id = intent.send()
        except WorkItemUnsent as error:
            self._unsent(intent, error.reason)
            self.not_let_in += 1
            return False
        except WorkItemRefused as error:
            status, reason = error.status, error.reason
            self._ledger.close(id, lambda item: item.refused(attempt, status, reason))
        except WorkItemInDoubt as error:
            self._doubt(intent, error.reason)
        except Exception as error:  # noqa: BLE001 - nobody knows how far it came: that must be recorded
            self._doubt(intent, f"{type(error).__name__} in {_place(error)}")
        else:
            self.not_let_in = 0
            return (
                self._ledger.close(id, lambda item: item.accepted(attempt, contact_id))
                == "submitted"
            )
        self.not_let_in = 0
        return False

    def wait(self, item: WorkItem) -> int:
        """How long a mail waits for its next try: twice as long as before, an hour at most.

        Example: ``outbox.wait(item)``
        """
        return min(self._pause << item.tries, LONGEST_PAUSE)

    def _looked_at(self, item: WorkItem, message: Fetched, now: int) -> Send | None:
        """Make a mail ready to be sent, or decide on the item what else is to become of it."""
        if isinstance(message, GmailFailed):
            item.postpone(str(message), again=now + self.wait(item), limit=self._tries)
        elif message is None:
            item.skip(GONE)
        elif (reason := unwanted(message.label_ids)) is not None:
            item.skip(reason)
        elif (send := self._prepared(message)) is None:
            item.hold("it could not be made into a work item: the log has the error")
        else:
            return send
        return None

    def _prepared(self, message: Message) -> Send | None:
        try:
            payload = payload_of(message)
        except EventLabError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a mail has in it, it must not harm the others
            log.error("mail %s: %s in %s", message.gmail_id, type(error).__name__, _place(error))  # noqa: TRY400
            return None
        kind = self._automatic_type if message.automatic else "email"
        return lambda: self.cxone.post_work_item(
            work_item_id=f"gmail:{message.gmail_id}",
            payload=payload,
            sender=message.sender_address,
            work_item_type=kind,
        )

    def _unsent(self, intent: Intent, reason: str, *, count: bool = True) -> None:
        def outcome(item: WorkItem) -> None:
            again = self._disk.now() + (self.wait(item) if count else 0)
            item.unsent(intent.attempt, reason, again=again, limit=self._tries if count else None)

        self._ledger.close(intent.id, outcome)

    def _doubt(self, intent: Intent, reason: str) -> None:
        self._ledger.close(intent.id, lambda item: item.doubted(intent.attempt, reason))


def _place(error: Exception) -> str:
    """Where an error came from; its text may hold what is in the mail."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return (
        "nowhere" if step is None else f"{step.tb_frame.f_code.co_qualname}, line {step.tb_lineno}"
    )

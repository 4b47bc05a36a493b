"""The inbox: the mails in Gmail, recorded as received before anything is done with them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from eventlab.errors import VersionConflict
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.errors import ConsentRequired, GmailFailed
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.inbox_cursor import CURSOR_ID, InboxCursor
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.round_counter import RoundCounter
from eventlab.mailroom.selection import facts_of, reason_to_skip
from eventlab.mailroom.work_items import WorkItems
from eventlab.repository import Repository
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

GONE: Final = "it was deleted before it could be read"

Fetched = Message | GmailFailed | None


class Inbox:
    """A Gmail inbox, and the work items that its mails are recorded as."""

    def __init__(
        self,
        store: EventStore,
        gmail: GmailClient,
        work_items: WorkItems,
        durable_log: DurableLog,
        counter: RoundCounter,
    ) -> None:
        self._cursors = Repository(store, InboxCursor)
        self._gmail = gmail
        self._work_items = work_items
        self._durable_log = durable_log
        self._counter = counter

    def receive(self) -> None:
        """Record new mails; raise ``ConsentRequired``, or ``GmailFailed`` if Gmail is down."""
        cursor = self._cursors.load(CURSOR_ID)
        found = 0
        for page in self._gmail.pages(since=cursor.history_id):
            self._counter.add_listed(len(page.ids))
            found += len(page.ids)
            for id, message in self.fetch(id for id in page.ids if self._is_new(id)):
                self._receive(id, message)
            if page.cursor is not None:
                # Only now: after a crash before this line, the next round gets the same mails
                # again.
                cursor.advance(page.cursor, found=found)
                try:
                    self._cursors.save(cursor)
                except VersionConflict:
                    log.debug("another router has moved the cursor")

    def fetch(self, ids: Iterable[str]) -> Iterator[tuple[str, Fetched]]:
        """Yield each mail, None if it is gone, or the error if Gmail does not return it.

        Raises ``GmailFailed`` if Gmail is down.
        """
        left = dict.fromkeys(ids)
        requested = len(left)
        try:
            for id, message in self._gmail.get(tuple(left)):
                del left[id]
                yield id, message
        except ConsentRequired:
            raise
        except GmailFailed as error:
            if error.status is None and len(left) == requested:
                raise
            log.warning("Gmail did not return %d of %d mails: %s", len(left), requested, error)
            yield from ((id, error) for id in left)

    def label(self, ids: Iterable[str], name: str) -> None:
        """Put a label on mails; a failure is only logged.

        The label is only for display. The events are the source of truth.
        """
        ids = tuple(ids)
        try:
            self._gmail.label(ids, name)
        except ConsentRequired:
            raise
        except GmailFailed as error:
            log.warning("%d mails could not be labeled %r: %s", len(ids), name, error)

    def _is_new(self, id: str) -> bool:
        return self._work_items.load(id).status in ("new", "skipped")

    def _receive(self, id: str, message: Fetched) -> None:
        item = self._work_items.load(id)
        if item.status not in ("new", "skipped"):
            return  # another router was faster
        if isinstance(message, GmailFailed):
            # It is still in the inbox, so it is kept even if it cannot be read now.
            item.receive({"date": self._durable_log.now()})
        elif message is not None and reason_to_skip(message.label_ids) is None:
            item.receive(facts_of(message))
        elif item.status == "skipped":
            return
        else:
            item.skip(GONE if message is None else reason_to_skip(message.label_ids) or "")
        if self._work_items.save(item) is not None:
            self._counter.add_decision(item)
            self._counter.add_new()

"""The inbox: mails that Gmail has, recorded as received before anything is done with them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from eventlab.errors import VersionConflict
from eventlab.mailroom.errors import GmailFailed, TokenDead
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.mailbox import MAILBOX, Mailbox
from eventlab.mailroom.selection import found_in, unwanted
from eventlab.mailroom.work_items import Ledger
from eventlab.repository import Repository

log = logging.getLogger(__name__)

GONE: Final = "it was gone before it could be read"

Fetched = Message | GmailFailed | None


class Inbox:
    """A mailbox and the ledger that its mails are recorded in.

    >>> Inbox(ledger, gmail).receive()
    """

    def __init__(self, ledger: Ledger, gmail: GmailClient) -> None:
        self._ledger, self._gmail = ledger, gmail
        self._mailboxes = Repository(ledger.store, Mailbox)

    def receive(self) -> None:
        """Record what is new. Raises ``TokenDead``, and ``GmailFailed`` if Gmail is away.

        Example: ``inbox.receive()``
        """
        mailbox = self._mailboxes.load(MAILBOX)
        found = 0
        for page in self._gmail.pages(since=mailbox.history_id):
            self._ledger.counts["listed"] += len(page.ids)
            found += len(page.ids)
            for id, message in self.fetch(id for id in page.ids if self._is_new(id)):
                self._receive(id, message)
            if page.cursor is not None:
                # Only now: had we died before, the next round would have got the same mails again.
                mailbox.listed(page.cursor, found=found)
                try:
                    self._mailboxes.save(mailbox)
                except VersionConflict:
                    log.debug("another router has moved the cursor")

    def fetch(self, ids: Iterable[str]) -> Iterator[tuple[str, Fetched]]:
        """Give each mail, None if it is gone, or why Gmail does not give it; raise if Gmail is away.

        Example: ``dict(inbox.fetch(ids))``
        """
        left = dict.fromkeys(ids)
        asked = len(left)
        try:
            for id, message in self._gmail.get(tuple(left)):
                del left[id]
                yield id, message
        except TokenDead:
            raise
        except GmailFailed as error:
            if error.status is None and len(left) == asked:
                raise
            log.warning("Gmail does not give %d of %d mails: %s", len(left), asked, error)
            yield from ((id, error) for id in left)

    def label(self, ids: Iterable[str], name: str) -> None:
        """Put a label on mails. Should that fail it is logged: it is for people to see, and the events are the truth.

        Example: ``inbox.label(ids, "routed")``
        """
        ids = tuple(ids)
        try:
            self._gmail.label(ids, name)
        except TokenDead:
            raise
        except GmailFailed as error:
            log.warning("%d mails got no label: %s", len(ids), error)

    def _is_new(self, id: str) -> bool:
        return self._ledger.load(id).status in ("new", "skipped")

    def _receive(self, id: str, message: Fetched) -> None:
        item = self._ledger.load(id)
        if item.status not in ("new", "skipped"):
            return  # another router was faster
        if isinstance(
            message, GmailFailed
        ):  # it is in the inbox: that it cannot be read now is no reason to forget it
            item.receive({"date": self._ledger.disk.now()})
        elif message is not None and unwanted(message.label_ids) is None:
            item.receive(found_in(message))
        elif item.status == "skipped":
            return
        else:
            item.skip(GONE if message is None else unwanted(message.label_ids) or "")
        if self._ledger.save(item, "skipped" if item.status == "skipped" else ""):
            self._ledger.counts["new"] += 1

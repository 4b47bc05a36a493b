"""The inbox: emails in Gmail are recorded as received before anything else happens to them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from eventlab.errors import VersionConflict
from eventlab.mailroom.address_match import folded
from eventlab.mailroom.durability import DurableLog
from eventlab.mailroom.errors import ConsentRequired, GmailFailed, SinceRequired
from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.inbox_cursor import CURSOR_ID, InboxCursor
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.round_counter import RoundCounter
from eventlab.mailroom.selection import Selection, facts_of
from eventlab.mailroom.work_items import WorkItems
from eventlab.repository import Repository
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

GONE: Final = "it was deleted before it could be read"

DAY_SECONDS: Final = 24 * 3600
ALARMING_RELISTS: Final = 2

Fetched = Message | GmailFailed | None


@dataclass(frozen=True, kw_only=True)
class InboxRules:
    """The rules that decide which emails are received; ``Router`` explains most of the fields.

    ``own`` holds our addresses, as returned by ``folded``, except the mailbox's address. ``secret``
    is the key for hashing senders. ``since`` is in seconds since 1970. ``max_old`` is the maximum
    number of old emails that the inbox may contain in the first round (None: any number).
    """

    selection: Selection = field(default_factory=Selection)
    own: frozenset[str] = frozenset()
    secret: str = field(default="", repr=False)
    since: int | None = None
    max_old: int | None = None


class Inbox:
    """A Gmail inbox whose emails are recorded as work items."""

    def __init__(
        self,
        store: EventStore,
        gmail: GmailClient,
        work_items: WorkItems,
        durable_log: DurableLog,
        counter: RoundCounter,
        rules: InboxRules,
    ) -> None:
        self._cursors = Repository(store, InboxCursor)
        self._gmail = gmail
        self._work_items = work_items
        self._durable_log = durable_log
        self._counter = counter
        self._rules = rules
        self._relisted = 0  # rounds in a row

    def own(self) -> frozenset[str]:
        """Return our addresses, folded: the mailbox's and those that have a point of contact."""
        return self._rules.own | {folded(self._gmail.address())}

    def receive(self) -> None:
        """Record new emails.

        Raises ``ConsentRequired``, ``GmailFailed`` if Gmail is down, and ``SinceRequired`` if the
        first round finds too many old emails.
        """
        cursor = self._cursors.load(CURSOR_ID)
        since = cursor.since if self._rules.since is None else self._rules.since
        earlier = since is not None and cursor.since is not None and since < cursor.since
        if cursor.history_id is None and since is None:
            self._check_age()
        found = 0
        relisted = False
        start = None if earlier else cursor.history_id
        for page in self._gmail.pages(since=start, not_before=since):
            relisted = page.relisted
            self._counter.add_listed(len(page.ids))
            found += len(page.ids)
            for id, message in self.fetch(id for id in page.ids if self._is_new(id)):
                self._receive(id, message)
            if page.cursor is not None:
                # Save the cursor only now: if the router crashes before this line, the next round
                # gets the same emails again.
                cursor.advance(page.cursor, found=found, since=since)
                try:
                    self._cursors.save(cursor)
                except VersionConflict:
                    log.debug("another router has already advanced the cursor of the inbox")
        self._log_relisted(relisted)

    def fetch(self, ids: Iterable[str]) -> Iterator[tuple[str, Fetched]]:
        """Yield each id with its email, or with the error if the email cannot be fetched.

        An email that no longer exists is yielded as None. Raises ``ConsentRequired``, and
        ``GmailFailed`` if Gmail is down.
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
            log.warning("Gmail did not return %d of %d emails: %s", len(left), requested, error)
            yield from ((id, error) for id in left)

    def label(self, ids: Iterable[str], name: str) -> None:
        """Label emails in Gmail; failures other than ``ConsentRequired`` are only logged.

        The label is just for display; the events are the source of truth.
        """
        ids = tuple(ids)
        try:
            self._gmail.label(ids, name)
        except ConsentRequired:
            raise
        except GmailFailed as error:
            log.warning("%d emails could not be labeled %r: %s", len(ids), name, error)

    def reason_to_skip(self, message: Message | None, *, released: bool = False) -> str | None:
        """Return the reason to skip an email, or None if the email is for an agent.

        An email that was ``released`` by an operator is skipped only if it no longer exists.
        """
        if message is None:
            return GONE
        if released:
            return None
        return self._rules.selection.reason_to_skip(message, self.own())

    def _check_age(self) -> None:
        limit = self._rules.max_old
        if limit is not None:
            yesterday = self._durable_log.now() // 1000 - DAY_SECONDS
            if self._gmail.has_more_before(yesterday, limit):
                raise SinceRequired(limit)

    def _log_relisted(self, relisted: bool) -> None:
        self._relisted = self._relisted + 1 if relisted else 0
        if self._relisted == 1:
            log.warning(
                "Gmail no longer has the history since the last round: the router listed the whole "
                "inbox again; no email is sent twice"
            )
        elif self._relisted:
            level = logging.WARNING if self._relisted == ALARMING_RELISTS else logging.DEBUG
            log.log(
                level,
                "Gmail has rejected the history request for %d rounds in a row: each round lists "
                "the whole inbox, and no email is sent twice",
                self._relisted,
            )

    def _is_new(self, id: str) -> bool:
        return self._work_items.load(id).status in ("new", "skipped")

    def _receive(self, id: str, message: Fetched) -> None:
        item = self._work_items.load(id)
        if item.status not in ("new", "skipped"):
            return  # another router was faster
        if isinstance(message, GmailFailed):
            # The email is still in the inbox, so record it even though it cannot be read now.
            item.receive({"date": self._durable_log.now()})
        else:
            reason = self.reason_to_skip(message)
            if message is not None and reason is None:
                item.receive(facts_of(message, own=self.own(), secret=self._rules.secret))
            elif item.status == "skipped":
                return
            else:
                item.skip(reason or GONE)
        if self._work_items.save(item) is not None:
            self._counter.add_decision(item)
            self._counter.add_new()

"""An in-memory mailbox with emails, labels and a history of changes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from eventlab.sandbox.gmail.error import GoogleError

SYSTEM_LABELS: Final = (
    "INBOX",
    "SENT",
    "DRAFT",
    "SPAM",
    "TRASH",
    "UNREAD",
    "STARRED",
    "IMPORTANT",
    "CHAT",
)
HIDDEN_LABELS: Final = {"SPAM", "TRASH"}
FIRST_MAIL_ID: Final = 0x18F0000000000000
FIRST_DATE_MS: Final = 1_767_225_600_000  # 2026-01-01
MINUTE_MS: Final = 60_000

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class StoredMail:
    """An email in the mailbox."""

    id: str
    thread_id: str
    raw: bytes
    label_ids: tuple[str, ...]
    internal_date_ms: int
    history_id: int


@dataclass(frozen=True)
class MailboxChange:
    """A change to an email: messageAdded, messageDeleted, labelAdded or labelRemoved."""

    history_id: int
    kind: str
    message: StoredMail
    label_ids: tuple[str, ...] = ()


def _locked(
    method: Callable[Concatenate[FakeMailbox, P], R],
) -> Callable[Concatenate[FakeMailbox, P], R]:
    def with_lock(self: FakeMailbox, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return functools.update_wrapper(with_lock, method)


class FakeMailbox:
    """The emails of one account. This class is thread-safe.

    Generated ids, dates and history ids always start with the same values and increase.

    >>> FakeMailbox("agent@example.com").deliver(b"Subject: hello")
    '18f0000000000001'
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.lock = threading.RLock()
        self._mails: dict[str, StoredMail] = {}
        self._changes: list[MailboxChange] = []
        self._labels: dict[str, str] = {name: name for name in SYSTEM_LABELS}  # keyed by id
        self._history_id = 1000
        self._oldest = 0
        self._count = 0

    @_locked
    def deliver(
        self,
        raw: bytes,
        *,
        labels: Iterable[str] = ("INBOX", "UNREAD"),
        id: str | None = None,
        thread_id: str | None = None,
        internal_date_ms: int | None = None,
    ) -> str:
        """Add an email and return its id; generate the id and the date if they are not given.

        Raises ``ValueError`` if there is already an email with this id.
        """
        self._count += 1
        id = id or f"{FIRST_MAIL_ID + self._count:016x}"
        if id in self._mails:
            raise ValueError(f"Email {id} already exists")
        date_ms = (
            FIRST_DATE_MS + self._count * MINUTE_MS
            if internal_date_ms is None
            else internal_date_ms
        )
        mail = StoredMail(id, thread_id or id, raw, self._known(labels), date_ms, self._next())
        self._mails[id] = mail
        self._changes.append(MailboxChange(mail.history_id, "messageAdded", mail))
        return id

    @_locked
    def delete(self, id: str) -> None:
        """Delete an email permanently, as the owner of the mailbox would."""
        mail = self.get(id)
        del self._mails[id]
        self._changes.append(MailboxChange(self._next(), "messageDeleted", mail))

    @_locked
    def get(self, id: str) -> StoredMail:
        """Return an email. Raises ``GoogleError`` 404 if it does not exist."""
        if id not in self._mails:
            raise GoogleError(404)
        return self._mails[id]

    @_locked
    def find(
        self,
        label_ids: Iterable[str] = (),
        *,
        larger: int = -1,
        after: int = 0,
        before: int | None = None,
    ) -> list[StoredMail]:
        """Return the emails that have all these labels, newest first.

        The result contains only emails that are larger than ``larger`` bytes and were received at
        ``after`` or later but before ``before``, both in seconds since 1970. Spam and trash are
        included only if their labels are given.
        """
        wanted = set(self._known(label_ids))
        hidden = HIDDEN_LABELS - wanted
        found = [
            mail
            for mail in self._mails.values()
            if wanted <= set(mail.label_ids)
            and not hidden & set(mail.label_ids)
            and len(mail.raw) > larger
            and after * 1000 <= mail.internal_date_ms
            and (before is None or mail.internal_date_ms < before * 1000)
        ]
        return sorted(found, key=lambda mail: (mail.internal_date_ms, mail.id), reverse=True)

    @_locked
    def modify(
        self, ids: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> list[StoredMail]:
        """Change the labels of emails and return the emails.

        Raises ``GoogleError`` 400 for an unknown label, and 404 for an unknown email.
        """
        adding = self._known(add)
        removing = self._known(remove)
        changed = []
        for mail in [self.get(id) for id in ids]:
            new = tuple(label for label in adding if label not in mail.label_ids)
            old = tuple(label for label in removing if label in mail.label_ids)
            labels = tuple(label for label in mail.label_ids if label not in old) + new
            for kind, changed_labels in (("labelAdded", new), ("labelRemoved", old)):
                if changed_labels:
                    mail = replace(mail, label_ids=labels, history_id=self._next())
                    self._changes.append(MailboxChange(mail.history_id, kind, mail, changed_labels))
            self._mails[mail.id] = mail
            changed.append(mail)
        return changed

    @_locked
    def history(
        self, since: int, kinds: Iterable[str] = (), label: str | None = None
    ) -> list[MailboxChange]:
        """Return the changes after a history id, oldest first, filtered by kind and label if given.

        Raises ``GoogleError`` 404 if the id is too old or is not from this mailbox.
        """
        if since < self._oldest or since > self._history_id:
            raise GoogleError(404)
        wanted = set(kinds)
        return [
            change
            for change in self._changes
            if change.history_id > since
            and (not wanted or change.kind in wanted)
            and (
                label is None
                or label in self._mails.get(change.message.id, change.message).label_ids
            )
        ]

    @_locked
    def forget_history(self) -> None:
        """Forget the history, as Gmail does after about a week, so that all cursors are too old."""
        self._changes.clear()
        self._oldest = self._next()

    @_locked
    def create_label(self, name: str) -> dict[str, Any]:
        """Create a label and return it as the API shows it.

        Raises ``GoogleError`` 409 if the name is taken, and 400 if it is empty.
        """
        if not name or name.casefold() in (other.casefold() for other in self._labels.values()):
            raise GoogleError(409 if name else 400)
        id = f"Label_{len(self._labels) - len(SYSTEM_LABELS) + 1}"
        self._labels[id] = name
        return self._label(id)

    @_locked
    def labels(self) -> list[dict[str, Any]]:
        """Return all labels as the API shows them."""
        return [self._label(id) for id in self._labels]

    @_locked
    def profile(self) -> dict[str, Any]:
        """Return the mailbox's address, size and latest history id as the API shows them."""
        return {
            "emailAddress": self.address,
            "messagesTotal": len(self._mails),
            "threadsTotal": len({mail.thread_id for mail in self._mails.values()}),
            "historyId": str(self._history_id),
        }

    def _label(self, id: str) -> dict[str, Any]:
        shown = (
            {}
            if id in SYSTEM_LABELS
            else {"messageListVisibility": "show", "labelListVisibility": "labelShow"}
        )
        return {
            "id": id,
            "name": self._labels[id],
            "type": "system" if id in SYSTEM_LABELS else "user",
            **shown,
        }

    def _known(self, labels: Iterable[str]) -> tuple[str, ...]:
        unique = tuple(dict.fromkeys(labels))
        for label in unique:
            if label not in self._labels:
                raise GoogleError(400, message=f"Invalid label: {label}")
        return unique

    def _next(self) -> int:
        self._history_id += 7  # history ids increase and are not contiguous
        return self._history_id

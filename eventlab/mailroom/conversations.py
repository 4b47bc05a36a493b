"""Finds the earlier emails in an email's conversation, from the recorded events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Final

from eventlab.events import Recorded
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.selection import hash_of

MAX_MAILS: Final = 100_000  # kept in memory: about 45 MB
MAX_CANDIDATES: Final = 10


class Conversations:
    """Groups emails into conversations, by Gmail thread and by hashed Message-ID.

    The id of a Gmail thread is the id of its first email, so the first email is always found,
    however old it is. Other emails are found only if they are among the newest ``max_mails``.

    >>> conversations = Conversations()
    >>> data = {"date": 5, "thread_id": "18c0", "message_hash": "7a"}
    >>> conversations.add(Recorded("18c2", 1, "received", data, "1-0"))
    """

    def __init__(self, *, max_mails: int = MAX_MAILS) -> None:
        self._max_mails = max_mails
        self._by_hash: OrderedDict[str, str] = OrderedDict()
        self._first_of_thread: OrderedDict[str, str] = OrderedDict()

    def add(self, event: Recorded) -> None:
        """Add the email of a ``received`` event."""
        for known, name in (
            (self._by_hash, event.data.get("message_hash")),
            (self._first_of_thread, event.data.get("thread_id")),
        ):
            if name:
                known.setdefault(name, event.id)
                known.move_to_end(name)
                if len(known) > self._max_mails:
                    known.popitem(last=False)

    def earlier(self, message: Message) -> list[str]:
        """Return the ids of up to 10 earlier emails in the conversation, likeliest first.

        The caller must check whether these emails were routed. Note that a sender can refer to
        any email whose Message-ID they know.
        """
        found = dict.fromkeys(id for id in self._candidates(message) if id != message.gmail_id)
        return list(islice(found, MAX_CANDIDATES))

    def _candidates(self, message: Message) -> Iterator[str]:
        yield message.thread_id
        for reference in (*message.references, *message.in_reply_to):  # oldest first
            if known := self._by_hash.get(hash_of(reference)):
                yield known
        if first := self._first_of_thread.get(message.thread_id):
            yield first

"""Incoming: what is kept of a mail, and which mails are not for an agent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Final

from eventlab.events import Data
from eventlab.mailroom.mail.message import Message

#: Gmail's labels of what is in the inbox's list and yet no mail that came in.
NOT_FOR_AGENTS: Final = ("DRAFT", "SENT", "SPAM", "TRASH", "CHAT")
INBOX: Final = "INBOX"
DOMAIN: Final = re.compile(r"[\w.-]{1,253}")  # else it is some other part of an odd address


def unwanted(label_ids: Collection[str]) -> str | None:
    """Say why a mail with these labels is not for an agent; None if it is.

    >>> unwanted(["INBOX", "DRAFT"])
    'it has the label DRAFT'
    """
    for label in NOT_FOR_AGENTS:
        if label in label_ids:
            return f"it has the label {label}"
    return None if INBOX in label_ids else "it is not in the inbox any more"


def found_in(message: Message) -> Data:
    """Give what is recorded of a mail: no address, no subject, no text.

    Times are in milliseconds since 1970, sizes in bytes.

    >>> found_in(message)["domain"]
    'example.com'
    """
    found: Data = {
        "date": int(message.date.timestamp() * 1000),
        "thread_id": message.thread_id,
        "domain": message.sender_domain if DOMAIN.fullmatch(message.sender_domain) else "",
        "size": message.size,
        # Of the address no hash: from a list of addresses it would be known. A Message-ID is as good as random.
        "message_hash": hashlib.sha256(message.message_id.encode("utf-8", "replace")).hexdigest()[
            :16
        ],
    }
    if message.automatic:
        found["automatic"] = message.automatic.kind
    if message.problem is not None:
        found["unreadable"] = True  # without the reason, which may quote the mail
    return found

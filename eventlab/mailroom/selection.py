"""Selection: which mails are for an agent, and what is recorded of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Final

from eventlab.events import Data
from eventlab.mailroom.mail.message import Message

#: Gmail lists mails with these labels in the inbox, although nobody received them there.
NOT_FOR_AGENTS: Final = ("DRAFT", "SENT", "SPAM", "TRASH", "CHAT")
INBOX: Final = "INBOX"
DOMAIN: Final = re.compile(r"[\w.-]{1,253}")  # anything else is another part of an odd address


def reason_to_skip(label_ids: Collection[str]) -> str | None:
    """Return why a mail with these labels is not for an agent, or None if it is.

    >>> reason_to_skip(["INBOX", "DRAFT"])
    'it has the label DRAFT'
    """
    for label in NOT_FOR_AGENTS:
        if label in label_ids:
            return f"it has the label {label}"
    return None if INBOX in label_ids else "it is no longer in the inbox"


def facts_of(message: Message) -> Data:
    """Return what is recorded of a mail: no address, no subject, no text.

    Times are in milliseconds since 1970, sizes in bytes.

    >>> facts_of(message)["domain"]
    'example.com'
    """
    # No hash of the address: a list of addresses would reveal it. A Message-ID is as good as
    # random.
    message_hash = hashlib.sha256(message.message_id.encode("utf-8", "replace")).hexdigest()[:16]
    facts: Data = {
        "date": int(message.date.timestamp() * 1000),
        "thread_id": message.thread_id,
        "domain": message.sender_domain if DOMAIN.fullmatch(message.sender_domain) else "",
        "size": message.size,
        "message_hash": message_hash,
    }
    if message.automatic:
        facts["automatic"] = message.automatic.kind
    if message.problem is not None:
        facts["unreadable"] = True  # without the reason, which may quote the mail
    return facts

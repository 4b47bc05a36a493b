"""The payload of a work item: a mail as plain text, cut to what CXone accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eventlab.mailroom.mail.charset import clean, one_line
from eventlab.mailroom.mail.message import Attachment, Message

#: CXone accepts 50 KB; the difference is room for what it may add.
MAX_PAYLOAD_BYTES: Final = 48 * 1024
MAX_LISTED_ATTACHMENTS: Final = 20
MAX_LINE: Final = 1000
LINK: Final = "https://mail.google.com/mail/u/0/#all/"


def payload_of(message: Message, *, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    r"""Return a mail as UTF-8 text of at most ``max_bytes``: facts, an empty line, its text.

    Each fact is one line. A text that is too long is cut between two characters, and a last line
    says how many bytes are missing and where to read on. The only control character is ``\n``.

    >>> print(payload_of(Message.from_gmail({"id": "18c2", "snippet": "Hello"})).splitlines()[0])
    From: (unknown)
    """
    head = "\n".join(_head(message))
    text = _tidy(message.text)
    whole = f"{head}\n\n{text}\n" if text else f"{head}\n"
    if _size(whole) <= max_bytes:
        return whole
    room = max_bytes - _size(f"{head}\n\n{_note(_size(text), message)}")
    if room < 0:  # not even the facts fit
        return _cut(head, max_bytes)
    kept = _cut(text, room)
    return f"{head}\n\n{kept}{_note(_size(text) - _size(kept), message)}"


def _head(message: Message) -> Iterator[str]:
    sender = message.sender_name
    if message.sender_address:
        sender = f"{sender} <{message.sender_address}>" if sender else message.sender_address
    yield _line("From", sender or message.raw_from or "(unknown)")
    yield _line("Subject", message.subject or "(none)")
    yield _line("Date", f"{message.date:%Y-%m-%d %H:%M} UTC")
    if message.automatic:
        yield _line("Automatic", f"{message.automatic.kind} ({message.automatic.reason})")
    for attachment in message.attachments[:MAX_LISTED_ATTACHMENTS]:
        yield _line("Attachment", _described(attachment))
    if (more := len(message.attachments) - MAX_LISTED_ATTACHMENTS) > 0:
        yield _line("Attachment", f"and {more} more")
    if message.problem:
        yield _line("Problem", message.problem)
    yield _line("Thread", message.thread_id)
    yield _line("Gmail", f"{LINK}{message.gmail_id}")


def _line(name: str, value: str) -> str:
    plain = one_line(value)
    return f"{name}: {plain if len(plain) <= MAX_LINE else plain[:MAX_LINE] + '…'}"


def _described(attachment: Attachment) -> str:
    return f"{attachment.name} ({attachment.type}, {attachment.size:,} bytes)"


def _note(missing: int, message: Message) -> str:
    link = f"{LINK}{one_line(message.gmail_id)[:MAX_LINE]}"
    return f"\n\n[truncated, {missing:,} bytes, open in Gmail: {link}]\n"


def _tidy(text: str) -> str:
    return clean(text).replace("\t", "    ").strip("\n")


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, size: int) -> str:
    return text.encode()[: max(size, 0)].decode("utf-8", "ignore")

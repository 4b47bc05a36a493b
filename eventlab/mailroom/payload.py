"""The payload of a work item: an email as plain text, cut to the size that CXone accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.automatic import Kind
from eventlab.mailroom.mail.body import NO_NAME
from eventlab.mailroom.mail.charset import clean, one_line
from eventlab.mailroom.mail.html_text import without_filler
from eventlab.mailroom.mail.message import Attachment, Message
from eventlab.mailroom.mail.quoted import shorten_quotes

#: CXone accepts 50 KB; the other 2 KB are room for anything that CXone adds.
MAX_PAYLOAD_BYTES: Final = 48 * 1024
MAX_LISTED_ATTACHMENTS: Final = 20
MAX_LISTED_PEOPLE: Final = 10
MAX_LINE: Final = 1000
#: In a longer text, quotes are not shortened, because finding them would take too long. Only the
#: middle is cut out.
MAX_SEARCHED: Final = 1024 * 1024
#: Where a text is cut, the remaining part of a line is left out too if it is at most this long.
MAX_PART_OF_A_LINE: Final = 200
#: Characters that only change the order in which a text is displayed, as in "gpj.exe".
OVERRIDES: Final = re.compile("[\u202d\u202e]")
#: The description of each kind of automatic mail that an agent reads.
KINDS: Final[Mapping[Kind, str]] = {
    "bounce": "an email could not be delivered, or is delayed",
    "receipt": "a program reports that an email was opened or deleted",
    "complaint": "a recipient marked an email as spam",
    "reaction": "someone reacted with an emoji",
    "calendar": "a meeting invitation, or a response to one",
    "reply": "an automatic reply, such as one from someone who is out of the office",
    "notice": "a program sent it, and perhaps nobody reads replies",
    "list": "it was sent to a mailing list",
    "bulk": "a newsletter or an advertisement",
}
#: The name to show for an unnamed attachment, by media type or by the part before the slash.
UNNAMED: Final = {
    "message/delivery-status": "the mail server's report",
    "message/disposition-notification": "the receipt",
    "message/rfc822": "an email without a subject",
    "text/calendar": "the meeting as a calendar file",
    "text": "an unnamed text file",
    "image": "an unnamed picture",
    "audio": "an unnamed recording",
    "video": "an unnamed video",
}
NO_TEXT: Final = "[This email has no text.]"
LINK: Final = "https://mail.google.com/mail/u/0/#all/"


def payload_of(
    message: Message, *, max_bytes: int = MAX_PAYLOAD_BYTES, in_reply_to: str = ""
) -> str:
    r"""Return an email as text of up to ``max_bytes`` in UTF-8: facts, an empty line, and the text.

    Each fact is one line. If the text is too long, quoted emails are shortened first, to keep the
    newest text. If that is not enough, the middle of the text is cut out, and a line says how many
    bytes are missing and where to read them. No character is split. ``in_reply_to`` names the
    work item of an earlier email in the conversation. The only control character in the result is
    ``\n``.

    >>> print(payload_of(Message.from_gmail({"id": "18c2", "snippet": "Hello"})).splitlines()[0])
    From: (unknown)
    """
    head = "\n".join(_head(message, in_reply_to))
    text = _tidy(message.text) or NO_TEXT
    whole = f"{head}\n\n{text}\n"
    if _size(whole) <= max_bytes:
        return whole
    room = max_bytes - _size(f"{head}\n\n\n")
    if len(text) <= MAX_SEARCHED:
        text = shorten_quotes(text, room, subject=message.subject)
    if _size(text) <= room:
        return f"{head}\n\n{text}\n"
    room -= _size(_note(_size(text), message))
    if room < 0:  # not even the facts fit
        return _cut(head, max_bytes)
    start = _cut(text, room - room // 3)
    end = _cut_start(text, room // 3)
    missing = _size(text) - _size(start) - _size(end)
    return f"{head}\n\n{start}{_note(missing, message)}{end}\n"


def _head(message: Message, in_reply_to: str) -> Iterator[str]:
    yield _line("From", _person(message.sender) or message.raw_from or "(unknown)")
    sender = message.sender_address.lower()
    if message.original_sender:
        yield _line("Original sender", _person(message.original_sender))
    if {one.address.lower() for one in message.reply_to} - {sender}:
        yield _line("Reply-To", _listed(message.reply_to))
    if message.to:
        yield _line("To", _listed(message.to))
    if message.cc:
        yield _line("Cc", _listed(message.cc))
    named = {one.address.lower() for one in (*message.to, *message.cc)}
    if others := [one for one in message.delivered_to if one.address.lower() not in named]:
        yield _line("Delivered-To", _listed(others))
    yield _line("Subject", message.subject or "(none)")
    yield _line("Date", f"{message.date:%Y-%m-%d %H:%M} UTC")
    if message.automatic:
        kind = message.automatic.kind
        yield _line("Automatic", f"{kind}: {KINDS[kind]} ({message.automatic.reason})")
    if in_reply_to:
        yield _line("In reply to", in_reply_to)
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


def _person(one: Address) -> str:
    return f"{one.name} <{one.address}>" if one.name and one.address else one.name or one.address


def _listed(people: Sequence[Address]) -> str:
    shown = ", ".join(_person(one) for one in people[:MAX_LISTED_PEOPLE])
    return f"{shown} and others" if len(people) > MAX_LISTED_PEOPLE else shown


def _described(attachment: Attachment) -> str:
    name = attachment.name
    if name == NO_NAME:
        type = attachment.type
        name = UNNAMED.get(type) or UNNAMED.get(type.partition("/")[0]) or "an unnamed file"
    return f"{name} ({attachment.type}, {attachment.size:,} bytes)"


def _note(missing: int, message: Message) -> str:
    link = f"{LINK}{one_line(message.gmail_id)[:MAX_LINE]}"
    what = f"truncated: {missing:,} bytes were left out here, open the email in Gmail: {link}"
    return f"\n\n[{what}]\n\n"


def _tidy(text: str) -> str:
    plain = without_filler(OVERRIDES.sub("", clean(text)))
    return plain.replace("\t", "    ").strip("\n")


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, size: int) -> str:
    """Return the start of a text; a short partial line at its end is dropped."""
    kept = text.encode()[: max(size, 0)].decode("utf-8", "ignore")
    end = kept.rfind("\n", max(len(kept) - MAX_PART_OF_A_LINE, 1))
    return kept if end < 0 else kept[:end].rstrip("\n")


def _cut_start(text: str, size: int) -> str:
    """Return the end of a text; a short partial line at its start is dropped."""
    data = text.encode()
    kept = data[len(data) - max(size, 0) :].decode("utf-8", "ignore")
    start = kept.find("\n", 0, MAX_PART_OF_A_LINE)
    return kept[start + 1 :].lstrip("\n")

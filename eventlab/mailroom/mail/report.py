"""Describes reports and nested emails in text that an agent can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from eventlab.mailroom.mail.automatic import REPORTS
from eventlab.mailroom.mail.charset import one_line
from eventlab.mailroom.mail.header import words
from eventlab.mailroom.mail.html_lines import PICTURES_ONLY
from eventlab.mailroom.mail.mime import MailPart, parse_headers

MAX_RECIPIENTS: Final = 20
MAX_FIELD: Final = 500
MAX_REPORT: Final = 256 * 1024
BETWEEN_BLOCKS: Final = re.compile(rb"\r{0,2}\n(?:[ \t]{0,80}\r{0,2}\n)+")
IMAGE: Final = "image/"
#: The types of parts whose text can be shown only by a program like the sender's.
TNEF: Final = ("application/ms-tnef", "application/vnd.ms-tnef")
SMIME: Final = ("application/pkcs7-mime", "application/x-pkcs7-mime")
PGP: Final = "application/pgp-encrypted"


def report_text(part: MailPart) -> str:
    """Return a report as text, with one line for each recipient, or "" if it reports nothing.

    >>> report_text(part)
    'Delivery failed: joe@example.com (status 5.1.1; smtp; 550 no such mailbox)'
    """
    content = part.content_start[:MAX_REPORT].strip()
    blocks = [parse_headers(block) for block in BETWEEN_BLOCKS.split(content, MAX_RECIPIENTS + 1)]
    kind = REPORTS[subtype_of(part)]
    if kind == "bounce":
        return "\n".join(_recipients(blocks))
    return _receipt(blocks[0]) if kind == "receipt" else _complaint(blocks[0])


def subtype_of(part: MailPart) -> str:
    """Return the subtype of a part of type message/..., or "" for any other type."""
    media, _slash, subtype = part.type.partition("/")
    return subtype if media == "message" else ""


def heading(mail: MailPart, title: str) -> str:
    """Return the From, To, Date and Subject of an inner email as a heading, or "" if it has none.

    >>> heading(mail, "Forwarded message")
    '---------- Forwarded message ----------\\nFrom: Ann <ann@example.org>\\nSubject: hello'
    """
    lines = [
        f"{name.title()}: {value}"
        for name in ("from", "to", "date", "subject")
        if (value := _value(mail, name))
    ]
    return "\n".join([f"---------- {title} ----------", *lines]) if lines else ""


def note_of(types: list[str], smime: str, *, has_text: bool) -> str:
    """Return a note if an email has no text or needs another program to show its text, else "".

    ``types`` holds the types of all parts; ``smime`` is the value of the smime-type parameter.
    """
    if any(type in SMIME for type in types):
        how = "signed" if "signed" in smime or "certs" in smime else "encrypted"
        return f"[This email is {how} with S/MIME, and its text cannot be read here: {WHERE}.]"
    if PGP in types:
        return f"[This email is encrypted with OpenPGP, and its text cannot be read here: {WHERE}.]"
    if has_text or not types:
        return ""
    if any(type in TNEF for type in types):
        return (
            "[This email is in Outlook's own format (winmail.dat), and its text cannot be read "
            f"here: {WHERE}.]"
        )
    if all(type.startswith(IMAGE) for type in types):
        return PICTURES_ONLY
    return f"[This email has attachments and no text: {WHERE}.]"


WHERE: Final = "open it in Gmail"


def _recipients(blocks: list[MailPart]) -> Iterator[str]:
    for block in blocks[: MAX_RECIPIENTS + 1]:
        recipient = _address(block, "final-recipient") or _address(block, "original-recipient")
        action = _value(block, "action").lower()
        if not recipient and not action:
            continue
        about = [
            f"status {status}" if (status := _value(block, "status")) else "",
            _value(block, "diagnostic-code"),
        ]
        why = "; ".join(piece for piece in about if piece)
        line = f"Delivery {action or 'report'}: {recipient or 'an unknown recipient'}"
        yield f"{line} ({why})" if why else line


def _receipt(block: MailPart) -> str:
    recipient = _address(block, "final-recipient") or _address(block, "original-recipient")
    disposition = _value(block, "disposition").rpartition(";")[2].strip()
    return f"Receipt from {recipient or 'a recipient'}: {disposition}" if disposition else ""


def _complaint(block: MailPart) -> str:
    kind = _value(block, "feedback-type")
    sender = _value(block, "original-mail-from")
    return f"Complaint ({kind}) about an email from {sender or 'an unknown sender'}" if kind else ""


def _address(block: MailPart, name: str) -> str:
    """Return an address without its type, such as ``rfc822``."""
    return _value(block, name).rpartition(";")[2].strip()


def _value(block: MailPart, name: str) -> str:
    return one_line(words(block.value(name)))[:MAX_FIELD]

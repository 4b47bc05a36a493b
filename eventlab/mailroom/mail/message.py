"""An email from Gmail, parsed into its sender, date, subject, text and other facts."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.automatic import Automatic, automatic
from eventlab.mailroom.mail.body import LEFT_OUT, Attachment, Body, body_of
from eventlab.mailroom.mail.charset import clean, one_line
from eventlab.mailroom.mail.correspondents import SENDERS, correspondents
from eventlab.mailroom.mail.encoding import without_comments
from eventlab.mailroom.mail.gmail_parts import data_of, number_of, part_of
from eventlab.mailroom.mail.header import words
from eventlab.mailroom.mail.mime import Buffer, MailPart, parse, parse_headers
from eventlab.mailroom.mail.shape import shape_of

__all__ = ["Address", "Attachment", "Automatic", "Message"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_REFERENCES: Final = 100
MAX_SUBJECT: Final = 2000
REFERENCE: Final = re.compile(r"<[^<>]{1,998}>")
#: The errors that parsers raise for odd emails: unknown charsets (LookupError), bad bytes and dates
#: (ValueError, OverflowError), bugs in libraries on odd structures (AttributeError, TypeError,
#: AssertionError), endless nesting (RecursionError). One bad email must not stop the others.
PARSER_ERRORS: Final = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    NotImplementedError,
)


@dataclass(frozen=True)
class Message:
    """A parsed email from Gmail.

    ``text`` is readable text. ``html`` is the original HTML: sanitize it before you display it.
    ``date`` is when Gmail received the email, in UTC; ``size`` is in bytes. ``automatic`` says why
    the email looks automatic. If the email could not be read, ``problem`` says why, and ``text`` is
    Gmail's snippet. ``original_sender`` is the author of an email that a list forwarded in its own
    name: the address in X-Original-From or X-Original-Sender, or the address in Reply-To if the
    sender's name is like "Ann via Support". ``references`` includes ``in_reply_to``. An address may
    be invalid, so check its ``valid`` property. ``repr`` shows no name, address or text, which
    keeps them out of logs.

    >>> Message.from_gmail({"id": "18c2", "snippet": "Hello"})
    Message(gmail_id='18c2', thread_id='18c2', size=0)
    """

    gmail_id: str
    thread_id: str
    sender_name: str = field(repr=False)
    sender_address: str = field(repr=False)
    raw_from: str = field(repr=False)
    subject: str = field(repr=False)
    date: datetime = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    attachments: tuple[Attachment, ...] = field(repr=False)
    message_id: str = field(repr=False)
    references: tuple[str, ...] = field(repr=False)
    automatic: Automatic | None = field(repr=False)
    label_ids: tuple[str, ...] = field(repr=False)
    size: int
    problem: str | None = field(default=None, repr=False)
    reply_to: tuple[Address, ...] = field(default=(), repr=False)
    original_sender: Address | None = field(default=None, repr=False)
    to: tuple[Address, ...] = field(default=(), repr=False)
    cc: tuple[Address, ...] = field(default=(), repr=False)
    delivered_to: tuple[Address, ...] = field(default=(), repr=False)
    in_reply_to: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_gmail(cls, resource: Mapping[str, Any]) -> Self:
        """Read a users.messages.get response in raw, full or metadata format.

        No error is raised: the ``problem`` of the email says what is wrong with it.

        >>> Message.from_gmail({"id": "18c2", "snippet": "Hello"}).text
        'Hello'
        """
        encoded = resource.get("raw")
        raw = data_of(encoded) if isinstance(encoded, str) else None
        known = _known(resource, len(raw or b""))
        body = Body("", "", ())
        problem: str | None = None
        try:
            mail = part_of(resource.get("payload")) if raw is None else parse(raw)
            body = body_of(mail)
            found = _from_headers(mail, body.text)
        except PARSER_ERRORS as error:
            problem = (
                f"the email could not be read ({_reason(error)}): Gmail's snippet is shown "
                "instead of its text"
            )
            found = _headers_of(raw or b"")
        if raw is None and not body.html and body.text in ("", LEFT_OUT):
            problem = (
                "only the headers of the email were fetched, because its size is "
                f"{known['size']:,} bytes: open it in Gmail"
            )
        if problem is not None:
            snippet = html.unescape(str(resource.get("snippet") or ""))
            body = Body(clean(snippet).strip(), "", body.attachments)
        return cls(**known, **found, **vars(body), problem=problem)

    @property
    def sender(self) -> Address:
        """The sender's name and address, each of which may be empty."""
        return Address(self.sender_name, self.sender_address)

    @property
    def sender_domain(self) -> str:
        """The domain of the sender's address in lower case, or "" if there is no address."""
        return self.sender_address.rpartition("@")[2].lower()


def _reason(error: Exception) -> str:
    return str(error) if type(error).__module__.startswith("eventlab") else type(error).__name__


def _headers_of(raw: Buffer) -> dict[str, Any]:
    """Return the facts from the headers of an email whose parts could not be parsed."""
    try:
        return _from_headers(parse_headers(raw))
    except PARSER_ERRORS:
        return _from_headers(MailPart({}))


def _known(resource: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the facts that Gmail reports about an email in addition to its bytes."""
    id = one_line(str(resource.get("id") or ""))
    labels = resource.get("labelIds")
    return {
        "gmail_id": id,
        "thread_id": one_line(str(resource.get("threadId") or id)),
        "date": _moment(resource.get("internalDate")),
        "label_ids": tuple(str(label) for label in labels)
        if isinstance(labels, list | tuple)
        else (),
        "size": size or number_of(resource.get("sizeEstimate")),
    }


def _from_headers(mail: MailPart, text: str = "") -> dict[str, Any]:
    """Return the facts from the headers of an email."""
    hint = _charset(mail)
    headers = mail.headers
    people = correspondents(headers, hint)
    ids = _ids(mail.value("message-id"))
    replied = _ids(mail.value("in-reply-to"))
    listed = [*_ids(mail.value("references")), *replied]
    plain = {
        name: [words(value) for value in values]
        for name, values in headers.items()
        if name not in SENDERS[:3]
    }
    return {
        "sender_name": people.sender.name,
        "sender_address": people.sender.address,
        **{name: value for name, value in vars(people).items() if name != "sender"},
        "raw_from": words(mail.value("from"), hint),
        "subject": words(mail.value("subject"), hint)[:MAX_SUBJECT],
        "message_id": ids[0] if ids else words(mail.value("message-id"))[:998],
        "in_reply_to": tuple(dict.fromkeys(replied))[:MAX_REFERENCES],
        "references": tuple(dict.fromkeys(listed))[-MAX_REFERENCES:],
        "automatic": automatic(
            plain,
            shape=shape_of(mail, text),
            sender=(people.original_sender or people.sender).address,
            reply_to=people.reply_to,
        ),
    }


def _charset(mail: MailPart) -> str:
    """Return the charset of an email's first text, to use for headers that declare none."""
    while mail.parts:
        mail = mail.parts[0]
    return mail.parameter("charset")


def _ids(value: bytes) -> list[str]:
    """Return the message ids in a header, without the white space that RFC 822 allowed in them."""
    return ["".join(one.split()) for one in REFERENCE.findall(words(without_comments(value)))]


def _moment(value: object) -> datetime:
    """Convert milliseconds since 1970 to a datetime, or return the epoch if there is no date."""
    try:
        return EPOCH + timedelta(milliseconds=number_of(value))
    except OverflowError:
        return EPOCH

"""A mail from Gmail as the mailroom knows it: sender, date, subject and text."""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message as Part
from typing import Any, Final, Self

from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.automatic import Automatic, automatic
from eventlab.mailroom.mail.body import MAX_NAME, NO_NAME, Attachment, Body, body_of, parameter
from eventlab.mailroom.mail.charset import clean, one_line
from eventlab.mailroom.mail.correspondents import SENDERS, correspondents
from eventlab.mailroom.mail.header import as_bytes, words
from eventlab.mailroom.mail.mime import parse, parse_headers
from eventlab.mailroom.mail.shape import shape_of

__all__ = ["Address", "Attachment", "Automatic", "Message"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_REFERENCES: Final = 100
MAX_GMAIL_PARTS: Final = 200
MAX_HEADERS_OF_A_NAME: Final = 5
MAX_SUBJECT: Final = 2000
REFERENCE: Final = re.compile(r"<[^<>\s]{1,998}>")
#: What the parsers of mails, headers, dates, charsets and HTML raise on odd mails: unknown charsets
#: (LookupError), bad bytes and dates (ValueError, OverflowError), bugs of the library on odd
#: structures (AttributeError, TypeError, AssertionError), endless nesting (RecursionError). One
#: bad mail must not stop the others.
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

Headers = dict[str, list[bytes]]


@dataclass(frozen=True)
class Message:
    """A mail. ``text`` is readable, ``html`` as received: sanitize it before you display it.

    ``date`` is when Gmail received it, in UTC; ``size`` is in bytes. ``automatic`` says why it
    looks automatic. ``problem`` says why it could not be read; then ``text`` is Gmail's snippet.
    ``original_sender`` is who wrote a mail that a list sent on in its own name: X-Original-From's
    or X-Original-Sender's address, or Reply-To's where the sender is "Ann via Support".
    ``references`` includes ``in_reply_to``. An address may be invalid: ask its ``valid``.
    ``repr`` shows no name, address or text, so no log does.

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
        """Read a response of users.messages.get: format raw or, for a huge mail, full or metadata.

        Never raises: what is wrong with the mail is in its ``problem``.

        >>> Message.from_gmail({"id": "18c2", "snippet": "Hello"}).text
        'Hello'
        """
        raw = _raw(resource)
        if raw is None:
            return cls(**_of_parts(resource))
        try:
            mail = parse(raw)
            headers = _headers(mail.raw_items())
            body = body_of(mail)
            return cls(
                **_known(resource, len(raw)),
                **_from_headers(headers, mail, body.text),
                **_body(body),
            )
        except PARSER_ERRORS as error:
            return cls(**_of_start(resource, raw, error))

    @property
    def sender(self) -> Address:
        """The sender's name and address, each of which may be empty."""
        return Address(self.sender_name, self.sender_address)

    @property
    def has_html(self) -> bool:
        """Whether the mail came with HTML."""
        return bool(self.html)

    @property
    def sender_domain(self) -> str:
        """The domain of the sender's address in lower case, or "" if there is no address."""
        return self.sender_address.rpartition("@")[2].lower()


# ---------------------------------------------------------------------------- the ways to read one


def _of_start(resource: Mapping[str, Any], raw: bytes, error: BaseException) -> dict[str, Any]:
    """Read only the headers of a mail that could not be parsed."""
    why = str(error) if type(error).__module__.startswith("eventlab") else type(error).__name__
    problem = f"the mail could not be read ({why}): its text is Gmail's snippet"
    try:
        mail = parse_headers(raw)
        found = _from_headers(_headers(mail.raw_items()), mail)
    except PARSER_ERRORS:
        found = _from_headers({}, Part())
    return {**_known(resource, len(raw)), **found, **_snippet(resource), "problem": problem}


def _of_parts(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Read the headers and the names of parts of a mail that was too large to fetch."""
    payload = resource.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    part = Part()
    for name, value in _pairs(payload):
        if name.lower() == "content-type":
            part["content-type"] = one_line(value)[:MAX_SUBJECT]
    known = _known(resource, 0)
    problem = (
        f"only the headers of the mail were fetched, because it has {known['size']:,} bytes: "
        "open it in Gmail"
    )
    try:
        found = _from_headers(_headers(_pairs(payload)), part)
    except PARSER_ERRORS:
        found = _from_headers({}, Part())
    return {
        **known,
        **found,
        **_snippet(resource),
        "attachments": tuple(_named(payload)),
        "problem": problem,
    }


def _pairs(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = payload.get("headers")
    listed = found if isinstance(found, list) else []
    return [
        (str(one.get("name")), str(one.get("value"))) for one in listed if isinstance(one, Mapping)
    ]


def _named(payload: Mapping[str, Any]) -> Iterable[Attachment]:
    stack = [payload]
    seen = 0
    while stack and seen < MAX_GMAIL_PARTS:
        part = stack.pop()
        seen += 1
        inner = part.get("parts")
        body = part.get("body")
        stack.extend(
            one
            for one in reversed(inner if isinstance(inner, list) else [])
            if isinstance(one, Mapping)
        )
        name = one_line(str(part.get("filename") or ""))[:MAX_NAME]
        if name or (isinstance(body, Mapping) and body.get("attachmentId") and not inner):
            size = _number(body.get("size") if isinstance(body, Mapping) else 0)
            yield Attachment(
                name or NO_NAME, one_line(str(part.get("mimeType") or ""))[:MAX_NAME], size
            )


# -------------------------------------------------------------------------------------- its pieces


def _raw(resource: Mapping[str, Any]) -> bytes | None:
    encoded = resource.get("raw")
    if not isinstance(encoded, str):
        return None
    data = encoded.encode("ascii", "ignore")
    try:
        return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return b""


def _known(resource: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return what Gmail reports about a mail besides its bytes."""
    id = one_line(str(resource.get("id") or ""))
    labels = resource.get("labelIds")
    return {
        "gmail_id": id,
        "thread_id": one_line(str(resource.get("threadId") or id)),
        "date": _moment(resource.get("internalDate")),
        "label_ids": tuple(str(label) for label in labels)
        if isinstance(labels, list | tuple)
        else (),
        "size": size or _number(resource.get("sizeEstimate")),
    }


def _snippet(resource: Mapping[str, Any]) -> dict[str, Any]:
    return _body(Body(clean(html.unescape(str(resource.get("snippet") or ""))).strip(), "", ()))


def _body(body: Body) -> dict[str, Any]:
    return {"text": body.text, "html": body.html, "attachments": body.attachments}


def _headers(pairs: Iterable[tuple[str, object]]) -> Headers:
    headers: Headers = {}
    for name, value in pairs:
        values = headers.setdefault(name.lower(), [])
        if len(values) < MAX_HEADERS_OF_A_NAME:
            values.append(as_bytes(value))
    return headers


def _from_headers(headers: Headers, mail: Part, text: str = "") -> dict[str, Any]:
    """Return what the headers of a mail say about it."""
    hint = parameter(mail, "charset")
    people = correspondents(headers, hint)
    ids = REFERENCE.findall(_first(headers, "message-id"))
    replied = REFERENCE.findall(_first(headers, "in-reply-to"))
    listed = [*REFERENCE.findall(_first(headers, "references")), *replied]
    plain = {
        name: [words(value) for value in values]
        for name, values in headers.items()
        if name not in SENDERS[:3]
    }
    return {
        "sender_name": people.sender.name,
        "sender_address": people.sender.address,
        "reply_to": people.reply_to,
        "original_sender": people.original_sender,
        "to": people.to,
        "cc": people.cc,
        "delivered_to": people.delivered_to,
        "raw_from": _first(headers, "from", hint),
        "subject": _first(headers, "subject", hint)[:MAX_SUBJECT],
        "message_id": ids[0] if ids else _first(headers, "message-id")[:998],
        "in_reply_to": tuple(dict.fromkeys(replied))[:MAX_REFERENCES],
        "references": tuple(dict.fromkeys(listed))[-MAX_REFERENCES:],
        "automatic": automatic(
            plain,
            shape=shape_of(mail, text),
            sender=(people.original_sender or people.sender).address,
            reply_to=people.reply_to,
        ),
    }


def _first(headers: Headers, name: str, hint: str | None = None) -> str:
    return words(headers.get(name, [b""])[0], hint)


def _number(value: object) -> int:
    return (
        int(value) if isinstance(value, int | str) and re.fullmatch(r"\d{1,18}", str(value)) else 0
    )


def _moment(value: object) -> datetime:
    """Read milliseconds since 1970; the epoch if Gmail reports no date."""
    try:
        return EPOCH + timedelta(milliseconds=_number(value))
    except OverflowError:
        return EPOCH

"""The body of a mail: its text, its HTML, and its attachments by name, type and size."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message as Part
from functools import cached_property
from typing import Final

from eventlab.mailroom.mail.charset import clean, decode, one_line
from eventlab.mailroom.mail.header import as_bytes, base64_of, words
from eventlab.mailroom.mail.html_text import text_of

MAX_DEPTH: Final = 50
MAX_PARTS: Final = 1000
MAX_ATTACHMENTS: Final = 200
MAX_SPARES: Final = 10
MAX_TAGS: Final = 10_000
MAX_NAME: Final = 200
NO_NAME: Final = "(no name)"
LEFT_OUT: Final = "[Some parts of this mail were left out: open it in Gmail.]"
SHOWN: Final = ("text/plain", "text/html", "text/enriched")
#: Another form of the text, which few mail programs show.
IGNORED: Final = ("text/x-amp-html",)
META: Final = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,60})", re.IGNORECASE)


@dataclass(frozen=True)
class Attachment:
    """An attachment of a mail, inline images included. ``size`` is in bytes, decoded."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Body:
    """A mail's text, its HTML as received ("" if none), and its attachments."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]


def body_of(mail: Part) -> Body:
    """Read all parts of a mail.

    Of several forms of a text, the plain one is used unless it is empty; several texts are joined.
    A mail within a mail is an attachment; its text is used if there is no other.

    >>> body_of(parse(b"Subject: hello\r\n\r\nyou")).text
    'you'
    """
    reader = _Reader()
    texts = [leaf.text for leaf in reader.read(mail) if leaf.text] or reader.spare_text()
    if reader.left_out:
        texts.append(LEFT_OUT)
    return Body("\n\n".join(texts), reader.html, tuple(reader.attachments))


def parameter(part: Part, name: str, header: str = "content-type") -> str:
    """Return a parameter of a header as one line of decoded text, or "" if there is none.

    >>> parameter(part, "filename", "content-disposition")
    'invoice.pdf'
    """
    value = part.get_param(name, None, header)
    if isinstance(value, tuple):  # RFC 2231: charset, language, and each byte as one character
        charset, _language, text = value
        data = text.encode("latin-1") if max(text, default="") < "\u0100" else as_bytes(text)
        return one_line(decode(data, charset))
    return words(as_bytes(value)) if isinstance(value, str) else ""


@dataclass(frozen=True)
class _Leaf:
    """A part that a mail program would show as text."""

    part: Part
    reader: _Reader

    @property
    def is_html(self) -> bool:
        return self.part.get_content_type() == "text/html"

    @cached_property
    def decoded(self) -> str:
        content = _content(self.part)
        declared = parameter(self.part, "charset")
        if not declared and self.is_html and (found := META.search(content[:4096])):
            declared = found[1].decode("ascii", "replace")
        return decode(content, declared)

    @cached_property
    def text(self) -> str:
        if not self.is_html:
            text = clean(self.decoded)
        else:
            text = text_of(self.decoded) if self.reader.has_time_for(self.decoded) else ""
        return text.strip("\n").rstrip()


@dataclass
class _Reader:
    """Walks through a mail once and collects what it finds."""

    html: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    spares: list[Part] = field(default_factory=list)
    seen: int = 0
    tags: int = 0
    left_out: bool = False

    def read(self, part: Part, depth: int = 0) -> list[_Leaf]:
        """Return the leaves to show, with only one form of each text."""
        self.seen += 1
        if self.seen > MAX_PARTS or depth > MAX_DEPTH:
            self.left_out = True
            return []
        inner = _inner(part)
        if part.get_content_maintype() == "message":
            self._attach(_mail(part) if inner else _file(part), part)
            return []
        if inner:
            forms = [self.read(one, depth + 1) for one in inner]
            if part.get_content_type() == "multipart/alternative":
                return _plainest(forms)
            return [leaf for form in forms for leaf in form]
        return self._leaf(part)

    def spare_text(self) -> list[str]:
        """Return a text that a mail program would not show at first, because there is no other."""
        for spare in self.spares[:MAX_SPARES]:
            if spare.get_content_maintype() == "message":
                texts = [body_of(inner).text for inner in _inner(spare)[:1]]
            else:
                texts = [_Leaf(spare, self).text]
            if any(texts):
                return texts
        return []

    def has_time_for(self, markup: str) -> bool:
        """Return whether one more HTML part may be read. The first one always is."""
        first = not self.tags
        self.tags += markup.count("<") + 1
        if first or self.tags <= MAX_TAGS:
            return True
        self.left_out = True
        return False

    def _leaf(self, part: Part) -> list[_Leaf]:
        type = part.get_content_type()
        name = _name(part)
        if type in IGNORED:
            return []
        if type in SHOWN and not name and _disposition(part) != "attachment":
            leaf = _Leaf(part, self)
            if leaf.is_html:
                self.html = self.html or leaf.decoded
            return [leaf]
        if part.get_content_maintype() == "multipart":
            # Its boundary occurs nowhere, so its parts are one text.
            self.spares.append(part)
        elif name or _content(part):
            self._attach(_file(part), part)
        return []

    def _attach(self, attachment: Attachment, part: Part) -> None:
        if len(self.attachments) < MAX_ATTACHMENTS:
            self.attachments.append(attachment)
        if attachment.type.startswith("text/") or attachment.type == "message/rfc822":
            self.spares.append(part)


def _plainest(forms: Iterable[list[_Leaf]]) -> list[_Leaf]:
    """Choose the plain form if it has text, else the last with text: senders put the best last."""
    all_forms = list(forms)
    for form in all_forms:
        if not any(leaf.is_html for leaf in form) and any(leaf.text for leaf in form):
            return form
    return next((form for form in reversed(all_forms) if any(leaf.text for leaf in form)), [])


def _inner(part: Part) -> list[Part]:
    return (
        [one for one in part.get_payload() if isinstance(one, Part)] if part.is_multipart() else []
    )


def _disposition(part: Part) -> str:
    return str(part.get("content-disposition", "")).partition(";")[0].strip().lower()


def _name(part: Part) -> str:
    return (parameter(part, "filename", "content-disposition") or parameter(part, "name"))[
        :MAX_NAME
    ]


def _content(part: Part) -> bytes:
    if str(part.get("content-transfer-encoding", "")).strip().lower() == "base64":
        # The raw payload: get_payload() would use the part's charset and decodes only complete
        # base64.
        return base64_of(as_bytes(vars(part)["_payload"] or "", max_length=None))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _file(part: Part) -> Attachment:
    return Attachment(
        _name(part) or NO_NAME, one_line(part.get_content_type()), len(_content(part))
    )


def _mail(part: Part) -> Attachment:
    """Describe a mail within a mail by its subject."""
    inner = _inner(part)
    name = _name(part) or words(as_bytes(inner[0].get("subject", "")))[:MAX_NAME] or NO_NAME
    return Attachment(name, one_line(part.get_content_type()), sum(_size(one) for one in inner))


def _size(part: Part) -> int:
    stack = [part]
    size = 0
    seen = 0
    while stack and seen < MAX_PARTS:
        one = stack.pop()
        seen += 1
        size += sum(len(name) + len(str(value)) + 4 for name, value in one.raw_items())
        size += 0 if one.is_multipart() else len(vars(one)["_payload"] or "")
        stack.extend(_inner(one))
    return size

"""The body of an email: its text, its HTML, and its attachments by name, type and size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from eventlab.mailroom.mail.automatic import REPORTS
from eventlab.mailroom.mail.charset import clean, decode, one_line
from eventlab.mailroom.mail.encoding import is_utf_8
from eventlab.mailroom.mail.flowed import unflowed
from eventlab.mailroom.mail.header import words
from eventlab.mailroom.mail.html_lines import PICTURES_ONLY
from eventlab.mailroom.mail.html_text import text_of
from eventlab.mailroom.mail.meeting import meeting_text
from eventlab.mailroom.mail.mime import (
    MAILS,
    MAX_DEPTH,
    MAX_ENCODED,
    MAX_NAME,
    MAX_PARTS,
    MailPart,
    mail_in,
    parse_headers,
)
from eventlab.mailroom.mail.report import PGP, heading, note_of, report_text, subtype_of

MAX_ATTACHMENTS: Final = 200
MAX_SPARES: Final = 10
#: The maximum number of emails within an email that are shown as text.
MAX_MAILS: Final = 20
MAX_TAGS: Final = 10_000
#: In bytes. A longer text with a name is only listed as an attachment.
MAX_NAMED_TEXT: Final = 64 * 1024
NO_NAME: Final = "(no name)"
LEFT_OUT: Final = "[Some parts of this email were left out: open it in Gmail.]"
SHOWN: Final = ("text/plain", "text/html", "text/enriched")
#: Alternative forms of a text that few mail programs show.
IGNORED: Final = ("text/x-amp-html",)
META: Final = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,60})", re.IGNORECASE)
INLINE_PGP: Final = "-----BEGIN PGP MESSAGE-----"
WORD: Final = re.compile(r"\w+")
LINK: Final = re.compile(r"\w+://\S*")
#: A plain text is a stub if it has at most this many words and most of them are not in the HTML.
MAX_STUB_WORDS: Final = 60


@dataclass(frozen=True)
class Attachment:
    """An attachment of an email, or an inline image. ``size`` is its decoded size in bytes."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Body:
    """An email's text, its HTML as received (or ""), and its attachments."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]


def body_of(mail: MailPart) -> Body:
    """Read all parts of an email and return its text, HTML and attachments.

    If a text has several forms, such as plain text and HTML, the plain form is used, unless it is
    empty or a stub. Several texts are joined. A report starts with lines that say what happened to
    the reported email. A meeting becomes lines with its title, time, place and people. The text of
    an email within an email comes last, under the inner email's From, To, Date and Subject. If only
    another program can show a text, a note says so.

    >>> body_of(parse(b"Subject: hello\r\n\r\nyou")).text
    'you'
    """
    budget = _Budget()
    reader = _Reader(budget)
    text = reader.text(mail)
    if budget.left_out:
        text = f"{text}\n\n{LEFT_OUT}".lstrip()
    return Body(text, reader.html, tuple(reader.attachments))


@dataclass
class _Budget:
    """Limits the work on an email, including all emails within it."""

    seen: int = 0
    tags: int = 0
    mails: int = 0
    left_out: bool = False

    def has_time_for(self, markup: str) -> bool:
        """Return whether one more HTML part may be read; the first part is always read."""
        first = not self.tags
        self.tags += markup.count("<") + 1
        if first or self.tags <= MAX_TAGS:
            return True
        self.left_out = True
        return False


@dataclass(frozen=True)
class _Leaf:
    """A part that a mail program would show as text."""

    part: MailPart
    budget: _Budget

    @property
    def is_html(self) -> bool:
        return self.part.type == "text/html"

    @cached_property
    def decoded(self) -> str:
        content = self.part.text_content
        declared = self.part.parameter("charset")
        if not declared and self.is_html and (found := META.search(content[:4096])):
            declared = found[1].decode("ascii", "replace")
        self.budget.left_out |= self.part.is_long or self.part.is_absent
        # Gmail decodes a text, but keeps the name of its original charset.
        return decode(content, None if self.part.plain and is_utf_8(content) else declared)

    @cached_property
    def text(self) -> str:
        if not self.is_html:
            text = clean(self.decoded)
            if self.part.parameter("format").lower() == "flowed":
                delete_space = self.part.parameter("delsp").lower() == "yes"
                text = unflowed(text, delete_space=delete_space)
        else:
            text = text_of(self.decoded) if self.budget.has_time_for(self.decoded) else ""
        return text.strip("\n").rstrip()


@dataclass(frozen=True)
class _Text:
    """The text of an email within an email; this text is read after all other texts."""

    make: Callable[[], str]
    is_html: bool = False

    @cached_property
    def text(self) -> str:
        return self.make()


Shown = _Leaf | _Text


@dataclass
class _Reader:
    """Walks through an email once and collects its texts and attachments."""

    budget: _Budget
    html: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    mails: list[Shown] = field(default_factory=list)
    spares: list[MailPart] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    smime: str = ""
    has_text: bool = False

    def text(self, mail: MailPart) -> str:
        """Return the text of an email: its reports, its own texts, and the emails within it."""
        leaves = self.read(mail)
        texts = [text for text in (*self.reports, *(leaf.text for leaf in leaves)) if text]
        within = [leaf.text for leaf in self.mails if leaf.text]
        texts = texts or ([] if within else self.spare_text())
        if any(INLINE_PGP in text for text in texts):
            self.types.append(PGP)
        has_text = bool(texts or within) or self.budget.left_out
        note = note_of(self.types, self.smime, has_text=has_text)
        return "\n\n".join(text for text in (note, *texts, *within) if text)

    def read(self, part: MailPart, depth: int = 0, within: str = "") -> list[Shown]:
        """Return the parts to show as text, with each text in only one form."""
        self.budget.seen += 1
        self.budget.left_out |= part.cut
        if self.budget.seen > MAX_PARTS or depth > MAX_DEPTH:
            self.budget.left_out = True
            return []
        if part.parts and part.type not in MAILS:
            forms = [self.read(one, depth + 1, part.type) for one in part.parts]
            if part.type == "multipart/alternative":
                return _best(forms)
            return [leaf for form in forms for leaf in form]
        if part.cut:
            return []
        if part.type in MAILS or part.type == "text/rfc822-headers":
            self._mail(part, within)
        elif subtype_of(part) in REPORTS:
            self._report(report_text(part))
            self._attach(part)
        else:
            return self._leaf(part)
        return []

    def _report(self, text: str) -> None:
        if text not in self.reports:  # an invitation often occurs twice
            self.reports.append(text)

    def spare_text(self) -> list[str]:
        """Return text that a mail program would hide, for an email that has no other text."""
        for spare in self.spares[:MAX_SPARES]:
            if text := _Leaf(spare, self.budget).text:
                return [text]
        return []

    def _leaf(self, part: MailPart) -> list[Shown]:
        name = part.name
        if part.type in IGNORED:
            return []
        if part.type in SHOWN and self._is_shown(part, name):
            leaf = _Leaf(part, self.budget)
            if leaf.is_html:
                self.html = self.html or leaf.decoded
            if name:
                self._attach(part)
            self.has_text = True
            return [leaf]
        if part.main_type == "multipart":
            # The boundary was not found, so the content of this part is shown as one text.
            return [_Leaf(part, self.budget)]
        if name or part.content_size:
            self._attach(part)
            self.types.append("application/ms-tnef" if name == "winmail.dat" else part.type)
            self.smime = self.smime or part.parameter("smime-type").lower()
            few = len(self.attachments) <= MAX_SPARES
            if few and part.type == "text/calendar" and (meeting := meeting_text(part)):
                self._report(meeting)
            elif part.main_type == "text":
                self.spares.append(part)
        return []

    def _is_shown(self, part: MailPart, name: str) -> bool:
        """Return whether a text is shown with the email, not just listed as an attachment.

        A text with a name is shown if it is not too long and either is inline (RFC 2183) or is the
        first plain text of the email and has no disposition.
        """
        if part.disposition == "attachment":
            return False
        first = part.type == "text/plain" and not part.disposition and not self.has_text
        inline = part.disposition == "inline" or first
        return not name or (inline and part.content_size <= MAX_NAMED_TEXT)

    def _mail(self, part: MailPart, within: str) -> None:
        headers_only = part.type == "text/rfc822-headers"
        mail = parse_headers(part.content_start) if headers_only else mail_in(part)
        name = part.name or words(mail.value("subject"))[:MAX_NAME]
        self._attach(part, name)
        self.budget.mails += 1
        self.budget.left_out |= bool(part.encoding) and part.end - part.start > MAX_ENCODED
        if self.budget.mails > MAX_MAILS:
            self.budget.left_out = True
            return
        title = "Returned message" if within == "multipart/report" else "Forwarded message"
        self.mails.append(_Text(lambda: self._text_of(mail, title)))

    def _text_of(self, mail: MailPart, title: str) -> str:
        inner = _Reader(self.budget)
        text = inner.text(mail)
        head = heading(mail, title)
        if head:
            named = [one.name for one in inner.attachments if one.name != NO_NAME]
            head += "".join(f"\nAttachment: {name}" for name in named[:MAX_SPARES])
        return f"{head}\n\n{text}".strip()

    def _attach(self, part: MailPart, name: str = "") -> None:
        if len(self.attachments) < MAX_ATTACHMENTS:
            name = name or part.name or NO_NAME
            self.attachments.append(Attachment(name, one_line(part.type), part.content_size))


def _best(forms: Iterable[list[Shown]]) -> list[Shown]:
    """Return the plain form, or the last form with text if the plain form is empty or a stub.

    Senders put the best form last.
    """
    with_text = [form for form in forms if any(leaf.text for leaf in form)]
    plain = next((form for form in with_text if not any(leaf.is_html for leaf in form)), None)
    last = with_text[-1] if with_text else []
    return plain if plain is not None and not _is_stub(plain, last) else last


def _is_stub(plain: list[Shown], rich: list[Shown]) -> bool:
    """Return whether a plain form has far fewer words than the rich form, or different words."""
    if plain is rich or all(leaf.text.startswith(PICTURES_ONLY) for leaf in rich):
        return False
    few = _words(plain)
    many = _words(rich)
    if len(many) > 3 * len(few) + 20:
        return True
    found = set(few).intersection(many)
    return len(few) <= MAX_STUB_WORDS and bool(many) and 2 * len(found) < len(set(few))


def _words(form: list[Shown]) -> list[str]:
    return [word.lower() for leaf in form for word in WORD.findall(LINK.sub("", leaf.text))]

"""The shape of an email: features of its structure that show what kind of email it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eventlab.mailroom.mail.mime import MailPart

MAX_DEPTH: Final = 4
MAX_PARTS: Final = 20  # of a multipart
#: Gmail's format, https://developers.google.com/workspace/gmail/reactions/format. In RFC 9078, the
#: disposition marks a reaction instead.
GMAIL_REACTION: Final = "text/vnd.google.email-reaction+json"
#: The iTIP methods (RFC 5546) that ask for or give a response; PUBLISH only informs.
METHODS: Final = frozenset(
    {"request", "reply", "cancel", "add", "refresh", "counter", "declinecounter"}
)
#: To other systems, Outlook sends a reaction as this line above the quoted email, sometimes below a
#: picture. There is no better sign by which a program can recognize a reaction.
OUTLOOK_REACTION: Final = re.compile(
    r"\s*(?:[^\n]{1,80}\n\s*)?[^\n]{1,200} reacted to your message:?[ \t]*"  # below a picture
    r"(?:$|\n\s*(?:$|_{8}|-{8}|>|\*?(?:From|Von|De|Da|Van|Fra|Från)\s?:))"
)


@dataclass(frozen=True)
class Shape:
    """The features of an email's structure that show what kind of email it is.

    ``content_type`` and ``report_type`` describe the email itself. ``reported`` lists the types of
    the parts of a report. ``reaction`` is "Gmail", "RFC 9078", "Outlook" or "". ``method`` is the
    iTIP method of a meeting email, such as "request", or "".
    """

    content_type: str = "text/plain"
    report_type: str = ""
    reported: tuple[str, ...] = ()
    reaction: str = ""
    method: str = ""


def shape_of(mail: MailPart, text: str = "") -> Shape:
    """Return the shape of a parsed email with this ``text``, ignoring emails inside it.

    >>> shape_of(parse(b"Content-Type: text/calendar; method=REQUEST\\n\\n")).method
    'request'
    """
    content_type = mail.type
    parts = list(_parts(mail))
    return Shape(
        content_type,
        mail.parameter("report-type").lower(),
        tuple(part.type for within, part in parts if within is mail)
        if content_type == "multipart/report"
        else (),
        next(filter(None, (_reaction(part) for _within, part in parts)), "")
        or ("Outlook" if OUTLOOK_REACTION.match(text[:2000]) else ""),
        next(filter(None, (_method(part, within) for within, part in parts)), ""),
    )


def _parts(mail: MailPart) -> Iterator[tuple[MailPart | None, MailPart]]:
    """Yield each part with the part that contains it, ignoring emails inside the email."""
    level: list[tuple[MailPart | None, MailPart]] = [(None, mail)]
    for _ in range(MAX_DEPTH):
        yield from level
        level = [
            (around, part)
            for _within, around in level
            if around.main_type == "multipart"
            for part in around.parts[:MAX_PARTS]
        ]


def _reaction(part: MailPart) -> str:
    if part.type == GMAIL_REACTION:
        return "Gmail"
    return "RFC 9078" if part.disposition == "reaction" else ""


def _method(part: MailPart, within: MailPart | None) -> str:
    """Return the iTIP method of a part, or ""; an attached calendar file does not count."""
    if part.type != "text/calendar" or part.disposition == "attachment":
        return ""
    own = within is None or within.type == "multipart/alternative"
    method = part.parameter("method").lower()
    return method if own and method in METHODS else ""

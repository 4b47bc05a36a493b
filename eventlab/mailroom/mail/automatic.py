"""Classifies automatic mail by headers and structure. This module never drops an email."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from eventlab.mailroom.mail.address import Address
from eventlab.mailroom.mail.shape import Shape

Kind = Literal[
    "bounce", "receipt", "complaint", "reaction", "calendar", "reply", "notice", "list", "bulk"
]

#: The kind of a report, by its report-type or by the type of one of its parts.
REPORTS: Final[Mapping[str, Kind]] = {
    "delivery-status": "bounce",
    "global-delivery-status": "bounce",  # RFC 6533
    "disposition-notification": "receipt",
    "global-disposition-notification": "receipt",
    "feedback-report": "complaint",
}
#: Headers whose mere presence shows the kind.
REPLIES: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from")
LISTS: Final = ("list-id", "list-post")
BULK: Final = ("list-unsubscribe", "x-campaign-id")
PRECEDENCE: Final[Mapping[str, Kind]] = {
    "auto_reply": "reply",
    "auto-reply": "reply",
    "list": "list",
    "bulk": "bulk",
    "junk": "bulk",
}
#: Exchange marks its out-of-office replies as "auto-generated"; these headers show that an
#: email is such a reply.
EXCHANGE_REPLIES: Final = ("x-ms-exchange-inbox-rules-loop", "x-ms-exchange-parent-message-id")
#: The start of the subject of an out-of-office reply, in Outlook's most used languages.
REPLY_SUBJECTS: Final = re.compile(
    r"\s*(?:Automatic reply|Automatische Antwort|Automatisch antwoord|R[eé]ponse automatique"
    r"|Respuesta autom[aá]tica|Resposta autom[aá]tica|Risposta automatica|Autosvar"
    r"|Automatiskt svar|Automaattinen vastaus|Odpowied[zź] automatyczna"
    r"|Automatick[aá] odpov[eě][dď]"
    r"|Автоматический ответ|自動応答|自动答复|자동 회신|Out of Office)\s*[:：]",
    re.IGNORECASE,
)
#: Headers that Outlook and Exchange add to the emails that they send.
MICROSOFT: Final = re.compile(r"x-ms-|x-microsoft-|thread-(?:index|topic)$")
GOOGLE_GROUPS: Final = "groups.google.com"
GROUP_HEADERS: Final = ("x-google-group-id", "x-original-from", "x-original-sender")
#: Local parts of addresses that send only reports and notices.
REPORT_SENDERS: Final = frozenset({"mailer-daemon", "postmaster", "mail-daemon"})
NO_REPLY_SENDERS: Final = frozenset({"noreply", "no-reply", "donotreply", "do-not-reply"})

Headers = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Automatic:
    """The kind of an automatic email, and the reason for this classification.

    ``kind`` is bounce, receipt, complaint, reaction, calendar (a meeting), reply (out of office),
    notice, list or bulk. ``reason`` contains no address or text from the email.
    """

    kind: Kind
    reason: str


def automatic(
    headers: Headers, *, shape: Shape, sender: str, reply_to: Sequence[Address] = ()
) -> Automatic | None:
    """Return the kind of an automatic email, or None if a person may have written it.

    The names of ``headers`` are in lower case; ``sender`` is the author's address. Some headers
    are not proof by themselves. X-Auto-Response-Suppress and Feedback-ID also occur in emails that
    people send through Exchange or Amazon. A Google Group's list headers also occur in emails that
    people send to a team. A web form sends from a no-reply address, but replies go to a person.

    >>> headers = {"auto-submitted": ["auto-replied"]}
    >>> automatic(headers, shape=Shape(), sender="")
    Automatic(kind='reply', reason='Auto-Submitted: auto-replied')
    """
    return next(_signs(headers, shape, sender.lower(), reply_to), None)


def _signs(
    headers: Headers, shape: Shape, sender: str, reply_to: Sequence[Address]
) -> Iterator[Automatic]:
    """Yield the signs that an email is automatic, most certain first."""
    local, _at, domain = sender.rpartition("@")
    in_list = not _is_google_group(headers)
    suppress = _token(headers.get("x-auto-response-suppress", ["none"])[0]) not in ("none", "")
    precedence = _token(headers.get("precedence", [""])[0])
    kind = PRECEDENCE.get(precedence)
    yield from _report(shape, local, headers)
    yield from _reaction(shape, headers)
    if shape.method:
        yield Automatic("calendar", f"text/calendar: {shape.method}")
    yield from _submitted(headers)
    yield from _by_name(headers, REPLIES, "reply")
    if kind == "reply":
        yield Automatic(kind, f"Precedence: {precedence}")
    if suppress and _is_reply_subject(headers):
        yield Automatic("reply", "X-Auto-Response-Suppress, and the subject of a reply")
    if local in REPORT_SENDERS:
        yield Automatic("bounce", f"From: {local}")
    if in_list:
        yield from _by_name(headers, LISTS, "list")
    if kind == "bulk" or (kind and in_list):
        yield Automatic(kind, f"Precedence: {precedence}")
    if in_list:
        yield from _by_name(headers, BULK, "bulk")
    if suppress and "feedback-id" in headers:
        yield Automatic("bulk", "Feedback-Id and X-Auto-Response-Suppress")
    # These signs only show that no reply is expected, so they are the least certain.
    if any(value.strip() == "<>" for value in headers.get("return-path", ())):
        yield Automatic("notice", "Return-Path: <>")
    if local in NO_REPLY_SENDERS and not _answers_go_elsewhere(domain, reply_to):
        yield Automatic("notice", f"From: {local}")


def _report(shape: Shape, local: str, headers: Headers) -> Iterator[Automatic]:
    media, _slash, subtype = shape.content_type.partition("/")
    if media == "message" and subtype in REPORTS:  # no multipart around it
        yield Automatic(REPORTS[subtype], shape.content_type)
    if shape.content_type == "multipart/report":
        for type in (shape.report_type, *(part.partition("/")[2] for part in shape.reported)):
            if type in REPORTS:
                yield Automatic(REPORTS[type], f"multipart/report: {type}")
        known: Kind = "bounce" if local in REPORT_SENDERS else "notice"
        yield Automatic(known, f"multipart/report: {_token(shape.report_type)}")
    if "x-failed-recipients" in headers:
        yield Automatic("bounce", "X-Failed-Recipients")


def _reaction(shape: Shape, headers: Headers) -> Iterator[Automatic]:
    # A reaction from Outlook is only text, so two more signs are required.
    outlook = any(MICROSOFT.match(name) for name in headers) and "in-reply-to" in headers
    if shape.reaction and (shape.reaction != "Outlook" or outlook):
        yield Automatic("reaction", f"reaction, as sent by {shape.reaction}")


def _submitted(headers: Headers) -> Iterator[Automatic]:
    value = _token(headers.get("auto-submitted", ["no"])[0])
    exchange = any(name in headers for name in EXCHANGE_REPLIES) or _is_reply_subject(headers)
    if value == "auto-generated" and exchange:
        yield Automatic("reply", f"Auto-Submitted: {value}, as in replies from Exchange")
    elif value != "no":
        kind: Kind = "reply" if value == "auto-replied" else "notice"
        yield Automatic(kind, f"Auto-Submitted: {value or 'unknown'}")


def _by_name(headers: Headers, names: Sequence[str], kind: Kind) -> Iterator[Automatic]:
    for name in names:
        if name in headers and _token(headers[name][0]) != "no":
            yield Automatic(kind, name.title())


def _answers_go_elsewhere(domain: str, reply_to: Sequence[Address]) -> bool:
    """Return whether Reply-To is a person's address at another domain, as in a web form's email."""
    if len(reply_to) != 1 or not reply_to[0].valid:
        return False
    local, _at, other = reply_to[0].address.lower().rpartition("@")
    return other != domain and local not in NO_REPLY_SENDERS | REPORT_SENDERS


def _is_google_group(headers: Headers) -> bool:
    listed = (*headers.get("list-post", ()), *headers.get("list-archive", ()))
    return any(name in headers for name in GROUP_HEADERS) or any(
        GOOGLE_GROUPS in value for value in listed
    )


def _is_reply_subject(headers: Headers) -> bool:
    return any(REPLY_SUBJECTS.match(subject) for subject in headers.get("subject", ()))


def _token(value: str) -> str:
    """Return the first word of a header, or ""; the rest may be anything, even an address."""
    found = re.match(r"\s*([a-zA-Z][a-zA-Z_-]{0,30})(?![\w@.+-])", value)
    return found[1].lower() if found else ""

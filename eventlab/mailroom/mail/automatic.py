"""Automatic mail: which kind it is, and which header shows it. It is classified, never dropped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["bounce", "receipt", "complaint", "reply", "notice", "list", "bulk"]

REPORTS: Final[Mapping[str, Kind]] = {
    "delivery-status": "bounce",
    "disposition-notification": "receipt",
    "feedback-report": "complaint",
}
#: Headers whose mere presence is a sign.
REPLIES: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from")
LISTS: Final = ("list-id", "list-post")
BULK: Final = ("list-unsubscribe", "feedback-id", "x-campaign-id")
PRECEDENCE: Final[Mapping[str, Kind]] = {
    "auto_reply": "reply",
    "auto-reply": "reply",
    "list": "list",
    "bulk": "bulk",
    "junk": "bulk",
}
#: Local parts of addresses that send only reports and notices.
REPORT_SENDERS: Final = frozenset({"mailer-daemon", "postmaster", "mail-daemon"})
NO_REPLY_SENDERS: Final = frozenset({"noreply", "no-reply", "donotreply", "do-not-reply"})


@dataclass(frozen=True)
class Automatic:
    """The kind of an automatic mail, and the header that shows it; no address and no text.

    ``kind`` is bounce, receipt, complaint, reply (out of office), notice, list or bulk.
    """

    kind: Kind
    reason: str


def automatic(
    headers: Mapping[str, Sequence[str]], *, content_type: str, report_type: str, sender: str
) -> Automatic | None:
    """Return the kind of an automatic mail, or None if a person may have written it.

    The names of ``headers`` are in lower case.

    >>> headers = {"auto-submitted": ["auto-replied"]}
    >>> automatic(headers, content_type="text/plain", report_type="", sender="")
    Automatic(kind='reply', reason='Auto-Submitted: auto-replied')
    """
    local = sender.rpartition("@")[0].lower()
    return (
        _report(content_type, report_type, headers)
        or _submitted(headers)
        or _by_name(headers, REPLIES, "reply")
        or _precedence(headers, {"reply"})
        or _report_sender(local)
        or _by_name(headers, LISTS, "list")
        or _precedence(headers, {"list", "bulk"})
        or _by_name(headers, BULK, "bulk")
        or _expects_no_reply(headers, local)
    )


def _report(
    content_type: str, report_type: str, headers: Mapping[str, Sequence[str]]
) -> Automatic | None:
    if content_type == "multipart/report":
        return Automatic(
            REPORTS.get(report_type, "notice"), f"multipart/report: {_token(report_type)}"
        )
    if "x-failed-recipients" in headers:
        return Automatic("bounce", "X-Failed-Recipients")
    return None


def _submitted(headers: Mapping[str, Sequence[str]]) -> Automatic | None:
    value = _token(headers.get("auto-submitted", ["no"])[0])
    if value == "no":
        return None
    return Automatic(
        "reply" if value == "auto-replied" else "notice", f"Auto-Submitted: {value or 'unknown'}"
    )


def _by_name(
    headers: Mapping[str, Sequence[str]], names: Sequence[str], kind: Kind
) -> Automatic | None:
    found = next(
        (name for name in names if name in headers and _token(headers[name][0]) != "no"), None
    )
    return Automatic(kind, found.title()) if found else None


def _precedence(headers: Mapping[str, Sequence[str]], kinds: set[str]) -> Automatic | None:
    value = _token(headers.get("precedence", [""])[0])
    kind = PRECEDENCE.get(value)
    return Automatic(kind, f"Precedence: {value}") if kind in kinds and kind else None


def _report_sender(local: str) -> Automatic | None:
    return Automatic("bounce", f"From: {local}") if local in REPORT_SENDERS else None


def _expects_no_reply(headers: Mapping[str, Sequence[str]], local: str) -> Automatic | None:
    """Find mail that expects no reply: the least certain signs, so they come last."""
    suppress = _token(headers.get("x-auto-response-suppress", ["none"])[0])
    if suppress not in ("none", ""):
        return Automatic("notice", f"X-Auto-Response-Suppress: {suppress}")
    if any(value.strip() == "<>" for value in headers.get("return-path", ())):
        return Automatic("notice", "Return-Path: <>")
    return Automatic("notice", f"From: {local}") if local in NO_REPLY_SENDERS else None


def _token(value: str) -> str:
    """Return the first word of a value, or "": the rest may be anything, even an address."""
    found = re.match(r"\s*([a-zA-Z][a-zA-Z_-]{0,30})(?![\w@.+-])", value)
    return found[1].lower() if found else ""

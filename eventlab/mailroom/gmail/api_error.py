"""A refusal: what it means that Gmail answered with an error, told apart by its status and its reason."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from eventlab.mailroom.errors import GmailFailed, TokenDead

RATE: Final = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RESOURCE_EXHAUSTED",
    "RATE_LIMIT_EXCEEDED",
}
NOT_ENABLED: Final = {"accessNotConfigured", "SERVICE_DISABLED"}
NOT_GRANTED: Final = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
DAILY: Final = {"dailyLimitExceeded", "quotaExceeded"}
LONGEST_WAIT: Final = 120.0
LATER: Final = "try again later"


@dataclass(frozen=True)
class GmailApiError:
    """An error that Gmail answered with, for one message or for all.

    ``status`` is 0 if there was no answer. ``transient``: the same request may do better later, after ``wait`` seconds
    if Gmail named them. ``gone``: there is no such thing. ``dead``: only a new consent helps. ``sentence`` never quotes
    Gmail's own, which may name an address.
    """

    status: int
    sentence: str
    transient: bool = False
    gone: bool = False
    dead: bool = False
    wait: float | None = None

    def error(self) -> GmailFailed:
        """Give it as an error to raise.

        >>> classify_error(429, b"").error()
        GmailFailed('Gmail wants fewer requests in a time (429), even after a long wait: try again later')
        """
        kind = TokenDead if self.dead else GmailFailed
        return kind(self.sentence, self.status or None)


def classify_error(status: int, body: bytes, retry_after: str | None = None) -> GmailApiError:
    """Tell what an answer with an error means; the body is Google's JSON, or whatever a host in between made of it.

    >>> classify_error(404, b"").gone, classify_error(503, b"<html>", "7").wait
    (True, 7.0)
    """
    reasons = _reasons(body)
    wait = _seconds(retry_after)
    if status == 429 or (status == 403 and reasons & RATE):
        text = f"Gmail wants fewer requests in a time ({status}), even after a long wait: {LATER}"
        return GmailApiError(status, text, transient=True, wait=wait)
    if status >= 500 or status == 408:
        return GmailApiError(
            status,
            f"Gmail has a fault of its own at the moment ({status}): {LATER}",
            True,
            wait=wait,
        )
    if status == 404:
        return GmailApiError(status, "Gmail has no such thing (404)", gone=True)
    if status == 401:
        text = "Gmail does not accept the token, not even a new one (401): remove the token file and give consent again"
        return GmailApiError(status, text, dead=True)
    return GmailApiError(status, _sentence(status, reasons))


def _sentence(status: int, reasons: set[str]) -> str:
    if reasons & NOT_ENABLED:
        return f"the Gmail API is not enabled ({status}) in the client's project: enable it in the Google Cloud console"
    if reasons & NOT_GRANTED:
        return (
            f"the consent given does not cover this ({status}): remove the token file and give consent again, "
            "with modify=True if labels are to be set"
        )
    if reasons & DAILY:
        return f"the project's quota of Gmail requests is used up ({status}): {LATER}, or have it raised"
    known = ", ".join(
        sorted(reason for reason in reasons if re.fullmatch(r"[A-Za-z_]{1,40}", reason))
    )
    return f"Gmail refused a request ({status}{', ' + known if known else ''}): it will not do better if repeated"


def _reasons(body: bytes) -> set[str]:
    """Collect the words by which Google tells its errors apart; they stand in four places, not always in all."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        return set()
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return set()
    entries = [error.get("errors"), error.get("details")]
    found = [error.get("status")]
    found += [
        one.get("reason")
        for many in entries
        if isinstance(many, list)
        for one in many
        if isinstance(one, dict)
    ]
    return {word for word in found if isinstance(word, str)}


def _seconds(retry_after: str | None) -> float | None:
    """Read Retry-After in seconds; its other form, a date, is not read."""
    if retry_after is None or not re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return None
    return min(float(retry_after), LONGEST_WAIT)

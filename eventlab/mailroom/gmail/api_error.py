"""Classifies Gmail's errors by status and reason: transient, gone or final."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from eventlab.mailroom.errors import ConsentRequired, GmailFailed
from eventlab.mailroom.retry_after import retry_after_seconds

RATE_REASONS: Final = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RESOURCE_EXHAUSTED",
    "RATE_LIMIT_EXCEEDED",
}
NOT_ENABLED_REASONS: Final = {"accessNotConfigured", "SERVICE_DISABLED"}
SCOPE_REASONS: Final = {"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}
DAILY_QUOTA_REASONS: Final = {"dailyLimitExceeded", "quotaExceeded"}
MAX_RETRY_AFTER_SECONDS: Final = 120.0


@dataclass(frozen=True)
class GmailApiError:
    """An error from Gmail, for one message or for a whole request. It is returned, never raised.

    ``status`` is 0 if there was no response. ``transient`` means that the same request may succeed
    later, after ``retry_after`` seconds if Gmail specified a wait. ``gone`` means that the resource
    does not exist. ``too_large`` means that the response was too large to read. ``needs_consent``
    means that the user must give consent again. ``message`` never quotes Gmail's own message, which
    may contain an address.
    """

    status: int
    message: str
    transient: bool = False
    gone: bool = False
    too_large: bool = False
    needs_consent: bool = False
    retry_after: float | None = None

    def to_exception(self) -> GmailFailed:
        """Return the exception to raise for this error.

        >>> classify_error(429, b"").to_exception()
        GmailFailed('Gmail rate limit exceeded (429), even after long waits: try again later')
        """
        kind = ConsentRequired if self.needs_consent else GmailFailed
        return kind(self.message, self.status or None)


def classify_error(status: int, body: bytes, retry_after: str | None = None) -> GmailApiError:
    """Classify an error response, whose body is JSON from Google or text from a proxy.

    ``retry_after`` is the value of the Retry-After header.

    >>> classify_error(404, b"").gone, classify_error(503, b"<html>", "7").retry_after
    (True, 7.0)
    """
    reasons = _reasons(body)
    seconds = retry_after_seconds(retry_after, longest=MAX_RETRY_AFTER_SECONDS)
    if status == 429 or (status == 403 and reasons & RATE_REASONS):
        text = f"Gmail rate limit exceeded ({status}), even after long waits: try again later"
        return GmailApiError(status, text, transient=True, retry_after=seconds)
    if status >= 500 or status == 408:
        text = f"Gmail is temporarily unavailable ({status}): try again later"
        return GmailApiError(status, text, transient=True, retry_after=seconds)
    if status == 404:
        return GmailApiError(status, "Gmail has no such resource (404)", gone=True)
    if status == 401:
        text = (
            "Gmail rejected the token and also a refreshed one (401): remove the token file and "
            "give consent again"
        )
        return GmailApiError(status, text, needs_consent=True)
    return GmailApiError(status, _final_message(status, reasons))


def _final_message(status: int, reasons: set[str]) -> str:
    if reasons & NOT_ENABLED_REASONS:
        return (
            f"The Gmail API is not enabled for the client's project ({status}): "
            "enable it in the Google Cloud console"
        )
    if reasons & SCOPE_REASONS:
        return (
            f"The consent does not cover this request ({status}): remove the token file and "
            "give consent again, with modify=True to set labels"
        )
    if reasons & DAILY_QUOTA_REASONS:
        return (
            f"The project's quota of Gmail requests is used up ({status}): "
            "try again later, or ask Google to raise it"
        )
    known = sorted(reason for reason in reasons if re.fullmatch(r"[A-Za-z_]{1,40}", reason))
    what = ", ".join([str(status), *known])
    return f"Gmail rejected a request ({what}): repeating it will not help"


def _reasons(body: bytes) -> set[str]:
    """Return the words that identify an error from Google: the status and all reasons."""
    try:
        response: Any = json.loads(body)
    except ValueError:
        return set()
    error = response.get("error") if isinstance(response, dict) else None
    if not isinstance(error, dict):
        return set()
    lists = [error.get("errors"), error.get("details")]
    found = [error.get("status")]
    found += [
        entry.get("reason")
        for entries in lists
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict)
    ]
    return {word for word in found if isinstance(word, str)}

"""The mailroom's environment variables, taken from ``eventlab.settings``, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eventlab.settings import (
    AUTOMATIC_TYPE,
    BLOCKLIST,
    CXONE_AUTH,
    CXONE_CLIENT,
    CXONE_CLIENT_SECRET,
    CXONE_KEY,
    CXONE_POC,
    CXONE_SECRET,
    CXONE_URL,
    CXONE_VERSION,
    CXONE_WHERE,
    GMAIL_CLIENT,
    GMAIL_ENDPOINT,
    GMAIL_TOKEN,
    MAILROOM,
    SENDER_CAP,
    SKIPPED_KINDS,
    Variable,
)

__all__ = [
    "AUTOMATIC_TYPE",
    "BLOCKLIST",
    "CXONE_AUTH",
    "CXONE_CLIENT",
    "CXONE_CLIENT_SECRET",
    "CXONE_KEY",
    "CXONE_POC",
    "CXONE_SECRET",
    "CXONE_URL",
    "CXONE_VERSION",
    "CXONE_WHERE",
    "GMAIL_CLIENT",
    "GMAIL_ENDPOINT",
    "GMAIL_TOKEN",
    "SENDER_CAP",
    "SKIPPED_KINDS",
    "VARIABLES",
    "Variable",
    "given",
]

VARIABLES: Final = MAILROOM


def given(env: Mapping[str, str]) -> dict[str, str]:
    """Return each variable's value in ``env``, stripped, or its default if the value is empty.

    >>> given({"EVENTLAB_CXONE_WHERE": " query "})["EVENTLAB_CXONE_WHERE"]
    'query'
    """
    return {
        name: env.get(name, "").strip() or variable.default for name, variable in VARIABLES.items()
    }

"""The names of the mailroom's category and collection; the sandbox has its own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from eventlab.mailroom.urls import is_loopback
from eventlab.mailroom.variables import CXONE_URL, GMAIL_ENDPOINT

#: The category and the collection for real mail, and those for the sandbox.
REAL_NAMES: Final = ("mailStream", "mailCollection")
SANDBOX_NAMES: Final = ("sandboxMailStream", "sandboxMailCollection")


def default_names(env: Mapping[str, str], *, sandbox: bool = False) -> tuple[str, str]:
    """Return the names of the default category and collection, given the environment variables.

    >>> default_names({"EVENTLAB_GMAIL_ENDPOINT": "http://127.0.0.1:8025"})
    ('sandboxMailStream', 'sandboxMailCollection')
    """
    fake = any(is_loopback(env.get(name, "").strip()) for name in (GMAIL_ENDPOINT, CXONE_URL))
    return SANDBOX_NAMES if sandbox or fake else REAL_NAMES

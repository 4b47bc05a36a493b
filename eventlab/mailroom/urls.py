"""Loopback: the only hosts that may be spoken to without https."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from eventlab.mailroom.errors import BadSetting


def is_loopback(url: str) -> bool:
    """Say whether a URL's host is this very machine, by its name or its address.

    >>> is_loopback("http://127.0.0.1:8025/token"), is_loopback("http://localhost.example.com/")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name is no address, and half a bracket is no URL
        return False


def checked_url(url: str, *, setting: str) -> str:
    """Give a URL that secrets may travel to, without the slash at its end.

    Raises ``BadSetting``, in the name of the setting, for anything but https; http is for loopback hosts only.

    >>> checked_url("https://gmail.googleapis.com/", setting="EVENTLAB_GMAIL_ENDPOINT")
    'https://gmail.googleapis.com'
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise BadSetting(setting, "it is no URL") from None
    if not host or parts.scheme not in ("https", "http"):
        raise BadSetting(setting, "it must be a URL that begins with https://")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadSetting(setting, "it must be a plain URL, without user, query or fragment")
    if parts.scheme == "http" and not is_loopback(url):
        raise BadSetting(
            setting,
            f"http is accepted for this machine (127.0.0.1) only: {host} must be spoken to by https",
        )
    return url.rstrip("/")

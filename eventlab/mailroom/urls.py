"""Checks that a URL is safe for secrets: it uses https, or http if the host is this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from eventlab.mailroom.errors import BadSetting


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is ``localhost`` or a loopback address.

    >>> is_loopback("http://127.0.0.1:8025/token"), is_loopback("http://localhost.example.com/")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # the host is a name, or the URL is malformed
        return False


def checked_url(url: str, *, setting: str) -> str:
    """Check that secrets may be sent to a URL, and return the URL without trailing slashes.

    The URL must use https, or http if the host is this machine. Raises ``BadSetting``, which names
    the setting.

    >>> checked_url("https://gmail.googleapis.com/", setting="EVENTLAB_GMAIL_ENDPOINT")
    'https://gmail.googleapis.com'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _port = parts.port  # raises ValueError if the port is not a number
    except ValueError:
        raise BadSetting(setting, "it is not a URL") from None
    if not host or parts.scheme not in ("https", "http"):
        raise BadSetting(setting, "it must be a URL that begins with https://")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadSetting(setting, "it must be a plain URL without a user name, query or fragment")
    if parts.scheme == "http" and not is_loopback(url):
        raise BadSetting(
            setting, f"http is allowed only for this machine (127.0.0.1): use https for {host}"
        )
    return url.rstrip("/")

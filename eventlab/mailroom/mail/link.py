"""Makes the target of a link harmless and short, for an agent to read."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from eventlab.mailroom.mail.charset import clean, one_line

#: A longer URL is for tracking or contains a token, so its end is useless to an agent.
MAX_URL: Final = 200
MAX_READ: Final = 4000
#: Only URLs with these schemes are shown: never ``javascript:``, ``data:``, ``file:``, or a
#: relative URL.
SCHEME: Final = re.compile(r"(https?|mailto|tel):(?=[^\s])", re.IGNORECASE)
UNSAFE: Final = re.compile(r"[\s<>\"\x00-\x20\u200b-\u200f\u202a-\u202e\u2060-\u206f\xad\ufeff]")
#: Parameters that only identify the email and the reader that a click came from.
TRACKING: Final = re.compile(
    r"(?:utm_\w+|mc_[ce]id|_hs(?:enc|mi)|mkt_tok|[a-z]{1,4}clid|msclkid|vero_id|oly_\w+_id"
    r"|trk\w*|ck_subscriber_id|_kx|elqtrack\w*)=[^&]*+",
    re.IGNORECASE,
)
#: Services that replace each link with a link to themselves, and the parameter that contains the
#: original target.
WRAPPERS: Final = (
    (re.compile(r"(?:[\w-]+\.)?safelinks\.protection\.outlook\.com"), "url"),
    (re.compile(r"www\.google\.com"), "q"),
)


def target_of(href: str) -> str:
    """Return the target of a link, to show to an agent, or "" if the link has no safe target.

    Tracking parameters are left out, because the link works without them. The end of a long URL is
    replaced by "… (cut)".

    >>> target_of("https://shop.example.com/order/7?utm_source=mail&utm_medium=x&id=7")
    'https://shop.example.com/order/7?id=7'
    >>> target_of("javascript:alert(1)"), target_of("mailto:ann@example.com?subject=Hi")
    ('', 'ann@example.com')
    """
    # Like a browser, ignore tabs and line ends within a URL.
    url = re.sub(r"^[\x00-\x20]+|[\t\r\n]", "", href[:MAX_READ])
    found = SCHEME.match(url)
    if not found:
        return ""
    if found[1].lower() != "http" and found[1].lower() != "https":
        address = one_line(unquote(url[found.end() :].partition("?")[0]))
        return address if len(address) <= MAX_URL else ""
    safe = UNSAFE.sub(lambda bad: quote(bad[0]), clean(url).strip())
    try:
        parts = urlsplit(safe)
        wrapped = _unwrapped(parts.hostname or "", parts.path, parts.query)
    except ValueError:  # such as a "[" that does not begin an IPv6 address
        return _short(safe)
    if wrapped:
        return f"{wrapped}, through {parts.hostname}"
    return _short(_without_tracking(safe))


def same_target(label: str, target: str) -> bool:
    """Return whether a link's label is its target, ignoring parts such as ``https://www.``.

    >>> same_target("example.com", "https://www.example.com/"), same_target("here", "https://a.b")
    (True, False)
    """
    return _bare(label) == _bare(target)


def _bare(url: str) -> str:
    plain = re.sub(r"\s+", "", url).lower()
    plain = re.sub(r"^(?:https?://|mailto:|tel:)?(?:www\.)?", "", plain).rstrip("/")
    digits = re.sub(r"[-+()./]", "", plain)
    return digits if digits.isdecimal() else plain


def _unwrapped(host: str, path: str, query: str) -> str:
    for wrapper, name in WRAPPERS:
        if wrapper.fullmatch(host) and (name == "url" or path == "/url"):
            inner = parse_qs(query, max_num_fields=50).get(name, [""])[0]
            if re.match(r"https?://", inner, re.IGNORECASE):
                safe = UNSAFE.sub(lambda bad: quote(bad[0]), clean(inner))
                return _short(_without_tracking(safe))
    return ""


def _without_tracking(url: str) -> str:
    start, question, rest = url.partition("?")
    query, hash, fragment = rest.partition("#")
    kept = [one for one in query.split("&") if not TRACKING.fullmatch(one)]
    if not question or len(kept) == query.count("&") + 1:
        return url
    return f"{start}{'?' if kept else ''}{'&'.join(kept)}{hash}{fragment}"


def _short(url: str) -> str:
    return url if len(url) <= MAX_URL else f"{url[: MAX_URL // 2]}… (cut)"

"""The screen pop: the page that opens for an agent and shows an untrusted email."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Final

import nh3

from eventlab.sandbox.cxone.routing import ReceivedWorkItem

STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;"
    "margin:2rem auto;max-width:52rem;padding:0 1rem;color:#222}"
    "h1{font-size:1.2rem}h2{font-size:1rem;margin-top:2rem}"
    "table{border-collapse:collapse}"
    "th{text-align:left;padding-right:1.5rem;color:#667;font-weight:400}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "border:1px solid #ccd;border-radius:6px;padding:1rem}"
    "iframe{width:100%;height:24rem;border:1px solid #ccd;border-radius:6px;background:#fff}"
)
#: The page cannot load resources, run scripts or submit forms, and only our style sheet applies. A
#: srcdoc frame inherits this policy.
POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    # Unlike a meta tag, a header can sandbox the page and limit framing to pages of this machine.
    "Content-Security-Policy": (
        f"{POLICY}; sandbox; frame-ancestors http://127.0.0.1:* http://localhost:*"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: The limit exists because cleaning deeply nested tags takes quadratic time.
MAX_HTML_CHARS: Final = 64 * 1024
TAGS: Final = {
    *("p", "br", "hr", "div", "span", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("ul", "ol", "li", "dl", "dt", "dd", "b", "strong", "i", "em", "u", "s", "small"),
    *("sub", "sup", "code", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
#: These tags are removed together with their contents. Of other tags, only the text is kept.
DROPPED: Final = {
    *("script", "style", "title", "template", "noscript", "svg", "math"),
    *("iframe", "object", "embed", "textarea", "select"),
}


def harmless(markup: str) -> str:
    """Reduce an email's HTML to text and structure, without attributes, links or images.

    >>> harmless('<p onclick="x()">Hi <img src="a.png"><a href="javascript:x()">you</a></p>')
    '<p>Hi you</p>'
    """
    # A lone surrogate is not a character, so nh3 would reject the whole email because of it.
    text = markup[:MAX_HTML_CHARS].encode("utf-8", "replace").decode()
    return nh3.clean(text, tags=TAGS, clean_content_tags=DROPPED, attributes={}, link_rel=None)


def screen_pop(item: ReceivedWorkItem, markup: str | None = None) -> str:
    """Return the page for a work item: its record, and the email's HTML in a sandboxed frame.

    All values are escaped, and the HTML is cleaned, so the page is safe by itself. Serve it with
    ``HEADERS`` so that even a bug in this code does no harm.
    """
    facts = {
        "From": item.sender,
        "Type": item.type,
        "Point of contact": item.point_of_contact,
        "Work item": item.work_item_id,
        "Contact": item.contact_id,
    }
    rows = "".join(
        f"<tr><th>{name}</th><td>{_escaped(value)}</td></tr>" for name, value in facts.items()
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
        f"<title>Work item {_escaped(item.work_item_id)}</title><style>{STYLE}</style></head>"
        f"<body><h1>New mail</h1><table>{rows}</table>"
        f"<h2>Text</h2><pre>{_escaped(item.payload)}</pre>{_frame(markup)}</body></html>"
    )


def _frame(markup: str | None) -> str:
    if markup is None:
        return ""
    return (
        "<h2>HTML, without images or links</h2>"
        '<iframe sandbox referrerpolicy="no-referrer" title="The email" '
        f'srcdoc="{html.escape(harmless(markup))}"></iframe>'
    )


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())

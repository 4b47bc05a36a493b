"""The screen pop: the page that opens at the agent, with a stranger's mail on it."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from typing import Final

import nh3

from eventlab.sandbox.cxone.routing import ReceivedWorkItem

STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:52rem;padding:0 1rem;color:#222}"
    "h1{font-size:1.2rem}h2{font-size:1rem;margin-top:2rem}"
    "table{border-collapse:collapse}th{text-align:left;padding-right:1.5rem;color:#667;font-weight:400}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #ccd;border-radius:6px;padding:1rem}"
    "iframe{width:100%;height:24rem;border:1px solid #ccd;border-radius:6px;background:#fff}"
)
#: Nothing is loaded, nothing runs, nothing is sent; the one style is ours. A frame of srcdoc inherits all of it.
POLICY: Final = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    # Only in a header: the page itself is sandboxed too, and only a page of this machine may frame it.
    "Content-Security-Policy": f"{POLICY}; sandbox; frame-ancestors http://127.0.0.1:* http://localhost:*",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LONGEST_HTML: Final = 64 * 1024  # characters; nests of tags take a time that grows with its square
TAGS: Final = {
    *("p", "br", "hr", "div", "span", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"),
    *(
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "b",
        "strong",
        "i",
        "em",
        "u",
        "s",
        "small",
        "sub",
        "sup",
        "code",
    ),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
}
#: Gone with all that is in them; of any other tag the words are kept.
DROPPED: Final = {
    *("script", "style", "title", "template", "noscript", "svg", "math"),
    *("iframe", "object", "embed", "textarea", "select"),
}


def harmless(markup: str) -> str:
    """Give the HTML of a mail with nothing left but words and their shape: no attribute, so no link and no picture.

    >>> harmless('<p onclick="x()">Hi <img src="http://example.com/a.png"><a href="javascript:x()">you</a></p>')
    '<p>Hi you</p>'
    """
    # A lone surrogate is no character: nh3 would refuse all of the mail for it.
    text = markup[:LONGEST_HTML].encode("utf-8", "replace").decode()
    return nh3.clean(text, tags=TAGS, clean_content_tags=DROPPED, attributes={}, link_rel=None)


def screen_pop(item: ReceivedWorkItem, markup: str | None = None) -> str:
    """Give the page for a work item: its record, escaped, and the mail's HTML, cleaned and in a frame without rights.

    The page is safe by itself; serve it with ``HEADERS``, that a slip of this code does no harm either.

    Example: ``screen_pop(fake.work_items[0], "<p>Hello</p>")``
    """
    facts = {"From": item.sender, "Type": item.type, "Point of contact": item.point_of_contact}
    facts |= {"Work item": item.work_item_id, "Contact": item.contact_id}
    rows = "".join(
        f"<tr><th>{name}</th><td>{_escaped(value)}</td></tr>" for name, value in facts.items()
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
        f"<title>Work item {_escaped(item.work_item_id)}</title><style>{STYLE}</style></head>"
        f"<body><h1>A mail for you</h1><table>{rows}</table>"
        f"<h2>As text</h2><pre>{_escaped(item.payload)}</pre>{_frame(markup)}</body></html>"
    )


def _frame(markup: str | None) -> str:
    if markup is None:
        return ""
    return (
        "<h2>As its sender made it up, without pictures and links</h2>"
        f'<iframe sandbox referrerpolicy="no-referrer" title="The mail" srcdoc="{html.escape(harmless(markup))}">'
        "</iframe>"
    )


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())

"""The HTML of a mail, converted into readable text."""

from __future__ import annotations

import html
import re
from typing import Final

from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml import etree
from lxml.html import HTMLParser

from eventlab.mailroom.mail.charset import clean

#: Characters of HTML that are read, and of what is left once attributes are removed.
MAX_HTML: Final = 1024 * 1024
MAX_SLIM_HTML: Final = 256 * 1024
#: HTML with more tags than this is only stripped of them, which is always fast.
MAX_TAGS: Final = 10_000
MAX_INDENT: Final = 24
LEFT_OUT: Final = "[The rest of this mail's HTML was left out: open it in Gmail.]"
#: Comments, declarations, invisible elements, and tags. One without an end extends to the end of
#: the text, as in a browser, so each character is read once and the time is linear in the length.
TOKEN: Final = re.compile(
    r"<!--.*?(?:--!?>|\Z)|<[!?][^>]*+(?:>|\Z)"
    r"|<(script|style|template|noscript|svg|math|textarea|title)\b"
    r"[^>]*+>.*?(?:</\1\b[^>]*+(?:>|\Z)|\Z)"
    r"|<(/?[a-z][^\s/<>\"']*+)(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\"'>])*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
#: Tables in mails are nearly always layout: a row becomes a line, a cell a word in it.
PLAINER: Final = {
    "table": "div",
    "thead": "div",
    "tbody": "div",
    "tfoot": "div",
    "tr": "div",
    "td": "span",
    "th": "span",
}
BLOCK: Final = re.compile(
    r"<(?:p|br|div|tr|li|h[1-6]|hr|table|ul|ol|dt|dd|pre|blockquote)>", re.IGNORECASE
)
CELL: Final = re.compile(r"<t[dh]>", re.IGNORECASE)
TAG: Final = re.compile(r"<[^<>]*>")
BLANK_LINES: Final = re.compile(r"\n(?:[^\S\n]*\n){2,}")
GAP: Final = re.compile(r"(?<![^\S\n])[^\S\n]+$", re.MULTILINE)
INDENT: Final = re.compile(rf"^[^\S\n]{{{MAX_INDENT},}}", re.MULTILINE)


def text_of(markup: str) -> str:
    r"""Return the words of an HTML text, in the lines and lists that it shows.

    Never fails, and takes linear time.

    >>> text_of("<p>Hello<br>you</p><script>x()</script><ul><li>one</ul>")
    'Hello\nyou\n\n  * one'
    """
    slim = TOKEN.sub(_slim, clean(markup[:MAX_HTML]))
    short = slim[:MAX_SLIM_HTML]
    try:
        text = _shown(short) if short.count("<") <= MAX_TAGS else _bare(short)
    # lxml rejects HTML without elements, and inscriptis has no depth limit of its own.
    except (etree.LxmlError, RecursionError, ValueError, TypeError, LookupError):
        text = _bare(short)
    text = INDENT.sub(" " * MAX_INDENT, GAP.sub("", clean(text)))
    text = BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()
    return (
        f"{text}\n\n{LEFT_OUT}".lstrip()
        if len(markup) > MAX_HTML or len(slim) > MAX_SLIM_HTML
        else text
    )


def _slim(token: re.Match[str]) -> str:
    """Keep only a tag's name: attributes can hide text or set a margin of a million lines."""
    name = token[2] or ""
    if "@" in name:  # an address in brackets, which is not meant as HTML
        return html.escape(f"<{name}>")
    return f"<{name}>" if name else " "


def _shown(markup: str) -> str:
    if not markup.strip():
        return ""
    # As bytes in a charset that we name, so that no <meta> of the mail decides. Nothing is fetched.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    root = etree.fromstring(f"<html><body>{markup}".encode(), parser)
    if any("depth" in error.message for error in parser.error_log):
        return _bare(markup)  # lxml dropped what is nested deeper
    etree.strip_elements(root, "head", "object", "iframe", with_tail=False)
    for element in root.iter(etree.Element):
        element.attrib.clear()
        if element.tag in ("td", "th"):
            element.tail = f" {element.tail or ''}"
        element.tag = PLAINER.get(str(element.tag), element.tag)
    return str(Inscriptis(root, ParserConfig(css=STRICT_CSS_PROFILE)).get_text())


def _bare(markup: str) -> str:
    """Remove the tags."""
    plain = TAG.sub("", CELL.sub(" ", BLOCK.sub("\x00", markup)))
    words = " ".join(html.unescape(plain).split())
    return re.sub(r" ?\x00[ \x00]*", "\n", words)

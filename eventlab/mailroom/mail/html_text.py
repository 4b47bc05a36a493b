"""HTML of a mail to text that one can read."""

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

#: Characters of HTML that are looked at, and those that are read of what is left when attributes are gone.
LONGEST: Final = 1024 * 1024
LONGEST_SLIM: Final = 256 * 1024
#: With more tags than this, they are only taken out: that is fast whatever they are.
MOST_TAGS: Final = 10_000
DEEPEST_INDENT: Final = 24
LEFT_OUT: Final = "[The rest of this mail's HTML was left out: open it in Gmail.]"
#: Comments, declarations, what is not for reading, and tags. What does not end goes to the end of the text, as in a
#: browser: so each character is looked at once, and no HTML takes longer than its length.
TOKEN: Final = re.compile(
    r"<!--.*?(?:--!?>|\Z)|<[!?][^>]*+(?:>|\Z)"
    r"|<(script|style|template|noscript|svg|math|textarea|title)\b[^>]*+>.*?(?:</\1\b[^>]*+(?:>|\Z)|\Z)"
    r"|<(/?[a-z][^\s/<>\"']*+)(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\"'>])*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
#: Tables of mails are nearly always for the looks: a row becomes a line, a cell a word in it.
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
INDENT: Final = re.compile(rf"^[^\S\n]{{{DEEPEST_INDENT},}}", re.MULTILINE)


def text_of(markup: str) -> str:
    r"""Give the words of an HTML text, in lines and lists as it shows them; it never fails, and is done in a moment.

    >>> text_of("<p>Hello<br>you</p><script>x()</script><ul><li>one</ul>")
    'Hello\nyou\n\n  * one'
    """
    slim = TOKEN.sub(_slim, clean(markup[:LONGEST]))
    short = slim[:LONGEST_SLIM]
    try:
        text = _shown(short) if short.count("<") <= MOST_TAGS else _bare(short)
    # lxml refuses what has no element in it, and inscriptis has no bottom of its own.
    except (etree.LxmlError, RecursionError, ValueError, TypeError, LookupError):
        text = _bare(short)
    text = INDENT.sub(" " * DEEPEST_INDENT, GAP.sub("", clean(text)))
    text = BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()
    return (
        f"{text}\n\n{LEFT_OUT}".lstrip()
        if len(markup) > LONGEST or len(slim) > LONGEST_SLIM
        else text
    )


def _slim(token: re.Match[str]) -> str:
    """Leave a tag's name and nothing else: attributes can hide text, and ask for a margin of a million lines."""
    name = token[2] or ""
    if "@" in name:  # someone's address, in brackets that should not be HTML
        return html.escape(f"<{name}>")
    return f"<{name}>" if name else " "


def _shown(markup: str) -> str:
    if not markup.strip():
        return ""
    # As bytes in a charset that we name: no <meta> of the mail has a say. Nothing is fetched for HTML.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    root = etree.fromstring(f"<html><body>{markup}".encode(), parser)
    if any("depth" in error.message for error in parser.error_log):
        return _bare(markup)  # what is deeper has been dropped
    etree.strip_elements(root, "head", "object", "iframe", with_tail=False)
    for element in root.iter(etree.Element):
        element.attrib.clear()
        if element.tag in ("td", "th"):
            element.tail = f" {element.tail or ''}"
        element.tag = PLAINER.get(str(element.tag), element.tag)
    return str(Inscriptis(root, ParserConfig(css=STRICT_CSS_PROFILE)).get_text())


def _bare(markup: str) -> str:
    """Take the tags out."""
    plain = TAG.sub("", CELL.sub(" ", BLOCK.sub("\x00", markup)))
    words = " ".join(html.unescape(plain).split())
    return re.sub(r" ?\x00[ \x00]*", "\n", words)

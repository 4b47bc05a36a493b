"""Converts the HTML of an email into readable text."""

from __future__ import annotations

import html
import re
from typing import Final

from lxml import etree
from lxml.html import HTMLParser

from eventlab.mailroom.mail.charset import DIRECTION_MARKS, clean
from eventlab.mailroom.mail.html_lines import lines_of
from eventlab.mailroom.mail.html_style import meaning_of

#: How many characters of HTML are read, and how many of them are kept once styles are removed.
MAX_HTML: Final = 1024 * 1024
MAX_SLIM_HTML: Final = 512 * 1024
#: If there are more tags than this, the tags are just removed, which is always fast.
MAX_TAGS: Final = 40_000
MAX_INDENT: Final = 24
#: How many characters at the end of a cut email are shown too, because a reply may be there.
MAX_END: Final = 64 * 1024
LEFT_OUT: Final = "[The rest of this email's HTML was left out: open it in Gmail.]"
LEFT_OUT_HERE: Final = "[Some of this email's HTML was left out here: open it in Gmail.]"
#: Comments, declarations, invisible elements, tags, and a bracket that begins none of these. A
#: token without an end extends to the end of the text, as in a browser. Each character is read
#: once, so the time is linear in the length.
TOKEN: Final = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<[!?][^>]*+(?:>|\Z)"
    r"|<(script|style|template|noscript|svg|math|textarea|title)\b"
    r"[^>]*+>.*?(?:</\1\b[^>]*+(?:>|\Z)|\Z)"
    r"|<(/?[a-z][^\s/<>\"']*+)((?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\"'>])*+)(?:>|\Z)"
    r"|<",
    re.IGNORECASE | re.DOTALL,
)
ATTRIBUTE: Final = re.compile(
    r"([a-z][\w-]{0,30})(?:\s*+=\s*+(\"[^\"]*+|'[^']*+|[^\s\"'>]++))?[^\s]?", re.IGNORECASE
)
#: For each tag, the attributes that affect its words. A ``style`` is reduced to the
#: letters of ``meaning_of``, because a margin, for example, could produce a million lines.
KEPT: Final = {
    "a": ("href",),
    "area": ("href", "alt"),
    "img": ("alt", "width", "height"),
    "ol": ("start", "type", "reversed"),
    "li": ("value", "type"),
    "blockquote": ("type",),
}
MAX_ATTRIBUTES: Final = 40
MAX_VALUE: Final = 4000
BLOCK: Final = re.compile(
    r"<(?:p|br|div|tr|li|h[1-6]|hr|table|ul|ol|dt|dd|pre|blockquote)\b[^<>]*>", re.IGNORECASE
)
CELL: Final = re.compile(r"<t[dh]\b[^<>]*>", re.IGNORECASE)
TAG: Final = re.compile(r"<[^<>]*>")
HALF: Final = re.compile(r"(?:<[^<>]{0,9999}|&[#\w]{0,30})\Z")
BLANK_LINES: Final = re.compile(r"\n(?:[^\S\n]*\n){2,}")
GAP: Final = re.compile(r"(?<![^\S\n])[^\S\n]+$", re.MULTILINE)
INDENT: Final = re.compile(rf"^[^\S\n]{{{MAX_INDENT},}}", re.MULTILINE)
#: Invisible characters that fill the preview of a newsletter: three or more in a row, possibly with
#: spaces between them. A single character belongs to an emoji or to the text of some languages.
FILLER: Final = re.compile(
    r"[{0}](?:[^\S\n]*+[{0}]){{2,}}+[^\S\n]*+".format(
        "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2007\u200b-\u200f\u2060-\u2064\u206a-\u206f"
        "\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0"
    )
)


def text_of(markup: str) -> str:
    r"""Convert HTML to text, with the lines and lists that a browser would show.

    Links are followed by their targets, quoted lines begin with ``> ``, and each row of data in a
    table is one line. The function never fails and takes linear time.

    >>> text_of("<p>Hello<br>you</p><script>x()</script><ul><li>one</ul>")
    'Hello\nyou\n\n  * one'
    """
    slim = TOKEN.sub(_slim, clean(markup[:MAX_HTML]))
    short = slim[:MAX_SLIM_HTML]
    if len(slim) > MAX_SLIM_HTML:  # do not cut within a tag or an entity
        short = HALF.sub("", short)
    try:
        text = _shown(short) if short.count("<") <= MAX_TAGS else _bare(short)
    # lxml rejects HTML without elements.
    except (etree.LxmlError, RecursionError, ValueError, TypeError, LookupError):
        text = _bare(short)
    text = _tidy(text)
    if len(markup) <= MAX_HTML and len(slim) <= MAX_SLIM_HTML:
        return text
    left_out = markup[MAX_HTML:] or slim[MAX_SLIM_HTML:]
    end = left_out[-MAX_END:].partition(">")[2]
    rest = _tidy(_bare(TOKEN.sub(_slim, clean(end))))
    note = f"{LEFT_OUT_HERE}\n\n{rest}" if rest else LEFT_OUT
    return f"{text}\n\n{note}".lstrip()


def without_filler(text: str) -> str:
    r"""Return text without the invisible characters that fill the preview of a newsletter.

    >>> without_filler("Sale\u034f \u200c\u00a0\u034f \u200c now, wai\u00adting")
    'Sale now, waiting'
    """
    return FILLER.sub(" ", text).replace("\xad", "")


def _tidy(text: str) -> str:
    text = without_filler(DIRECTION_MARKS.sub("", clean(text))).replace("\xa0", " ")
    text = INDENT.sub(" " * MAX_INDENT, GAP.sub("", text))
    return BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()


def _slim(token: re.Match[str]) -> str:
    """Return a tag with only its name and the few attributes that affect its words."""
    name = (token[2] or "").lower()
    if "@" in name:  # an address in brackets, which is not meant as HTML
        return html.escape(f"<{token[2]}>")
    if not name:
        return "&lt;" if token[0] == "<" else " " if token[1] else ""
    return f"<{name}{_attributes(name, token[3])}>"


def _attributes(name: str, source: str) -> str:
    found: dict[str, str] = {}
    for one in ATTRIBUTE.finditer(source):
        value = html.unescape((one[2] or "")[: MAX_VALUE + 1].lstrip("\"'"))
        found.setdefault(one[1].lower(), value)
        if len(found) > MAX_ATTRIBUTES:
            break
    kept = {key: found[key] for key in KEPT.get(name, ()) if key in found}
    if (style := found.get("style")) and (meaning := meaning_of(style)):
        kept["style"] = meaning
    if "hidden" in found:
        kept["hidden"] = ""
    return "".join(f' {key}="{html.escape(value)}"' for key, value in kept.items())


def _shown(markup: str) -> str:
    if not markup.strip():
        return ""
    # The parser gets bytes and their charset, so that no <meta> element decides the charset.
    # Nothing is fetched.
    parser = HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
    root = etree.fromstring(f"<html><body>{markup}".encode(), parser)
    if any("depth" in error.message for error in parser.error_log):
        return _bare(markup)  # lxml dropped the deeper elements
    return "\n".join(lines_of(root))


def _bare(markup: str) -> str:
    """Return the text of HTML by removing all tags, with a line end for each block."""
    plain = TAG.sub("", CELL.sub(" ", BLOCK.sub("\x00", markup)))
    words = " ".join(html.unescape(plain).split())
    return re.sub(r" ?\x00[ \x00]*", "\n", words)

"""Converts an HTML tree into lines: paragraphs, table rows, lists, quotes, links and pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from eventlab.mailroom.mail import html_style
from eventlab.mailroom.mail.html_box import Box, row_of
from eventlab.mailroom.mail.html_lists import NumberedList, bullet_of, list_of
from eventlab.mailroom.mail.link import same_target, target_of

PICTURES_ONLY: Final = "[This email has pictures and no text: open it in Gmail.]"

TYPED: Final = frozenset(("pre", "xmp", "listing", "plaintext"))
#: These elements have an empty line before and after them.
SPACED: Final = TYPED | {"p", "figure", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS: Final = SPACED | {
    *("html", "body", "div", "center", "address", "article", "aside", "details", "dialog"),
    *("footer", "fieldset", "figcaption", "form", "header", "hgroup", "hr", "legend", "main"),
    *("nav", "option", "section", "summary", "dl", "dt", "dd", "ul", "ol", "menu", "li"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr"),
}
NOT_SHOWN: Final = frozenset(("head", "object", "iframe", "audio", "video", "datalist"))
LISTS: Final = frozenset(("ul", "ol", "menu"))
#: Words that are struck out are marked, so that an old price does not look like a valid price.
STRUCK: Final = frozenset(("s", "strike", "del"))
STRIKE: Final = "~~"
MAX_QUOTES: Final = 10
MAX_LISTS: Final = 6
MAX_ALT: Final = 200
RULE: Final = "----------"
SPACE: Final = re.compile(r"[ \t\n\r\f]+")
Element = Any


@dataclass(frozen=True)
class _Look:
    """The appearance that an element inherits."""

    hidden: bool = False
    no_font: bool = False
    typed: bool = False


class _Page:
    """Walks through a tree once, without recursion, so the tree can have any depth."""

    def __init__(self, *, show_hidden: bool) -> None:
        self.show_hidden = show_hidden
        self.boxes = [Box()]
        self.rows: list[list[list[str]]] = []
        self.lists: list[NumberedList] = []
        self.quotes = 0
        self.looks = [_Look()]
        self.links: list[tuple[str, list[str]]] = []
        self.has_words = False
        self.has_hidden = False
        self.pictures = 0

    def read(self, root: Element) -> list[str]:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if event == "start":
                self._start(element)
                self._write(element.text)
            else:
                self._end(element)
                if element is not root:
                    self._write(element.tail)
        self.boxes[0].end_line()
        return self.boxes[0].lines

    # ------------------------------------------------------------------------------------- tags

    def _start(self, element: Element) -> None:
        tag = element.tag
        look = self._look(element)
        self.looks.append(look)
        if tag in BLOCKS or html_style.BLOCK in element.get("style", ""):
            self._end_line(gap=tag in SPACED)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th", "li") or _is_quote(element):
            self.boxes.append(Box())
            self.quotes += _is_quote(element)
        elif tag in LISTS:
            if _is_nested(element):
                self.boxes.append(Box())
            self.lists.append(list_of(element))
        elif look.hidden:
            return
        elif tag in STRUCK:
            self._put(STRIKE)
        elif tag == "br":
            self.boxes[-1].end_line(always=True)
        elif tag == "hr":
            self.boxes[-1].add([RULE])
        elif tag == "a":
            self.links.append((target_of(element.get("href", "")), []))
        elif tag == "img":
            self._picture(element)
        elif tag == "area" and (target := target_of(element.get("href", ""))):
            self._inline(f" {element.get('alt', '')[:MAX_ALT]} ({target}) ")

    def _end(self, element: Element) -> None:
        tag = element.tag
        look = self.looks.pop()
        if tag == "a" and not look.hidden:
            self._end_link()
        if tag in BLOCKS or html_style.BLOCK in element.get("style", ""):
            self._end_line(gap=tag in SPACED and not _is_quote(element))
        if tag == "tr":
            self.boxes[-1].add(row_of(self.rows.pop()))
        elif tag in ("td", "th"):
            cell = self._box()
            if element.getparent().tag == "tr":
                self.rows[-1].append(cell)
            else:
                self.boxes[-1].add(cell)
        elif tag == "li":
            self._end_item(element)
        elif _is_quote(element):
            lines = self._box()
            if self.quotes <= MAX_QUOTES:
                lines = [f"> {line}" if line else ">" for line in lines]
            self.quotes -= 1
            self.boxes[-1].add(lines)
            self.boxes[-1].gap = True
        elif tag in LISTS:
            self.lists.pop()
            if _is_nested(element):
                lines = self._box()
                indent = " " * 4 * (len(self.lists) < MAX_LISTS)
                self.boxes[-1].add([f"{indent}{line}" if line else "" for line in lines])
        elif tag in STRUCK and not look.hidden:
            self._put(STRIKE)

    def _end_item(self, element: Element) -> None:
        lines = self._box()
        if len(self.lists) > MAX_LISTS:
            self.boxes[-1].add(lines)
            return
        bullet = bullet_of(element, self.lists[-1] if self.lists else NumberedList(None))
        first, *others = lines or [""]
        indent = " " * len(bullet)
        self.boxes[-1].end_line()
        # Even an empty item is shown if it has a number.
        if first or others or bullet.strip() != "*":
            shown = f"{bullet}{first}".rstrip()
            self.boxes[-1].add([shown, *(f"{indent}{one}" if one else "" for one in others)])

    def _end_link(self) -> None:
        target, pieces = self.links.pop()
        label = "".join(pieces).strip()
        if self.links:  # a link within a link, which HTML does not allow
            self.links[-1][1].extend(pieces)
        if not target or not label or same_target(label, target):
            return
        box = self.boxes[-1]
        if not box.line and box.lines:  # a block within the link has ended the line
            box.lines[-1] = f"{box.lines[-1]} ({target})"
        else:
            space = "" if box.ends_with_space() else " "
            box.line.append(f"{space}({target})")

    def _picture(self, element: Element) -> None:
        if any(element.get(side, "9").strip(" px") in ("0", "1") for side in ("width", "height")):
            return  # a tracking pixel
        alt = SPACE.sub(" ", element.get("alt", "")).strip()[:MAX_ALT]
        self.pictures += 1
        if alt and len(alt) <= 8 and not re.search(r"[^\W_]", alt) and not alt.isascii():
            self.has_words = True  # an emoji that is sent as a picture
            self._inline(alt)
        elif alt:
            self._inline(f" [image: {alt}] ")
        elif self.links:
            self._inline(" [image] ")

    # ------------------------------------------------------------------------------------ words

    def _write(self, text: str | None) -> None:
        if not text:
            return
        look = self.looks[-1]
        if look.hidden or look.no_font:
            self.has_hidden = self.has_hidden or bool(text.strip())
            return
        self.has_words = self.has_words or bool(re.search(r"\w", text))
        if not look.typed:
            self._inline(text)
            return
        first, *others = text.replace("\t", "    ").split("\n")
        for line in [first] if first else []:
            self._put(line)
        for line in others:
            self.boxes[-1].end_line(always=True)
            if line:
                self._put(line)

    def _inline(self, text: str) -> None:
        collapsed = SPACE.sub(" ", text)
        if self.boxes[-1].ends_with_space():
            collapsed = collapsed.lstrip(" ")
        if collapsed:
            self._put(collapsed)

    def _put(self, text: str) -> None:
        self.boxes[-1].line.append(text)
        if self.links:
            self.links[-1][1].append(text)

    def _end_line(self, *, gap: bool) -> None:
        self.boxes[-1].end_line()
        self.boxes[-1].gap = self.boxes[-1].gap or gap
        if self.links:
            self.links[-1][1].append(" ")

    def _box(self) -> list[str]:
        box = self.boxes.pop()
        box.end_line()
        return box.lines

    def _look(self, element: Element) -> _Look:
        above = self.looks[-1]
        style = element.get("style", "")
        hidden = above.hidden or element.tag in NOT_SHOWN
        if not self.show_hidden and not hidden:
            hidden = html_style.HIDDEN in style or element.get("hidden") is not None
            if html_style.HIDDEN_AT_START in style and not self.has_words:
                hidden = hidden or (element.tag != "a" and element.find(".//a") is None)
        no_font = not self.show_hidden and (
            html_style.NO_FONT in style or (above.no_font and html_style.FONT not in style)
        )
        typed = element.tag in TYPED or above.typed
        if html_style.AS_TYPED in style or html_style.AS_USUAL in style:
            typed = html_style.AS_TYPED in style
        return _Look(hidden, no_font, typed)


def lines_of(root: Element) -> list[str]:
    """Return the visible lines of a tree; if they have no words, add the hidden ones or a note."""
    page = _Page(show_hidden=False)
    lines = page.read(root)
    if page.has_words:
        return lines
    if page.pictures:
        return [PICTURES_ONLY, "", *lines]
    return _Page(show_hidden=True).read(root) if page.has_hidden else lines


def _is_nested(element: Element) -> bool:
    """Return whether a list is directly within a list, as in Gmail's indented lists."""
    parent = element.getparent()
    return parent is not None and parent.tag in LISTS


def _is_quote(element: Element) -> bool:
    """Return whether an element is a quote; a blockquote without a border may just be indented."""
    if element.tag != "blockquote":
        return False
    return bool(element.get("type")) or html_style.NO_BORDER not in element.get("style", "")

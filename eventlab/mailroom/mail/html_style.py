"""Reads the style of an HTML element: whether its text is hidden, preformatted or in a block."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

ZERO: Final = re.compile(r"[+-]?0*\.?0+(?:[a-z]{2,4}|%)?")
MAX_STYLE: Final = 4000
MAX_DECLARATIONS: Final = 100

#: Each effect that a style can have on text is one letter.
HIDDEN: Final = "h"
HIDDEN_AT_START: Final = "m"
NO_FONT: Final = "0"
FONT: Final = "1"
AS_TYPED: Final = "p"
AS_USUAL: Final = "n"
BLOCK: Final = "b"
NO_BORDER: Final = "i"


@lru_cache(maxsize=256)  # the cells of a table have the same few styles
def meaning_of(style: str) -> str:
    """Return the effects of a ``style`` attribute on text, each as one letter.

    >>> meaning_of("display: none !important"), meaning_of("white-space:pre-wrap; font-size:12px")
    ('h', '1p')
    """
    rules: dict[str, str] = {}
    for declaration in style[:MAX_STYLE].lower().split(";", MAX_DECLARATIONS):
        name, _, value = declaration.partition(":")
        rules[name.strip()] = value.replace("!important", "").strip()
    return "".join(_letters(rules))


def _letters(rules: dict[str, str]) -> list[str]:
    found = []
    clipped = rules.get("overflow", "") in ("hidden", "clip")
    flat = _zero(rules, "height") or _zero(rules, "max-width") or _zero(rules, "width")
    # With a position and without clipping, a max-height of 0 puts words on top of a picture.
    flattened = _zero(rules, "max-height") and (clipped or "position" not in rules)
    if (
        rules.get("display") == "none"
        or rules.get("visibility") in ("hidden", "collapse")
        or _zero(rules, "opacity")
        or flattened
        or (clipped and flat)
    ):
        found.append(HIDDEN)
    # Only Outlook obeys mso-hide, and button generators use it to hide buttons from Outlook alone.
    if rules.get("mso-hide") == "all":
        found.append(HIDDEN_AT_START)
    if size := rules.get("font-size") or re.sub(r"[/\s].*", "", rules.get("font", "")):
        # A wrapper has font size 0 to close the gaps between columns, which set their font size.
        found.append(NO_FONT if ZERO.fullmatch(size) else FONT if size != "inherit" else "")
    if space := rules.get("white-space"):
        as_typed = space in ("pre", "pre-wrap", "pre-line", "break-spaces")
        found.append(AS_TYPED if as_typed else AS_USUAL)
    if rules.get("display") in ("block", "flex", "grid", "table", "list-item"):
        found.append(BLOCK)
    border = rules.get("border-left") or rules.get("border") or ""
    if border.startswith(("none", "0")):
        found.append(NO_BORDER)
    return found


def _zero(rules: dict[str, str], name: str) -> bool:
    return bool(ZERO.fullmatch(rules.get(name, "")))

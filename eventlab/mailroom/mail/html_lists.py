"""The lists of an HTML text, with their items numbered as in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

MAX_NUMBER: Final = 1_000_000
ROMAN: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l")),
    *((40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


Element = Any


@dataclass
class NumberedList:
    """An open list, with the number of the next item, or None for a bulleted list."""

    next: int | None
    step: int = 1
    style: str = "1"


def list_of(element: Element) -> NumberedList:
    """Return the list that an ``ol``, ``ul`` or ``menu`` element begins."""
    if element.tag != "ol":
        return NumberedList(None)
    backwards = element.get("reversed") is not None
    count = sum(1 for item in element if item.tag == "li") if backwards else 1
    start = _number(element.get("start"))
    return NumberedList(
        count if start is None else start, -1 if backwards else 1, element.get("type") or "1"
    )


def bullet_of(element: Element, within: NumberedList) -> str:
    """Return the bullet or number of a list item, such as ``"  3. "``, and count the item."""
    value = _number(element.get("value"))
    if within.next is None:
        return "  * "
    number = within.next if value is None else value
    within.next = number + within.step
    return f"  {_numeral(number, element.get('type') or within.style)}. "


def _numeral(number: int, style: str) -> str:
    if style in ("a", "A") and 0 < number <= 26 * 26:
        first, second = divmod(number - 1, 26)
        letters = (chr(96 + first) if first else "") + chr(97 + second)
        return letters.upper() if style == "A" else letters
    if style in ("i", "I") and 0 < number < 4000:
        return "".join(_roman(number)).upper() if style == "I" else "".join(_roman(number))
    return str(number)


def _roman(number: int) -> Iterator[str]:
    for value, letters in ROMAN:
        count, number = divmod(number, value)
        yield letters * count


def _number(text: str | None) -> int | None:
    found = re.match(r"\s*([+-]?[0-9]{1,7})(?![0-9])", text or "")
    number = int(found[1]) if found else None
    return number if number is not None and abs(number) <= MAX_NUMBER else None

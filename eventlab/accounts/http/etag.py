"""An entity tag: the version of an account, as HTTP asks for it and gives it (RFC 9110, 8.8.3 and 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi import HTTPException

TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
LIST: Final = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t]*(?:{TAG})?)*[ \t]*")
STRONG: Final = re.compile(r'(?<![^ \t,])"([1-9][0-9]{0,15})"')


def etag(version: int) -> str:
    """The tag of a version.

    Example: ``etag(3)`` is ``'"3"'``
    """
    return f'"{version}"'


def wanted(lines: Sequence[str]) -> frozenset[int] | None:
    """The versions that the lines of If-Match allow; None for any, which is also what ``*`` says.

    A weak tag allows none (the comparison is strong). Raises HTTPException 400 for what is no list of tags.

    Example: ``wanted(['"3", "4"'])`` is ``frozenset({3, 4})``
    """
    if not lines:
        return None
    text = ", ".join(lines)
    if text.strip(" \t") == "*":
        return None
    if not LIST.fullmatch(text):
        raise HTTPException(
            400, 'If-Match: give the ETag of an answer, quotes included, such as "3", or *'
        )
    return frozenset(map(int, STRONG.findall(text)))

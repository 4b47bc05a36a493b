"""Entity tags: the version of an account in ETag and If-Match (RFC 9110, 8.8.3 and 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi import HTTPException

TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
LIST: Final = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t]*(?:{TAG})?)*[ \t]*")
STRONG: Final = re.compile(r'(?<![^ \t,])"([1-9][0-9]{0,15})"')


def etag(version: int) -> str:
    """Return the entity tag of a version.

    >>> etag(3)
    '"3"'
    """
    return f'"{version}"'


def wanted(lines: Sequence[str]) -> frozenset[int] | None:
    """Return the versions that the lines of If-Match allow; None (no line, or ``*``) allows any.

    A weak tag allows none, because the comparison is strong. Raises HTTPException 400 for a value
    that is not a list of tags.

    >>> sorted(wanted(['"3", "4"']))
    [3, 4]
    """
    if not lines:
        return None
    text = ", ".join(lines)
    if text.strip(" \t") == "*":
        return None
    if not LIST.fullmatch(text):
        raise HTTPException(
            400, 'If-Match: must be the ETag of a response, quotes included, such as "3", or *'
        )
    return frozenset(map(int, STRONG.findall(text)))

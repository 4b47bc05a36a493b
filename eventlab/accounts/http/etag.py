"""Entity tags: the version of an account in ETag, If-Match and If-None-Match (RFC 9110, 13.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fastapi import HTTPException

TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
LIST: Final = re.compile(rf"[ \t,]*{TAG}(?:[ \t]*,[ \t]*(?:{TAG})?)*[ \t]*")
ANY_STRENGTH: Final = re.compile(r'"([1-9][0-9]{0,15})"')
STRONG: Final = re.compile(r'(?<![^ \t,])"([1-9][0-9]{0,15})"')


def etag(version: int) -> str:
    """Return the entity tag of a version.

    >>> etag(3)
    '"3"'
    """
    return f'"{version}"'


def wanted(lines: Sequence[str]) -> frozenset[int] | None:
    """Return the versions that the If-Match lines allow; None (no line, or ``*``) means any.

    A weak tag allows no version, because the comparison is strong. Raises HTTPException 400 for a
    value that is not a list of tags.

    >>> sorted(wanted(['"3", "4"']))
    [3, 4]
    """
    if not lines or _is_any(text := _joined("If-Match", lines)):
        return None
    return frozenset(map(int, STRONG.findall(text)))


def is_known(version: int, lines: Sequence[str]) -> bool:
    """Return whether the If-None-Match lines name a version; if so, the response needs no body.

    The comparison is weak. Raises HTTPException 400 for a value that is not a list of tags.

    >>> is_known(3, ['W/"3"'])
    True
    """
    if not lines:
        return False
    text = _joined("If-None-Match", lines)
    return _is_any(text) or str(version) in ANY_STRENGTH.findall(text)


def _is_any(text: str) -> bool:
    return text.strip(" \t") == "*"


def _joined(header: str, lines: Sequence[str]) -> str:
    text = ", ".join(lines)
    if not _is_any(text) and not LIST.fullmatch(text):
        raise HTTPException(
            400, f'{header}: must be the ETag of a response, quotes included, such as "3", or *'
        )
    return text

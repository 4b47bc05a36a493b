"""A large email as Gmail parses it (format=full): its text parts, and the names of the others."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from eventlab.mailroom.mail.header import as_bytes
from eventlab.mailroom.mail.mime import MAX_HEADERS_OF_A_NAME, MailPart

MAX_PARTS: Final = 200
MAX_DEPTH: Final = 20
CHUNK: Final = 1024 * 1024


def part_of(payload: object) -> MailPart:
    """Return the ``payload`` of a response as an email part; malformed parts are left out.

    >>> part_of({"mimeType": "text/plain", "body": {"data": "aGk"}}).content_start
    b'hi'
    """
    return _part(payload if isinstance(payload, Mapping) else {}, 0)


def number_of(value: object) -> int:
    """Return a number that Gmail sent as a number or as text, or 0 for any other value.

    >>> number_of("12"), number_of("many")
    (12, 0)
    """
    good = isinstance(value, int | str) and re.fullmatch(r"\d{1,18}", str(value))
    return int(str(value)) if good else 0


def data_of(text: object) -> bytearray:
    """Decode the unpadded base64url that Gmail sends, in chunks to save memory.

    >>> bytes(data_of("aGk"))
    b'hi'
    """
    encoded = text if isinstance(text, str) else ""
    data = bytearray(len(encoded) * 3 // 4)
    end = 0
    for start in range(0, len(encoded), CHUNK):
        chunk = encoded[start : start + CHUNK].encode("ascii", "ignore")
        try:
            piece = base64.urlsafe_b64decode(chunk + b"=" * (-len(chunk) % 4))
        except binascii.Error:
            break
        data[end : end + len(piece)] = piece
        end += len(piece)
    del data[end:]
    return data


def _part(payload: Mapping[str, Any], depth: int) -> MailPart:
    headers: dict[str, list[bytes]] = {}
    listed = payload.get("headers")
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, Mapping):
            values = headers.setdefault(str(one.get("name")).lower(), [])
            if len(values) < MAX_HEADERS_OF_A_NAME:
                values.append(as_bytes(one.get("value")))
    found = payload.get("body")
    body = found if isinstance(found, Mapping) else {}
    content = data_of(body.get("data"))
    part = MailPart(
        headers,
        content,
        0,
        len(content),
        str(payload.get("mimeType") or "text/plain").lower(),
        plain=True,
        size=number_of(body.get("size")) or len(content),
        filename=str(payload.get("filename") or ""),
    )
    inner = payload.get("parts")
    children = [one for one in inner if isinstance(one, Mapping)] if isinstance(inner, list) else []
    part.cut = len(children) > MAX_PARTS or (bool(children) and depth >= MAX_DEPTH)
    if depth < MAX_DEPTH:
        part.parts = [_part(one, depth + 1) for one in children[:MAX_PARTS]]
    return part

"""The formats to request from Gmail: all bytes of an email, or only the texts of a large email."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

from eventlab.mailroom.gmail.api_error import GmailApiError
from eventlab.mailroom.gmail.transport import GmailTransport

COMMON_FIELDS: Final = "id,threadId,labelIds,historyId,internalDate,sizeEstimate,snippet"
RAW_FIELDS: Final = f"{COMMON_FIELDS},raw"


def _part_fields(depth: int) -> str:
    inner = f",parts({_part_fields(depth - 1)})" if depth else ""
    return f"partId,mimeType,filename,headers,body(attachmentId,data,size){inner}"


#: The headers and texts of an email, and the names, types and sizes of its other parts.
TEXT_FIELDS: Final = f"{COMMON_FIELDS},payload({_part_fields(6)})"
#: For a long text, as for an attachment, Gmail returns only an id. At most this many long texts,
#: each of at most this size, are fetched.
MAX_LONG_TEXTS: Final = 4
MAX_LONG_TEXT_BYTES: Final = 4 * 1024 * 1024


def add_long_texts(transport: GmailTransport, response: dict[str, Any]) -> None:
    """Fetch the texts for which a response contains only an id, and add them to the response.

    A text that cannot be fetched stays missing. Raises ``ConsentRequired`` if the user must give
    consent again.
    """
    messages = transport.users.messages()
    for body in itertools.islice(_long_texts(response.get("payload", {})), MAX_LONG_TEXTS):
        request = messages.attachments().get(
            userId="me", messageId=response["id"], id=body["attachmentId"], fields="data"
        )
        content = transport.send(request)
        if not isinstance(content, GmailApiError):
            body["data"] = content.get("data")
        elif content.needs_consent:
            raise content.to_exception()


def _long_texts(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the body of each unnamed text whose data is not in the response."""
    body = part.get("body", {})
    is_text = part.get("mimeType") in ("text/plain", "text/html") and not part.get("filename")
    wanted = is_text and "attachmentId" in body and "data" not in body
    if wanted and body.get("size", 0) <= MAX_LONG_TEXT_BYTES:
        yield body
    for inner in part.get("parts", ()):
        yield from _long_texts(inner)

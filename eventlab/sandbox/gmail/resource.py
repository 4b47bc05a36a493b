"""Convert an email to one of the Gmail API's four formats, and select the requested fields."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, Final

from eventlab.sandbox.gmail.error import GoogleError
from eventlab.sandbox.gmail.mailbox import StoredMail

SNIPPET_CHARS: Final = 200
MAX_INLINE_BYTES: Final = 256 * 1024
FORMATS: Final = ("full", "metadata", "minimal", "raw")

Fields = dict[str, "Fields"]


def resource(mail: StoredMail, format: str, metadata_headers: Sequence[str] = ()) -> dict[str, Any]:
    """Return an email in one of the formats of ``users.messages.get``."""
    if format not in FORMATS:
        raise GoogleError(400, message=f"Invalid value for format: {format}")
    try:
        return _shown(
            mail, message_from_bytes(mail.raw, policy=policy.compat32), format, metadata_headers
        )
    except RecursionError:  # an email with a thousand nested ones is shown without its contents
        return _shown(
            mail,
            BytesHeaderParser(policy=policy.compat32).parsebytes(mail.raw),
            format,
            metadata_headers,
        )


def attachment(mail: StoredMail, id: str) -> dict[str, Any]:
    """Return the content of a part, as ``users.messages.attachments.get`` does."""
    part = message_from_bytes(mail.raw, policy=policy.compat32)
    for number in re.findall(r"\d+", id):
        children = part.get_payload()
        child = dict(enumerate(children)).get(int(number)) if isinstance(children, list) else part
        if not isinstance(child, Message):
            raise GoogleError(400, message="Invalid attachment token")
        part = child
    data = _data(part)
    return {"size": len(data), "data": base64.urlsafe_b64encode(data).decode()}


def _shown(
    mail: StoredMail, parsed: Message, format: str, metadata_headers: Sequence[str]
) -> dict[str, Any]:
    answer = {
        "id": mail.id,
        "threadId": mail.thread_id,
        "labelIds": list(mail.label_ids),
        "snippet": _snippet(parsed),
        "sizeEstimate": len(mail.raw),
        "historyId": str(mail.history_id),
        "internalDate": str(mail.internal_date_ms),
    }
    if format == "raw":
        answer["raw"] = base64.urlsafe_b64encode(mail.raw).decode()
    elif format == "full":
        answer["payload"] = _part(parsed, "")
    elif format == "metadata":
        wanted = {name.casefold() for name in metadata_headers}
        headers = [h for h in _headers(parsed) if not wanted or h["name"].casefold() in wanted]
        answer["payload"] = {"mimeType": parsed.get_content_type(), "headers": headers}
    return answer


def cut(answer: Any, fields: str | None) -> Any:
    """Reduce a response to the fields in a mask like ``messages(id,labelIds),payload/headers``.

    >>> cut({"id": "1", "payload": {"size": 2, "data": "x"}}, "payload/size")
    {'payload': {'size': 2}}
    """
    if not fields or fields == "*":
        return answer
    tokens = iter(re.findall(r"[\w*]+|[(),/]", fields))
    return _kept(answer, _mask(tokens))


def _mask(tokens: Iterator[str]) -> Fields:
    """Parse names, each with an optional ``/name`` or ``(names)``; stop at an unmatched ``)``."""
    mask: Fields = {}
    inner = mask
    for token in tokens:
        if token == ")":
            break
        if token == ",":
            inner = mask
        elif token == "(":
            inner.update(_mask(tokens))
        elif token != "/":
            inner = inner.setdefault(token, {})
    return mask


def _kept(answer: Any, mask: Fields) -> Any:
    if not mask or "*" in mask:
        return answer
    if isinstance(answer, list):
        return [_kept(entry, mask) for entry in answer]
    if isinstance(answer, dict):
        return {name: _kept(value, mask[name]) for name, value in answer.items() if name in mask}
    return answer


def _part(part: Message, id: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "partId": id,
        "mimeType": part.get_content_type(),
        "filename": str(part.get_filename() or ""),
        "headers": _headers(part),
        "body": {"size": 0},
    }
    children = part.get_payload()
    if isinstance(children, list):
        shown["parts"] = [_part(child, f"{id}.{n}".lstrip(".")) for n, child in enumerate(children)]
        return shown
    data = _data(part)
    shown["body"]["size"] = len(data)
    # a part that is large or has a name is fetched separately, even if it is text
    if shown["filename"] or len(data) > MAX_INLINE_BYTES:
        shown["body"]["attachmentId"] = f"ANGj{id or '0'}"
    elif data:
        shown["body"]["data"] = base64.urlsafe_b64encode(data).decode()
    return shown


def _data(part: Message) -> bytes:
    """Return a part's bytes; like Gmail, convert text in any charset to UTF-8."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return b""
    if part.get_content_maintype() != "text":
        return data
    try:
        return data.decode(str(part.get_content_charset("utf-8"))).encode()
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace").encode()


def _headers(part: Message) -> list[dict[str, str]]:
    return [{"name": name, "value": _utf8(str(value))} for name, value in part.items()]


def _utf8(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _snippet(message: Message) -> str:
    """Return the first words of the first text part, escaped for HTML as in Gmail."""
    for part in message.walk():
        if part.get_content_maintype() == "text":
            text = re.sub(r"<[^>]*>", " ", _data(part).decode("utf-8", "replace"))
            return html.escape(" ".join(text.split())[:SNIPPET_CHARS])
    return ""

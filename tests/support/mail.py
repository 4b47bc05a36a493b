"""Mails as Gmail returns them, made from raw bytes."""

from __future__ import annotations

import base64
from typing import Any

from eventlab.mailroom.mail.message import Message
from eventlab.sandbox.samples import Sample, samples

SNIPPET = "Gmail's first words &amp; no more"
BY_NAME = {sample.name: sample for sample in samples()}


def resource(raw: bytes, **more: Any) -> dict[str, Any]:
    """Return the response of users.messages.get for format raw."""
    encoded = base64.urlsafe_b64encode(raw).decode()
    return {
        "id": "18c2a0b1c2d3e4f5",
        "threadId": "18c2a0b1c2d3e4f0",
        "raw": encoded,
        "snippet": SNIPPET,
    } | more


def read(raw: bytes, **more: Any) -> Message:
    return Message.from_gmail(resource(raw, **more))


def read_sample(name: str) -> Message:
    sample: Sample = BY_NAME[name]
    return read(
        sample.raw,
        id=sample.gmail_id,
        threadId=sample.thread_id,
        internalDate=str(sample.internal_date_ms),
        labelIds=list(sample.label_ids),
    )


def single(body: bytes, *headers: str) -> bytes:
    """Make a mail of one part."""
    return "\r\n".join(["From: joe@example.com", *headers, "", ""]).encode() + body


def multipart(kind: str, *parts: bytes) -> bytes:
    """Make a mail of several parts; each has its own headers."""
    inner = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return (
        f"From: joe@example.com\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n".encode()
        + inner
        + b"--b--\r\n"
    )

"""The writer of a mail: the address that CXone gets, so that a reply reaches a person."""

from __future__ import annotations

import base64

import pytest

from eventlab.mailroom.correspondent import correspondent
from eventlab.mailroom.mail.message import Message

OWN = frozenset({"support@shop.example"})
GROUP = "From: 'Ann' via Support <support@shop.example>\n"
FORM = "From: noreply@shop.example\n"


def read(head: str) -> Message:
    raw = base64.urlsafe_b64encode(f"{head}\nhello\n".encode()).decode()
    return Message.from_gmail({"id": "18c2", "raw": raw})


CASES = {
    "sender": [
        ("From: Joe <joe@example.com>\n", "joe@example.com"),
        ("From: Joe <joe@example.com>\nReply-To: JOE@EXAMPLE.COM\n", "joe@example.com"),
        ("From: Joe <mailto:joe@example.com>\n", "joe@example.com"),
        ("From: Joe\n", ""),
        ("From: <joe@-.example>\n", ""),
        ("", ""),
    ],
    "web form": [
        (f"{FORM}Reply-To: Kim <kim@example.org>\n", "kim@example.org"),
        (f"{FORM}Reply-To: kim@example.org, kim@example.org\n", "kim@example.org"),
        (f"{FORM}Reply-To: kim@example.org, joe@example.com\n", "noreply@shop.example"),
        (f"{FORM}Reply-To: <kim@-.example>\n", "noreply@shop.example"),
        (f"{FORM}Reply-To: kim\n", "noreply@shop.example"),
    ],
    "our own address": [
        ("From: joe@example.com\nReply-To: Support <Support@Shop.example>\n", "joe@example.com"),
        ("From: joe@example.com\nReply-To: support+7@shop.example\n", "joe@example.com"),
        (
            "Delivered-To: box@shop.example\nFrom: joe@example.com\nReply-To: box@shop.example\n",
            "joe@example.com",
        ),
        ("From: support@shop.example\n", "support@shop.example"),
        ("From: support@shop.example\nReply-To: kim@example.org\n", "kim@example.org"),
    ],
    "group": [
        (f"{GROUP}X-Original-From: Ann <ann@example.org>\n", "ann@example.org"),
        (
            f"{GROUP}X-Original-Sender: ann@example.org\nReply-To: x@example.org\n",
            "ann@example.org",
        ),
        (f"{GROUP}Reply-To: ann@example.org\n", "ann@example.org"),
        (f"{GROUP}X-Original-From: support@shop.example\n", "support@shop.example"),
        (f"{GROUP}X-Original-From: nonsense\n", "support@shop.example"),
    ],
    "list": [
        (
            "From: ann@example.org\nTo: bikes@lists.example\nReply-To: bikes@lists.example\n",
            "ann@example.org",
        ),
        (
            "From: ann@example.org\nCc: Bikes <bikes@lists.example>\n"
            "Reply-To: BIKES@lists.example\n",
            "ann@example.org",
        ),
        (
            "From: ann@example.org\nTo: bikes@lists.example\nReply-To: ann@home.example\n",
            "ann@home.example",
        ),
    ],
}


@pytest.mark.parametrize(("head", "address"), [case for cases in CASES.values() for case in cases])
def test_correspondent_is_the_writer(head: str, address: str) -> None:
    found = correspondent(read(head), OWN)
    assert found.address == address
    assert found.valid or not address

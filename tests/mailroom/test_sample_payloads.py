"""The samples of mails that were hard to read: an agent sees who wants what, and what to open."""

from __future__ import annotations

import re

import pytest

from eventlab.mailroom.payload import payload_of
from tests.support.mail import BY_NAME, read_sample

#: What each payload must have, in this order.
SHOWN = {
    "58-web-form": (
        "From: Shop <noreply@example.com>\nReply-To: Kim Muster <kim.muster@example.org>\n",
        "\nName  Kim Muster\nOrder  2025-4711\n",
        "\nthe lamp flickers:\n  - when it is cold\n  - when I dim it\n\nPlease send",
    ),
    "59-google-group": (
        "From: 'Karl Muster' via Support <support@example.com>\n"
        "Original sender: Karl Muster <karl@example.net>\n",
        "\nTo: support@example.com\nDelivered-To: agent@example.com\n",
        "\nCan I return it?\n",
    ),
    "60-order-table": (
        "\nArticle  Pieces  Price\nDesk lamp / white  12  19.90\nChair  4  89.00\n",
        "\n  1. call before you come\n",
        "\n  2. bring the invoice\n",
    ),
    "61-picture-newsletter": (
        "\nAutomatic: bulk",
        "\n\n[This email has pictures and no text: open it in Gmail.]\n",
        "\n[image: Up to 70 % off] (https://example.com/sale?id=77)\n",
    ),
    "62-react-comments": (
        "\nBooking AB-12 is confirmed.\n\nYou paid $12.50.\n",
        "\nOpen your ticket (https://example.net/tickets/AB-12)\n",
        " our desk (desk@example.net).\n",
    ),
    "63-forwarded-inline": (
        "From: Greta Muster <greta@example.org>\n",
        "\nIs it really from you?\n"[1:-1],
        "\nFrom: Parcel service <parcels@example.net>\n",
        "https://parcels.example.net/pay\n",
    ),
    "64-bounce-without-text": ("\nAutomatic: bounce", "\nAttachment: "),
    "65-exchange-out-of-office": ("\nAutomatic: reply", "\n\nI am back on 17 November."),
    "66-reaction": ("From: Anna Muster <anna@example.org>\n", "\nAutomatic: reaction", "👍"),
    "67-smime-opaque": ("\nAttachment: smime.p7m (application/pkcs7-mime", "\nGmail: "),
    "68-tnef": ("\nAttachment: winmail.dat (application/ms-tnef", "\nGmail: "),
    "69-iso-2022-jp": (
        "From: 田中花子 <tanaka@example.net>\n",
        "\nSubject: ㈱サンプルの注文①\n",
        "\n注文番号①の№5の商品（ﾗﾝﾌﾟ）が壊れていました。\n㈱サンプル 田中\n",
    ),
    "70-flowed": ("https://example.com/shop/cart?item=4711", "From my phone it works."),
    "71-calendar-invitation": ("\nAttachment: invite.ics", "\nCan you show us the lamp"),
    "72-long-thread": (
        "\n> 0000 what",
        " lines of quoted text left out: open the email in Gmail]\n",
        "\nPlease cancel the order NOW.\n\nTess\n",
    ),
}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_payload_of_a_sample_says_who_wants_what(name: str) -> None:
    payload = payload_of(read_sample(name))
    at = 0
    for words in SHOWN[name]:
        found = payload.find(words, at)
        assert found >= 0, f"not shown, or too early: {words!r}"
        at = found
    assert not re.search("[\ufffd<]/?[a-z]+>", payload)


def test_payload_of_a_sample_hides_what_nobody_should_read() -> None:
    shown = "".join(payload_of(read_sample(name)) for name in SHOWN)
    for words in ("Only this weekend", "Your ticket is inside", "utm_", "open.gif", "\u034f"):
        assert words not in shown


def test_each_sample_after_the_first_57_is_read_here() -> None:
    assert sorted(SHOWN) == sorted(BY_NAME)[57:]

"""The payload of a work item: what an agent needs from a mail, as plain text within the limit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlab.mailroom.mail.automatic import Automatic, Kind
from eventlab.mailroom.mail.body import NO_NAME, Attachment
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.payload import MAX_PAYLOAD_BYTES, payload_of
from tests.support.mail import BY_NAME, SNIPPET, multipart, read, read_sample, single

LINK = "https://mail.google.com/mail/u/0/#all/"
LONG = read_sample("50-long-text")


def test_payload_has_the_sender_subject_date_attachments_and_links() -> None:
    mail = read_sample("03-mixed-attachment")
    assert payload_of(mail) == (
        "From: Accounts <billing@example.net>\n"
        "To: Agent <agent@example.com>\n"
        "Subject: Invoice 2025-118\n"
        "Date: 2025-11-03 08:14 UTC\n"
        "Attachment: invoice-118.pdf (application/pdf, 816 bytes)\n"
        f"Thread: {mail.thread_id}\n"
        f"Gmail: {LINK}{mail.gmail_id}\n"
        "\n"
        "Please find our invoice attached. It is due in 30 days.\n"
    )


def test_payload_reports_that_a_mail_is_automatic_and_why() -> None:
    assert (
        "\nAutomatic: reply: an automatic reply, such as one from someone who is out of the office "
        "(Auto-Submitted: auto-replied)\n"
    ) in payload_of(read_sample("18-out-of-office"))


def test_payload_explains_each_kind_of_automatic_mail() -> None:
    mail = read_sample("18-out-of-office")
    for kind in get_args(Kind):
        shown = payload_of(replace(mail, automatic=Automatic(kind, "a sign")))
        assert re.search(rf"\nAutomatic: {kind}: [a-z ,]{{15,}} \(a sign\)\n", shown)


@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("message/delivery-status", "the mail server's report"),
        ("image/png", "an unnamed picture"),
        ("application/pdf", "an unnamed file"),
        ("x", "an unnamed file"),
        ("image", "an unnamed picture"),
    ],
)
def test_payload_says_what_an_attachment_without_a_name_is(type: str, name: str) -> None:
    mail = replace(read_sample("01-plain"), attachments=(Attachment(NO_NAME, type, 7),))
    assert f"\nAttachment: {name} ({type}, 7 bytes)\n" in payload_of(mail)


def test_payload_reports_why_a_mail_could_not_be_read() -> None:
    huge = {"id": "1", "sizeEstimate": 60_000_000, "snippet": SNIPPET, "payload": {}}
    payload = payload_of(Message.from_gmail(huge))
    assert "\nProblem: only the headers of the email were fetched" in payload
    assert payload.endswith("Gmail's first words & no more\n")


def test_payload_marks_a_missing_sender_or_subject() -> None:
    assert payload_of(read_sample("34-empty")).startswith("From: (unknown)\nSubject: (none)\n")
    assert payload_of(read_sample("33-odd-from")).startswith('From: <""@x>\n')


def test_payload_lists_20_attachments_and_counts_the_rest() -> None:
    file = b"Content-Type: application/x; name=a\r\n\r\nx"
    payload = payload_of(read(multipart("mixed", *[file] * 30)))
    assert payload.count("Attachment: a (") == 20
    assert "\nAttachment: and 10 more\n" in payload


def test_payload_cuts_the_middle_of_a_long_text_and_reports_the_bytes_left_out() -> None:
    payload = payload_of(LONG)
    assert MAX_PAYLOAD_BYTES - 500 < len(payload.encode()) <= MAX_PAYLOAD_BYTES
    start, missing, end = re.fullmatch(
        r"(.*)\n\n\[truncated: ([\d,]+) bytes were left out here, open the email in Gmail: "
        rf"{LINK}{LONG.gmail_id}\]\n\n(.*)\n",
        payload,
        re.DOTALL,
    ).groups()  # type: ignore[union-attr]
    body = start.partition("\n\n")[2]
    assert LONG.text.startswith(f"{body}\n")
    assert LONG.text.endswith(f"\n{end}")
    assert len(end) > 10_000
    kept = len(body.encode()) + len(end.encode())
    assert int(missing.replace(",", "")) == len(LONG.text.encode()) - kept


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("> old words of the shop\n" * 4000 + "\nCancel the order NOW", "Cancel the order NOW"),
        ("Cancel the order NOW\n\n" + "> old words\n" * 9000, "Cancel the order NOW"),
        ("> a?\nYes.\n" + "> old words\n" * 9000 + "No.\n> b?\nBye", "> a?\nYes."),
        ("x" * 90_000 + "\nCancel the order NOW", "Cancel the order NOW"),
        ("> " * 3_000_000 + "\nCancel the order NOW", "Cancel the order NOW"),
    ],
)
def test_payload_keeps_the_newest_words_when_it_is_cut(text: str, answer: str) -> None:
    payload = payload_of(replace(read_sample("01-plain"), text=text))
    assert len(payload.encode()) <= MAX_PAYLOAD_BYTES
    assert answer in payload
    assert "open the email in Gmail]" in payload or "open the email in Gmail: " in payload


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (b"Subject: call me\r\n\r\n", "[This email has no text.]"),
        (single(b"<p>&nbsp;</p>", "Content-Type: text/html"), "[This email has no text.]"),
        (
            multipart("mixed", b"Content-Type: application/pdf; name=a.pdf\r\n\r\nx"),
            "[This email has attachments and no text: open it in Gmail.]",
        ),
    ],
)
def test_payload_reports_that_a_mail_has_no_text(raw: bytes, note: str) -> None:
    assert payload_of(read(raw)).endswith(f"\n\n{note}\n")


def test_payload_shows_who_wrote_and_who_wants_the_answer() -> None:
    form = payload_of(
        read(
            b"From: Shop <noreply@example.com>\r\nReply-To: Kim <kim@example.org>\r\n"
            b"To: help@example.com\r\nCc: boss@example.com, Lee <lee@example.com>\r\n"
            b"Delivered-To: help+form@example.com\r\nDelivered-To: help@example.com\r\n"
            b"Subject: Contact form\r\n\r\nhi"
        )
    )
    assert form.startswith(
        "From: Shop <noreply@example.com>\n"
        "Reply-To: Kim <kim@example.org>\n"
        "To: help@example.com\n"
        "Cc: boss@example.com, Lee <lee@example.com>\n"
        "Delivered-To: help+form@example.com\n"
        "Subject: Contact form\n"
    )
    group = payload_of(
        read(
            b"From: 'Kim' via Help <help@example.com>\r\nX-Original-From: Kim <kim@example.org>"
            b"\r\nReply-To: KIM@example.org\r\nTo: help@example.com\r\n\r\nhi"
        )
    )
    assert "\nOriginal sender: Kim <kim@example.org>\nReply-To: KIM@example.org\n" in group


def test_payload_repeats_no_address_of_the_sender() -> None:
    mail = read(
        b"From: Kim <kim@example.org>\r\nReply-To: KIM@example.org\r\nTo: help@example.com\r\n"
        b"Delivered-To: HELP@example.com\r\n\r\nhi"
    )
    assert payload_of(mail).splitlines()[:3] == [
        "From: Kim <kim@example.org>",
        "To: help@example.com",
        "Subject: (none)",
    ]


def test_payload_lists_10_people_and_names_no_more() -> None:
    to = b", ".join(b"p%d@example.com" % n for n in range(40))
    payload = payload_of(read(b"To: " + to + b"\r\n\r\nhi"))
    assert "p9@example.com and others\n" in payload
    assert "p10@" not in payload
    odd = "\r\n".join(
        f"{name}: {'x' * 3000}\u202e =?utf-8?q?=0AGmail:?= <a@example.com>"
        for name in ("Reply-To", "To", "Cc", "Delivered-To")
    )
    payload = payload_of(read(f"From: b@example.com\r\n{odd}\r\n\r\nhi".encode()))
    assert [line.partition(":")[0] for line in payload.splitlines()[:4]] == [
        *("From", "Reply-To", "To", "Cc"),
    ]
    assert payload.count("\nGmail: ") == 1
    assert "\u202e" not in payload


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sale" + "\u034f \u200c\u00a0" * 90 + "\nnow", "Sale \nnow"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_payload_shows_no_filler_and_no_false_order(text: str, shown: str) -> None:
    payload = payload_of(replace(read_sample("01-plain"), text=text))
    assert payload.partition("\n\n")[2] == f"{shown}\n"


@given(st.integers(0, 3000))
def test_payload_keeps_within_any_limit_and_splits_no_character(limit: int) -> None:
    mail = read(single("€🌻ä".encode() * 300, "Content-Type: text/plain; charset=utf-8"))
    payload = payload_of(mail, max_bytes=limit)
    assert len(payload.encode()) <= limit
    assert "\ufffd" not in payload
    if limit > 300:
        assert "truncated" in payload or payload.endswith("€🌻ä\n")


@pytest.mark.parametrize("missing", [0, 1])
def test_payload_is_not_truncated_when_it_just_fits(missing: int) -> None:
    mail = read(single(b"word " * 200 + b"end"))
    size = len(payload_of(mail).encode())
    assert ("truncated" in payload_of(mail, max_bytes=size - missing)) is bool(missing)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_payload_has_no_control_characters(name: str) -> None:
    payload = payload_of(read_sample(name))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", payload)
    assert len(payload.encode()) <= MAX_PAYLOAD_BYTES


def test_payload_header_cannot_add_a_line() -> None:
    raw = (
        b"From: =?utf-8?q?a=0AGmail:_x?= <joe@example.com>\r\n"
        b"Subject: =?utf-8?q?b=0D=0AFrom:_ceo=E2=80=A8c?=\r\n\r\nhi"
    )
    assert payload_of(read(raw)).splitlines()[:2] == [
        "From: a Gmail: x <joe@example.com>",
        "Subject: b From: ceo c",
    ]
    odd = Message.from_gmail({"id": "1\n2", "threadId": "3\r4", "snippet": "hello"})
    assert payload_of(odd).splitlines()[-3:] == [f"Gmail: {LINK}1 2", "", "hello"]


def test_payload_cleans_the_fields_of_any_message() -> None:
    mail = replace(read_sample("01-plain"), subject="a\r\nGmail: b\x07", text="c\x00d\r\n\te\ud800")
    lines = payload_of(mail).splitlines()
    assert lines[2] == "Subject: a Gmail: b"
    assert lines[-2:] == ["cd", "    e\ufffd"]


def test_payload_cuts_a_long_header_line() -> None:
    payload = payload_of(read(f"From: {'x' * 5000}\r\nSubject: {'y' * 5000}\r\n\r\nhi".encode()))
    assert max(len(line) for line in payload.splitlines()) < 1020
    assert payload.endswith("\n\nhi\n")

"""The kind of a mail: for each kind a plain case, a similar one, and a misleading one."""

from __future__ import annotations

import base64

import pytest

from eventlab.mailroom.mail.automatic import automatic
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.mail.shape import Shape

JOE = "From: Joe <joe@example.com>\n"
TEXT = "\nPlease call me.\n"
BOUNCE = "From: MAILER-DAEMON@example.com\nContent-Type: multipart/report"
EXCHANGE = f"{JOE}Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n"
GROUP = (
    "From: 'Ann' via Support <support@example.com>\nX-Original-From: Ann <ann@example.org>\n"
    "Reply-To: Ann <ann@example.org>\nList-Id: <support.example.com>\nPrecedence: list\n"
    "X-Google-Group-Id: 123456\nList-Unsubscribe: <https://groups.google.com/x/unsubscribe>\n"
)
FORM = "From: noreply@shop.example\nReply-To: Customer <kim@example.org>\n"
OUTLOOK = f"{JOE}In-Reply-To: <1@shop.example>\nThread-Index: AdxY\nX-MS-Has-Attach: no\n"
REACTED = "\nJoe Doe reacted to your message:\n________________________________\nFrom: us\n"
MEETING = "text/calendar; charset=utf-8; method="


def mail(text: str) -> Message:
    raw = base64.urlsafe_b64encode(text.encode()).decode()
    return Message.from_gmail({"id": "18c2", "raw": raw})


def kind(text: str) -> str | None:
    found = mail(text).automatic
    assert found is None or ("@" not in found.reason and "\n" not in found.reason)
    return found.kind if found else None


def parts(*types: str, around: str = "multipart/mixed") -> str:
    shown = "".join(f"--b\nContent-Type: {type}\n\n{{}}\n" for type in types)
    return f"Content-Type: {around}; boundary=b\n\n{shown}--b--\n"


KINDS = {
    "person": (
        (f"{JOE}{TEXT}", None),
        (f"{JOE}X-Auto-Response-Suppress: All\nX-MS-Has-Attach: no\n{TEXT}", None),
        (f"{JOE}Feedback-ID: 1.eu-west-1.x:AmazonSES\n{TEXT}", None),
        (f"{JOE}Subject: Out of Office: what does it mean?\n{TEXT}", None),
    ),
    "reply": (
        (f"{JOE}Auto-Submitted: auto-replied\n{TEXT}", "reply"),
        (f"{EXCHANGE}X-MS-Exchange-Inbox-Rules-Loop: joe@example.com\n{TEXT}", "reply"),
        (f"{EXCHANGE}Subject: =?utf-8?Q?R=C3=A9ponse_automatique?= : Re: x\n{TEXT}", "reply"),
        (
            f"{JOE}X-Auto-Response-Suppress: All\nSubject: Automatische Antwort: x\n{TEXT}",
            "reply",
        ),
        (f"{EXCHANGE}Subject: Build 7 failed\nIn-Reply-To: <1@x.example>\n{TEXT}", "notice"),
    ),
    "bounce": (
        (f"{BOUNCE}; report-type=delivery-status; boundary=b\n\n--b--\n", "bounce"),
        (f"{BOUNCE}; boundary=b\n\n--b--\n", "bounce"),
        (f"{BOUNCE}; report-type=global-delivery-status; boundary=b\n\n--b--\n", "bounce"),
        (JOE + parts("message/global-delivery-status", around="multipart/report"), "bounce"),
        (f"{JOE}Content-Type: message/delivery-status\n\nAction: failed\n", "bounce"),
        (f"{JOE}Content-Type: message/disposition-notification\n\nx: y\n", "receipt"),
        (f"{JOE}Content-Type: multipart/report; boundary=b\n\n--b--\n", "notice"),
        # A person who forwards a bounce is a person.
        (f"{JOE}{parts('text/plain', 'message/delivery-status')}", None),
        (f"{JOE}Subject: from MAILER-DAEMON\nSender: mailer-daemon@example.com\n{TEXT}", None),
    ),
    "list": (
        (f"{JOE}List-Id: <bikes.example.org>\n{TEXT}", "list"),
        (f"{JOE}Precedence: list\n{TEXT}", "list"),
        (f"{GROUP}{TEXT}", None),
        (f"{GROUP.replace('X-Google-Group-Id: 123456', 'X: y')}{TEXT}", None),
        (
            f"{GROUP.replace('X-Google-Group-Id:', 'X:').replace('X-Original-From', 'X-Y')}{TEXT}",
            "list",
        ),
        (
            f"{JOE}List-Id: <x.example>\nList-Post: <https://groups.google.com/g/x>\n{TEXT}",
            None,
        ),
        (f"{GROUP}Auto-Submitted: auto-replied\n{TEXT}", "reply"),
        (f"{GROUP.replace('ann@', 'no-reply@')}{TEXT}", "notice"),
    ),
    "bulk": (
        (f"{JOE}List-Unsubscribe: <https://news.example/u>\n{TEXT}", "bulk"),
        (f"{JOE}Precedence: bulk\n{TEXT}", "bulk"),
        (f"{JOE}X-Campaign-Id: 7\n{TEXT}", "bulk"),
        (f"{JOE}Feedback-ID: 1:2\nX-Auto-Response-Suppress: OOF\n{TEXT}", "bulk"),
        (f"{FORM}List-Unsubscribe: <https://news.example/u>\n{TEXT}", "bulk"),
    ),
    "notice": (
        (f"{JOE}Auto-Submitted: auto-generated\n{TEXT}", "notice"),
        (f"{JOE}Return-Path: <>\n{TEXT}", "notice"),
        (f"From: no-reply@shop.example\n{TEXT}", "notice"),
        (f"From: noreply@shop.example\nReply-To: help@shop.example\n{TEXT}", "notice"),
        (f"{FORM}{TEXT}", None),  # a web form
        (f"From: noreply@shop.example\nReply-To: a@example.org, b@example.org\n{TEXT}", "notice"),
        (f"From: noreply@shop.example\nReply-To: no-reply@example.org\n{TEXT}", "notice"),
        (f"From: noreply@shop.example\nReply-To: <nobody@-.->\n{TEXT}", "notice"),
    ),
    "reaction": (
        (
            JOE
            + parts(
                "text/plain", "text/vnd.google.email-reaction+json", around="multipart/alternative"
            ),
            "reaction",
        ),
        (f"{JOE}Content-Disposition: reaction\nContent-Type: text/plain\n\n👍\n", "reaction"),
        (f"{OUTLOOK}{REACTED}", "reaction"),
        (f"{OUTLOOK}\nJoe Doe reacted to your message\n", "reaction"),
        (
            f"{OUTLOOK}Content-Type: text/html\n\n<div><img src='x' alt='thumbs up'></div>"
            "<div>Joe Doe reacted to your message:</div><hr>"
            "<div><b>From:</b> us<br><b>Sent:</b> Monday</div>\n",
            "reaction",
        ),
        (
            f"{OUTLOOK}Content-Type: text/html\n\n<p>Joe Doe <img alt='👍'> reacted to your"
            " message:</p><blockquote>hello</blockquote>\n",
            "reaction",
        ),
        (f"{OUTLOOK}\nI do not know why Joe reacted to your message: do you?\n", None),
        (f"{OUTLOOK}\n{'x' * 5000}\nJoe reacted to your message:\n", None),
        # With words of one's own, without Outlook, or forwarded: a person.
        (f"{OUTLOOK}\nJoe Doe reacted to your message:\nand so do I: call me\n", None),
        (f"{JOE}{REACTED}", None),
        (
            f"{JOE}Content-Type: message/rfc822\n\nContent-Type: "
            "text/vnd.google.email-reaction+json\n\n{}\n",
            None,
        ),
    ),
    "calendar": (
        (
            JOE + parts("text/plain", f"{MEETING}REQUEST", around="multipart/alternative"),
            "calendar",
        ),
        (f"{JOE}Content-Type: {MEETING}Reply\n\nBEGIN:VCALENDAR\n", "calendar"),
        # A booking with a file for the calendar, and a calendar that only informs.
        (f"{JOE}{parts('text/plain', MEETING + 'REQUEST')}", None),
        (f"{JOE}Content-Type: {MEETING}PUBLISH\n\nBEGIN:VCALENDAR\n", None),
        (f"{JOE}Content-Type: {MEETING}{'x' * 5000}\n\nBEGIN:VCALENDAR\n", None),
    ),
    "complaint": (
        (
            f"{JOE}Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n",
            "complaint",
        ),
        (JOE + parts("message/feedback-report", around="multipart/report"), "complaint"),
        (f"{JOE}{parts('text/plain', 'message/feedback-report')}", None),
    ),
}


@pytest.mark.parametrize(("text", "expected"), [case for cases in KINDS.values() for case in cases])
def test_kind_of_a_mail_is_recognized(text: str, expected: str | None) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize("name", [name for name in KINDS if name != "person"])
def test_each_kind_has_positive_and_negative_examples(name: str) -> None:
    found = [expected for _text, expected in KINDS[name]]
    assert len(found) >= 3
    assert name in found


def test_reaction_deep_in_a_mail_of_many_parts_is_not_searched_for() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(60))
    assert kind(f"{JOE}{deep}Content-Type: text/vnd.google.email-reaction+json\n\n{{}}\n") is None
    assert kind(JOE + parts(*["text/plain"] * 3000)) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"auto-submitted": "auto-replied; owner=joe@example.com"}, "reply"),
        ({"auto-submitted": "auto-generated"}, "notice"),
        ({"auto-submitted": "auto-notified"}, "notice"),
        ({"auto-submitted": "NO"}, None),
        ({"auto-submitted": "joe@example.com"}, "notice"),
        ({"x-autorespond": "yes"}, "reply"),
        ({"x-autoreply": "no"}, None),
        ({"precedence": "auto_reply"}, "reply"),
        ({"precedence": "bulk"}, "bulk"),
        ({"precedence": "junk"}, "bulk"),
        ({"precedence": "list"}, "list"),
        ({"precedence": "first-class"}, None),
        ({"list-id": "<a.example.com>"}, "list"),
        ({"list-id": "<a.example.com>", "auto-submitted": "auto-replied"}, "reply"),
        ({"list-unsubscribe": "<mailto:x@example.com>"}, "bulk"),
        ({"feedback-id": "1:2"}, None),
        ({"x-auto-response-suppress": "OOF, DR"}, None),
        ({"return-path": "<>"}, "notice"),
        ({"return-path": "<joe@example.com>"}, None),
        ({"x-failed-recipients": "joe@example.com"}, "bounce"),
        ({}, None),
    ],
)
def test_automatic_mail_is_classified_by_its_headers(
    headers: dict[str, str], expected: str | None
) -> None:
    listed = {name: [value] for name, value in headers.items()}
    found = automatic(listed, shape=Shape(), sender="joe@example.com")
    assert (found.kind if found else None) == expected
    assert "@" not in (found.reason if found else "")


def test_automatic_reason_quotes_no_address() -> None:
    headers = {"auto-submitted": ["joe@example.com"], "precedence": ["bulk.joe@example.com"]}
    found = automatic(headers, shape=Shape(), sender="")
    assert found is not None
    assert found.reason == "Auto-Submitted: unknown"


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("MAILER-DAEMON@example.com", "bounce"),
        ("postmaster@example.com", "bounce"),
        ("no-reply@example.com", "notice"),
        ("joe@example.com", None),
        ("", None),
    ],
)
def test_automatic_sender_is_recognized_by_its_address(sender: str, expected: str | None) -> None:
    found = automatic({}, shape=Shape(), sender=sender)
    assert (found.kind if found else None) == expected

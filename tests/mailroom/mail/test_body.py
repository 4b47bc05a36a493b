"""The text that an agent reads: its form, its order, and the note if there is none."""

from __future__ import annotations

import base64
import quopri

import pytest

from eventlab.mailroom.mail.flowed import unflowed
from tests.support.mail import multipart, read, single

WHERE = "open it in Gmail"
PLAIN = b"\r\nplain words"


# ------------------------------------------------------------------------------------ format=flowed


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        ("> one \n> two\n>> three \nfour", "> one two\n>> three\nfour"),
        (" From me \n you\n >not a quote", "From me you\n>not a quote"),
        ("words \n-- \nJoe \nDoe", "words \n-- \nJoe Doe"),
        ("> words \n> -- \n> Joe", "> words\n> --\n> Joe"),
        ("one \n\ntwo ", "one \ntwo "),
        (">" * 5000 + " x \n" + ">" * 5000 + "y", ">" * 5000 + " x y"),
        ("", ""),
    ],
)
def test_unflowed_joins_the_lines_of_a_paragraph(text: str, joined: str) -> None:
    assert unflowed(text) == joined


def test_unflowed_joins_a_hundred_thousand_lines() -> None:
    assert unflowed("word \n" * 100_000).count("\n") == 0
    assert unflowed("> \n" * 100_000).count("\n") <= 100_000


def test_message_joins_a_link_that_apple_mail_broke() -> None:
    body = b"See https://shop.example.com/orders/ \r\n4711?confirm=yes\r\nBye \r\n"
    raw = single(body, "Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes")
    assert read(raw).text == "See https://shop.example.com/orders/4711?confirm=yes\nBye"
    raw = single(body, 'Content-Type: text/plain; format="Flowed"; DelSp=no')
    assert read(raw).text == "See https://shop.example.com/orders/ 4711?confirm=yes\nBye"
    raw = single(body, "Content-Type: text/plain; format=fixed; delsp=yes")
    assert read(raw).text.count("\n") == 2


# ----------------------------------------------------------------------------- which form of a text


def alternative(plain: str, page: str) -> bytes:
    html = f"Content-Type: text/html; charset=utf-8\r\n\r\n{page}"
    text = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{plain}"
    return multipart("alternative", text.encode(), html.encode())


@pytest.mark.parametrize(
    ("plain", "page"),
    [
        ("Your client does not support HTML", "<p>Please cancel order 4711"),
        ("Please view this mail in a browser.", "<p>" + "Your order has left us today. " * 20),
        ("Dieses Programm kann kein HTML.", "<p>Bitte stornieren Sie die Bestellung"),
        ("View: https://x.example/1", "<h1>Rechnung 17</h1><p>Bezahlen Sie bis Freitag 20 Euro"),
        (" \u00a0 ", "<p>words"),
    ],
)
def test_message_shows_the_html_when_the_plain_text_is_a_stub(plain: str, page: str) -> None:
    mail = read(alternative(plain, page))
    assert mail.text.startswith(read(single(page.encode(), "Content-Type: text/html")).text)


@pytest.mark.parametrize(
    ("plain", "page"),
    [
        ("Please cancel order 4711", "<p>Please <b>cancel</b> order 4711"),
        ("Thanks!", "<p>Thanks!"),
        ("Thanks!\n\n> Where is my order?", "<p>Thanks!<blockquote>Where is my order?"),
        ("words", "<img src=x>"),
        ("words of a person", "<a href='https://x.example/1'><img src=x></a>"),
        ("words", "<p> "),
        ("one two three " * 100, "<p>four five six"),
    ],
)
def test_message_shows_the_plain_text_when_it_says_what_the_html_says(
    plain: str, page: str
) -> None:
    assert read(alternative(plain, page)).text == plain.strip()


# -------------------------------------------------------------------------------- texts with a name


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        ("Content-Type: text/plain; name=body.txt\r\nContent-Disposition: inline", True),
        ("Content-Disposition: INLINE (x); filename=body.txt", True),
        ("Content-Type: text/html; name=body.htm\r\nContent-Disposition: inline", True),
        ("Content-Type: text/plain; name=body.txt\r\nContent-Disposition: attachment", False),
        ("Content-Type: text/plain; name=body.txt", True),
        ("Content-Type: text/html; name=body.htm", False),
        ("Content-Type: text/csv; name=a.csv\r\nContent-Disposition: inline", False),
    ],
)
def test_message_shows_an_inline_text_with_a_name(head: str, shown: bool) -> None:
    mail = read(multipart("mixed", head.encode() + b"\r\n\r\nwords of a file", b"\r\nfooter"))
    assert mail.text == ("words of a file\n\nfooter" if shown else "footer")
    assert len(mail.attachments) == 1


def test_message_only_lists_a_long_inline_text_with_a_name() -> None:
    head = b"Content-Disposition: inline; filename=log.txt\r\n\r\n"
    mail = read(multipart("mixed", head + b"line\r\n" * 20_000, PLAIN))
    assert (mail.text, mail.attachments[0].name) == ("plain words", "log.txt")


# ----------------------------------------------------------------------------- a mail within a mail

INNER = (
    "From: Ann <ann@example.org>\r\nTo: Bob <bob@example.org>\r\n"
    "Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\nGröße 42, bitte.\r\n"
).encode()
HEADING = (
    "---------- {} message ----------\nFrom: Ann <ann@example.org>\nTo: Bob <bob@example.org>\n"
    "Date: Mon, 23 Nov 2026 10:00:00 +0100\nSubject: Größe\n\nGröße 42, bitte."
)


@pytest.mark.parametrize("type", ["message/rfc822", "message/global", "MESSAGE/RFC822; x=y"])
@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
def test_message_shows_a_forwarded_mail_under_its_own_headers(type: str, encoding: str) -> None:
    content = {
        "7bit": INNER,
        "base64": base64.encodebytes(INNER),
        "quoted-printable": quopri.encodestring(INNER),
    }[encoding]
    head = f"Content-Type: {type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    mail = read(multipart("mixed", PLAIN, head + content))
    assert mail.text == f"plain words\n\n{HEADING.format('Forwarded')}"
    assert mail.attachments[0].name == "Größe"
    assert read(multipart("mixed", head + content)).text == HEADING.format("Forwarded")


def test_message_names_the_attachments_of_a_forwarded_mail() -> None:
    file = b"Content-Type: application/pdf; name=offer.pdf\r\n\r\nx"
    inner = b"Content-Type: message/rfc822\r\n\r\nSubject: offer\r\n"
    inner += multipart("mixed", file).replace(b"boundary=b", b"boundary=c").replace(b"--b", b"--c")
    text = read(multipart("mixed", PLAIN, inner)).text
    assert "\nSubject: offer\nAttachment: offer.pdf\n" in text


def test_message_shows_twenty_mails_of_a_digest() -> None:
    mails = [b"\r\nSubject: mail %d\r\n\r\nwords %d" % (n, n) for n in range(30)]
    text = read(multipart("digest", *mails)).text
    assert text.count("Subject: mail") == 20
    assert "words 19" in text
    assert "words 20" not in text
    assert text.endswith("left out: open it in Gmail.]")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no headers", b"Subject: \r\n\r\n"])
def test_message_reads_a_mail_within_it_without_headers(content: bytes) -> None:
    for encoding in (b"", b"Content-Transfer-Encoding: base64\r\n"):
        inner = b"Content-Type: message/rfc822\r\n" + encoding + b"\r\n" + content
        assert read(multipart("mixed", PLAIN, inner)).text.startswith("plain words")


# ------------------------------------------------------------------------------------------ reports

STATUS = (
    b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"
    b"Final-Recipient: rfc822; ann@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    b"Diagnostic-Code: smtp; 550 5.1.1\r\n no such mailbox\r\n\r\n"
    b"Final-Recipient: rfc822; bob@example.org\r\nAction: delayed\r\nStatus: 4.4.7\r\n"
)
FAILED = (
    "Delivery failed: ann@example.org (status 5.1.1; smtp; 550 5.1.1 no such mailbox)\n"
    "Delivery delayed: bob@example.org (status 4.4.7)"
)
RETURNED = b"Content-Type: message/rfc822\r\n\r\n" + INNER


def test_message_says_first_what_became_of_a_mail() -> None:
    words = b"\r\nYour mail was not delivered."
    mail = read(multipart("report; report-type=delivery-status", words, STATUS, RETURNED))
    returned = HEADING.format("Returned")
    assert mail.text == f"{FAILED}\n\nYour mail was not delivered.\n\n{returned}"


@pytest.mark.parametrize("encoding", ["", "base64", "quoted-printable"])
def test_message_reads_a_report_without_a_text(encoding: str) -> None:
    head, _empty, content = STATUS.partition(b"\r\n\r\n")
    encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}
    status = encode[encoding](content) if encoding else content
    part = head + f"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + status
    assert read(multipart("report", part, RETURNED)).text.startswith(f"{FAILED}\n\n------")
    assert read(part).text == FAILED


def test_message_shows_only_the_headers_that_a_report_returns() -> None:
    headers = b"Content-Type: text/rfc822-headers\r\n\r\n" + INNER.partition(b"\r\n\r\n")[0]
    text = read(multipart("report", STATUS, headers)).text
    assert text == f"{FAILED}\n\n{HEADING.format('Returned').partition(chr(10) * 2)[0]}"


@pytest.mark.parametrize(
    ("type", "content", "text"),
    [
        (
            "message/global-delivery-status",
            "Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: utf-8; jörg@x.example\r\nAction: failed",
            "Delivery failed: jörg@x.example",
        ),
        (
            "message/disposition-notification",
            "Final-Recipient: rfc822;ann@x.example\r\n"
            "Disposition: manual-action/MDN-sent-manually; displayed",
            "Receipt from ann@x.example: displayed",
        ),
        (
            "message/feedback-report",
            "Feedback-Type: abuse\r\nOriginal-Mail-From: <shop@x.example>",
            "Complaint (abuse) about an email from <shop@x.example>",
        ),
        ("message/delivery-status", "", ""),
        ("message/delivery-status", "nonsense\r\n\r\n: x\r\n\r\n\xff", ""),
        ("message/feedback-report", "Version: 1", ""),
    ],
)
def test_message_reads_reports_of_all_kinds(type: str, content: str, text: str) -> None:
    raw = f"Content-Type: {type}\r\n\r\n{content}".encode()
    assert read(raw).text == text


def test_message_lists_twenty_recipients_of_a_report() -> None:
    blocks = b"".join(
        b"\r\nFinal-Recipient: x; a%d@x\r\nAction: failed\r\n" % n for n in range(900)
    )
    text = read(b"Content-Type: message/delivery-status\r\n\r\nX: y\r\n" + blocks).text
    assert 20 <= text.count("Delivery failed") <= 21


# ---------------------------------------------------------- text that only another program can show

OPAQUE = b"Content-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHAqCAMIACAQExDzANBg=="


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"Content-Type: application/pkcs7-mime; smime-type=signed-data", "signed with S/MIME"),
        (b"Content-Type: application/x-pkcs7-mime; name=smime.p7m", "encrypted with S/MIME"),
        (
            b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
            "encrypted with S/MIME",
        ),
        (b"Content-Type: application/ms-tnef; name=winmail.dat", "Outlook's own format"),
        (b"Content-Type: application/octet-stream; name=winmail.dat", "Outlook's own format"),
        (b"Content-Type: image/png; name=a.png", "pictures and no text"),
        (b"Content-Type: application/pdf; name=a.pdf", "attachments and no text"),
    ],
)
def test_message_says_why_it_has_no_text(raw: bytes, says: str) -> None:
    for mail in (read(raw + b"\r\n" + OPAQUE), read(multipart("mixed", raw + b"\r\n" + OPAQUE))):
        assert says in mail.text
        assert mail.text.endswith(f"{WHERE}.]")
        assert len(mail.attachments) == 1


def test_message_says_that_it_is_encrypted_beside_the_footer_of_a_list() -> None:
    pgp = multipart(
        "encrypted; protocol=application/pgp-encrypted",
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1",
        b"Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----",
    ).partition(b"\r\n")[2]
    text = read(
        multipart("mixed", pgp.replace(b"boundary=b", b"boundary=c").replace(b"--b", b"--c"), PLAIN)
    ).text
    assert text.startswith("[This email is encrypted with OpenPGP")
    assert text.endswith(f"{WHERE}.]\n\nplain words")


def test_message_shows_only_the_first_text_that_has_a_name_and_no_disposition() -> None:
    file = b"Content-Type: text/plain; name=%s.txt\r\n\r\nwords of %s"
    mail = read(multipart("mixed", file % (b"a", b"a"), file % (b"b", b"b")))
    assert (mail.text, len(mail.attachments)) == ("words of a", 2)
    assert read(multipart("mixed", PLAIN, file % (b"a", b"a"))).text == "plain words"


@pytest.mark.parametrize("text", ["{}\r\n\r\nhQEMA", "Hello,\r\n{}", "> {}"])
def test_message_says_that_its_text_is_encrypted(text: str) -> None:
    body = text.format("-----BEGIN PGP MESSAGE-----").encode()
    assert read(single(body)).text.startswith("[This email is encrypted with OpenPGP")
    assert not read(single(b"-----BEGIN PGP SIGNED MESSAGE-----")).text.startswith("[")


@pytest.mark.parametrize("part", [b"image/png", b"application/ms-tnef", b"application/pdf"])
def test_message_says_nothing_of_attachments_beside_a_text(part: bytes) -> None:
    file = b"Content-Type: " + part + b"; name=a\r\n" + OPAQUE
    assert read(multipart("mixed", PLAIN, file)).text == "plain words"


def test_message_without_anything_has_no_text() -> None:
    assert read(b"").text == ""
    assert read(multipart("mixed")).text == ""
    assert read(multipart("mixed", b"Content-Type: image/png\r\n\r\n")).text == ""

"""A mail's headers and parts are found, whatever a program did to them; the work is bounded."""

from __future__ import annotations

import base64
import quopri
import tracemalloc

import pytest

from eventlab.mailroom.mail import mime
from eventlab.mailroom.mail.message import Attachment, Message
from eventlab.mailroom.mail.mime import MAX_PARTS, MAX_SEARCHED, parse
from tests.support.mail import multipart, read, resource, single

LEFT_OUT = "[Some parts of this email were left out: open it in Gmail.]"


@pytest.mark.parametrize(
    "bad",
    [
        "this line is no header",
        "not a header: although it has a colon",
        "From joe@example.com Thu Nov 26 10:00:00 2026",
        ": nothing before the colon",
        "X-\xe4: a name that is not ASCII",
        "a bad line\r\n with a fold",
        "\x00\x01\x02",
        "=?utf-8?q?a: b?=",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_message_is_read_past_a_bad_header_line(bad: str, first: bool) -> None:
    lines = ["From: Joe <joe@example.com>", "Subject: hello", "Auto-Submitted: auto-replied"]
    lines.insert(0 if first else 2, bad)
    head = "\r\n".join(lines).encode("latin-1")
    mail = read(head + b"\r\nContent-Type: text/html\r\n\r\n<p>words")
    assert (mail.sender_address, mail.subject, mail.text) == ("joe@example.com", "hello", "words")
    assert mail.automatic is not None


@pytest.mark.parametrize("blank", [" ", "\t", "  \t "])
def test_message_reads_headers_with_a_blank_before_the_colon(blank: str) -> None:
    raw = f"From{blank}: joe@example.com\r\nSubject{blank}:hello\r\nContent-Type{blank}: text/html"
    mail = read(raw.encode() + b"\r\n\r\n<p>words")
    assert (mail.sender_address, mail.subject, mail.text) == ("joe@example.com", "hello", "words")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\r\n"])
def test_message_is_read_with_any_line_ends(end: str) -> None:
    lines = [
        "Subject: hello",
        " you",
        "Content-Type: multipart/mixed;",
        "\tboundary=b",
        "",
        "--b",
        "",
        "one",
        "--b",
        "Content-Type: text/html",
        "",
        "<p>two",
        "--b--",
        "",
    ]
    mail = read(end.join(lines).encode())
    assert (mail.subject, mail.text) == ("hello you", "one\n\ntwo")


@pytest.mark.parametrize(
    ("raw", "subject", "text"),
    [
        (b"\r\n\r\nSubject: hello\r\n\r\nwords", "hello", "words"),
        (b" \nSubject: hello\n\nwords", "hello", "words"),
        (b"Subject: hello\r\n  \r\n you\r\n\r\nwords", "hello you", "words"),  # RFC 5322, A.6.3
        (b"Subject: hello\r\n  \r\nwords: of a text", "hello", "words: of a text"),
        (b"Subject: hello\r\nwords of a text", "hello", "words of a text"),
        (b"Subject: hello\r\nDear Ann,\r\nyes.\r\n\r\nJoe", "hello", "Dear Ann,\nyes.\n\nJoe"),
        (b"words of a text", "", "words of a text"),
        (b"Subject: hello", "hello", ""),
        (b"Subject: one\r\nSubject: two\r\n\r\n", "one", ""),
        (b"\r\n \r\n\t\r\n", "", ""),
    ],
)
def test_message_finds_where_the_headers_end(raw: bytes, subject: str, text: str) -> None:
    mail = read(raw)
    assert (mail.subject, mail.text) == (subject, text)


@pytest.mark.parametrize(
    "value",
    [
        "quoted-printable ",
        " \r\n quoted-printable",
        "quoted-printable (a comment (in a comment))",
        "(so they say) Quoted-Printable",
        '"quoted-printable"',
        "quoted-printable;",
        "quoted-printable; charset=utf-8",
        "quoted_printable",
    ],
)
def test_message_decodes_quoted_printable_however_it_is_declared(value: str) -> None:
    raw = single(
        b"caf=C3=A9 =\r\nol=C3=A9=20\r\nen= \t\r\nd \t\r\n", f"Content-Transfer-Encoding: {value}"
    )
    assert read(raw).text == "café olé \nend"


@pytest.mark.parametrize(
    "value", ["base64 ", '"base64"', "base64;", "(x) BASE64 (y)", " \r\n\tbase64", "base-64"]
)
def test_message_decodes_base64_however_it_is_declared(value: str) -> None:
    raw = single(base64.b64encode("café olé".encode()), f"Content-Transfer-Encoding: {value}")
    assert read(raw).text == "café olé"


@pytest.mark.parametrize("value", ["8bit", "7bit (x)", "x-unknown", "", "\xff", "base64url"])
def test_message_leaves_a_text_that_is_not_encoded(value: str) -> None:
    assert read(single(b"a=20b", f"Content-Transfer-Encoding: {value}")).text == "a=20b"


@pytest.mark.parametrize(
    ("header", "type"),
    [
        ("text/html; charset=utf-8", "text/html"),
        ("text/html (a page); charset=utf-8", "text/html"),
        ("(a page) text / html", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("text/html charset=utf-8", "text/html"),
        ("text", "text/plain"),
        ("nonsense; charset=x", "text/plain"),
        ("/", "text/plain"),
        ('"text/html"', "text/plain"),
    ],
)
def test_mail_part_has_a_type(header: str, type: str) -> None:
    assert parse(f"Content-Type: {header}\r\n\r\n".encode()).type == type


@pytest.mark.parametrize(
    ("header", "charset"),
    [
        ("text/plain; charset=koi8-r", "koi8-r"),
        ("text/plain; charset=koi8-r (Russian)", "koi8-r"),
        ('text/plain; charset="koi8-r"; format=flowed', "koi8-r"),
        ("text/plain charset=koi8-r", "koi8-r"),
        ("text/plain, charset=koi8-r", "koi8-r"),
        ("text/plain; charset*=us-ascii''koi8-r", "koi8-r"),
        ("text/plain; xcharset=koi8-r", ""),
        ("text/plain; charset", ""),
    ],
)
def test_mail_part_has_its_parameters(header: str, charset: str) -> None:
    assert parse(f"Content-Type: {header}\r\n\r\n".encode()).parameter("charset").strip() == charset


def test_attachment_keeps_brackets_in_its_name() -> None:
    file = b"Content-Type: application/pdf; name=offer (1).pdf\r\n\r\nx"
    assert read(multipart("mixed", file)).attachments[0].name == "offer (1).pdf"


# -------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    "head",
    [
        "multipart/mixed",
        "multipart/mixed; boundary=other",
        "multipart; boundary=b",
        'multipart/mixed; boundary=""',
        "multipart/mixed boundary=b",
    ],
)
def test_message_finds_the_parts_when_the_boundary_is_not_the_declared_one(head: str) -> None:
    part = b"Content-Type: text/html\r\n\r\n<p>words"
    raw = f"Content-Type: {head}\r\n\r\n".encode() + b"--b\r\n" + part + b"\r\n--b--\r\n"
    mail = read(raw)
    assert (mail.text, bool(mail.html)) == ("words", True)


def test_message_shows_a_multipart_without_any_boundary_beside_other_texts() -> None:
    inner = b"Content-Type: multipart/related; boundary=none\r\n\r\nthe words"
    text = read(multipart("mixed", inner, b"\r\na footer")).text
    assert text == "the words\n\na footer"


@pytest.mark.parametrize("trailing", [b"", b" ", b"\t \t", b"-"])
def test_message_finds_a_boundary_with_trailing_blanks_only(trailing: bytes) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b" + trailing
    mail = read(raw + b"\r\n\r\ntwo\r\n--b--\r\n")
    assert mail.text == ("one\n--b-\n\ntwo" if trailing == b"-" else "one\n\ntwo")


def test_message_reads_parts_that_are_encoded_although_they_must_not_be() -> None:
    inner = multipart("mixed", b"Content-Type: text/html\r\n\r\n<p>words").partition(b"\r\n")[2]
    head, _empty, body = inner.partition(b"\r\n\r\n")
    raw = head + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(body)
    assert read(raw).text == "words"


def test_message_reads_a_thousand_parts_and_says_that_more_are_left_out() -> None:
    raw = multipart("mixed", *[b"\r\nx"] * (MAX_PARTS + 500))
    text = read(raw).text
    assert text.count("x") == MAX_PARTS - 1
    assert text.endswith(LEFT_OUT)


def test_parse_searches_a_bounded_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level of nesting is searched again: fifty levels of 50 MB would be too many."""
    searched: list[int] = []
    marks = mime._boundary_lines

    def counted(part: mime.MailPart, boundary: bytes) -> list[tuple[int, int, bool]]:
        searched.append(part.end - part.start)
        return marks(part, boundary)

    monkeypatch.setattr(mime, "_boundary_lines", counted)
    monkeypatch.setattr(mime, "MAX_SEARCHED", MAX_SEARCHED // 1000)
    nest = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(40)
    )
    mail = read(b"Subject: nest\r\n" + nest + b"x" * 50_000)
    assert 5 < len(searched) < 20
    assert sum(searched) <= MAX_SEARCHED // 1000
    assert (mail.subject, mail.text) == ("nest", LEFT_OUT)


def test_message_keeps_the_text_of_a_mail_of_50_mb() -> None:
    photo = b"Content-Type: image/jpeg; name=a.jpg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    line = base64.b64encode(b"\xff" * 57) + b"\r\n"
    count = 50 * 1024 * 1024 // len(line)
    response = resource(multipart("mixed", b"\r\nhello", photo + line * count))
    tracemalloc.start()
    try:
        mail = Message.from_gmail(response)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024  # besides the response
    assert (mail.text, mail.problem) == ("hello", None)
    assert mail.attachments == (Attachment("a.jpg", "image/jpeg", 57 * count),)


def test_message_keeps_both_ends_of_a_text_of_5_mb() -> None:
    text = read(b"Subject: long\r\n\r\nthe beginning\r\n" + b"word\r\n" * 900_000 + b"the end").text
    assert text.startswith("the beginning\nword\n")
    assert text.endswith(f"word\nthe end\n\n{LEFT_OUT}")
    assert len(text) < 2_000_000


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_message_keeps_the_text_of_a_page_with_a_photo_in_it(encoding: str) -> None:
    photo = base64.b64encode(b"\xff" * 3_000_000)
    page = b"<p>before<img alt='' src='data:image/jpeg;base64," + photo + b"'>\r\n<p>after"
    encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}
    content = encode[encoding](page) if encoding in encode else page
    head = ("Content-Type: text/html", f"Content-Transfer-Encoding: {encoding}")
    assert read(single(content, *head)).text.split() == ["before", "after"]


def test_message_reads_a_bounded_part_of_a_page_of_12_mb() -> None:
    mail = read(single(b"<p>words\r\n" * 1_200_000, "Content-Type: text/html"))
    assert len(mail.html) <= 4 * 1024 * 1024
    assert "left out" in mail.text


def test_message_keeps_a_page_with_a_small_picture_as_received() -> None:
    page = b"<p>words<img alt='' src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
    assert read(single(page, "Content-Type: text/html")).html == page.decode()


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: text/html\r\n\r\n" + b"data:image/x;base64," * 300_000,
        b"Subject: x\r\n" + b" \r\n" * 200_000 + b"From: x",
        b" \n" * 500_000,
        b"X-A: b\r\n" + b" a\r\n" * 500_000,
        b"X-A: b\r\n" * 500_000,
        b"bad line\r\n" * 500_000,
        b"Content-Type: multipart/mixed; boundary=" + b"-" * 60 + b"\r\n\r\n" + b"-" * 3_000_000,
        b"Content-Type: multipart/mixed\r\n\r\n" + b"--x\r\n" * 500_000,
        b"Content-Transfer-Encoding: " + b"(" * 300_000 + b"\r\n\r\nx",
        b"Content-Type: text/plain;" + b" a=b;" * 300_000 + b"\r\n\r\nx",
        b"Content-Type: message/rfc822\r\n\r\n" * 100_000,
        b"Content-Type: message/delivery-status\r\n\r\n" + b"Action: x\r\n\r\n" * 300_000,
        b"\r" * 3_000_000,
    ],
)
def test_message_is_read_from_millions_of_hostile_bytes(raw: bytes) -> None:
    assert read(raw).problem is None  # quadratic work would take hours

"""The content of a part is decoded, and a text is kept when it is not what its header says."""

from __future__ import annotations

import base64
import binascii
import os
import uuid

import pytest

from eventlab.mailroom.mail.encoding import CHUNK, decoded, decoded_size, decoded_text
from eventlab.mailroom.mail.header import words
from tests.support.mail import multipart, read, single

GREETING = "Grüße aus Köln, und bis morgen!\r\n" * 5
ENCODED = base64.encodebytes(GREETING.encode())
FOOTER = b"_______________\r\nSupport mailing list\r\nhttps://lists.example.org/support\r\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ENCODED + FOOTER, GREETING + FOOTER.decode()),
        (ENCODED + b"\r\n\r\n-- \r\nlist\r\n", GREETING + "-- \nlist"),
        (b"Checked by VirusScan\r\n" + ENCODED, "Checked by VirusScan\n" + GREETING),
        (ENCODED.replace(b"\n", b" \n") + b"No virus found.", GREETING + "No virus found."),
        (base64.b64encode(b"Hello you, all well?!") + b"\r\nlist", "Hello you, all well?!\nlist"),
        (ENCODED[:100] + b"!" + ENCODED[100:], GREETING),
        (ENCODED + ENCODED, GREETING + GREETING),
        (ENCODED + b"Unsubscribe\r\n", GREETING + "Unsubscribe"),
    ],
)
def test_message_reads_base64_with_plain_text_around_it(body: bytes, text: str) -> None:
    read_text = read(single(body, "Content-Transfer-Encoding: base64")).text
    assert read_text.split() == text.split()


@pytest.mark.parametrize(
    "text",
    [
        "Dear Ann,\nwhere is my order? I have waited for three weeks.\nJoe",
        "Hello",
        "Thank you",
        "Où est ma commande ?",
        "https://shop.example.com/orders/4711/where-is-it-now-and-why-not-here\nsee there",
        "Sehr geehrte Damen und Herren",
    ],
)
def test_message_keeps_a_text_that_only_claims_base64(text: str) -> None:
    raw = single(text.replace("\n", "\r\n").encode(), "Content-Transfer-Encoding: base64")
    assert read(raw).text == text


@pytest.mark.parametrize("charset", ["utf-16", "koi8-r", "iso-2022-jp", "utf-8"])
def test_message_decodes_base64_in_any_charset(charset: str) -> None:
    text = "注文の件です" if charset == "iso-2022-jp" else "Где мой заказ?"
    raw = single(
        base64.encodebytes(text.encode(charset)),
        f"Content-Type: text/plain; charset={charset}",
        "Content-Transfer-Encoding: base64",
    )
    assert read(raw).text == text


@pytest.mark.parametrize(
    ("body", "decodes"),
    [
        (ENCODED, True),
        (base64.b64encode(GREETING.encode()), True),
        (ENCODED + b"more words", False),
        (base64.encodebytes(os.urandom(400)), False),
        (b"A" * 400, False),
        (base64.b64encode(b"hello you"), False),  # too short to be sure
        (uuid.uuid4().hex.encode() * 4, False),
        (b"Z" * 39 + b"=", False),
    ],
)
def test_message_decodes_base64_that_is_not_declared(body: bytes, decodes: bool) -> None:
    text = read(single(body, "Content-Type: text/plain; charset=utf-8")).text
    assert (text.split() == GREETING.split()) is decodes
    assert decodes or text.split() == body.decode().split()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?UTF-8?B?Kévin?=", "Kévin"),
        ("=?UTF-8?B?Kévin Ångström?= <x>", "Kévin Ångström <x>"),
        ("=?iso-8859-1?B?Kévin?=", "Kévin"),
        ("=?UTF-8?B?John Doe, Ltd.?=", "John Doe, Ltd."),
        ("=?UTF-8?Q?Kévin?=", "Kévin"),
        ("=?UTF-8?B?S8OpdmluIQ?=", "Kévin!"),
        ("=?UTF-8?B?S8Opd\tmluIQ==?=", "Kévin!"),
        ("=?utf-8?b?====?=", ""),
    ],
)
def test_words_reads_raw_text_inside_an_encoded_word(value: str, text: str) -> None:
    assert words(value.encode()) == text


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "uuencode", ""])
@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, CHUNK, CHUNK + 1])
def test_decoded_size_is_the_size_of_the_decoded_content(encoding: str, size: int) -> None:
    content = bytes(n % 251 for n in range(size))
    encoded = {
        "base64": base64.encodebytes(content),
        "quoted-printable": binascii.b2a_qp(content).replace(b"\n", b"\r\n"),
        "uuencode": b"begin 644 a\r\n"
        + b"".join(binascii.b2a_uu(content[at : at + 45]) for at in range(0, size, 45))
        + b"`\r\nend\r\n",
        "": content,
    }[encoding]
    found = decoded(encoded, encoding)
    assert decoded_size(memoryview(encoded), encoding) == len(found)
    assert found == content or encoding == "quoted-printable"


@pytest.mark.parametrize(
    "data",
    [b"QUJD=QUJDR=A=", b"====", b"=A" * 500, b"A", b"\xff\xfe", b"AB CD*EF", b"=" * 3_000_000],
)
def test_decoded_size_counts_broken_base64(data: bytes) -> None:
    assert decoded_size(memoryview(data), "base64") == len(decoded(data, "base64"))


@pytest.mark.parametrize(
    "piece", [b"A=", b"\t", b"a b\n", b"=\n", b"A" * 76 + b"\n", b"\xff", b"=20"]
)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "uuencode", ""])
def test_decoded_text_reads_any_repeated_bytes(piece: bytes, encoding: str) -> None:
    assert isinstance(decoded_text(piece * 100_000, encoding), bytes)


def test_message_decodes_uuencoded_parts() -> None:
    file = (
        b"Content-Type: application/x; name=a\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
        b"begin 644 a\r\n" + binascii.b2a_uu(b"hello") + b"`\r\nend\r\n"
    )
    assert [one.size for one in read(multipart("mixed", file)).attachments] == [5]

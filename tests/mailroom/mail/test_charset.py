"""Charsets as browsers decode them, and text that is not in the charset which the mail declares."""

from __future__ import annotations

import pytest
from webencodings.labels import LABELS

from eventlab.mailroom.mail.charset import clean, codec_of, decode
from eventlab.mailroom.mail.japanese import decode_euc_jp, decode_iso_2022_jp
from tests.support.mail import read, single


def test_codec_of_knows_every_label_of_the_whatwg_but_the_rejected_ones() -> None:
    unknown = {label for label in LABELS if codec_of(label) is None}
    assert unknown == {"replacement", "iso-2022-cn", "iso-2022-cn-ext"}


@pytest.mark.parametrize("label", ["LATIN-1", "Windows_1251", "ISO 8859-2", "x-mac-roman", "cp874"])
def test_codec_of_knows_names_in_other_spellings(label: str) -> None:
    assert codec_of(label) is not None


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        # Japanese with all that cp932 has: NEC row 13, IBM's additions, half-width kana
        (b"\x1b$B-!-j-5\x1b(B!", "iso-2022-jp", "①㈱Ⅰ!"),
        (b"\xad\xa1\xad\xea\xad\xe2", "euc-jp", "①㈱№"),
        (b"\x1b(I123\x1b(B", "iso-2022-jp", "ｱｲｳ"),
        (b"\x8e\xb1\x8e\xb2", "euc-jp", "ｱｲ"),
        (b"\x1b$B|q\x1b(B", "iso-2022-jp", "ⅰ"),
        (b"\x1b$(D0!\x1b(B", "iso-2022-jp", "丂"),
        (b"\x8f\xb0\xa1", "euc-jp", "丂"),
        (b"\x1b(J\\~\x1b(B\\~", "iso-2022-jp", "¥‾\\~"),
        (b"\x1b$BF|K\\\nabc", "iso-2022-jp", "日本\nabc"),
        (b"\xb1\xb2\x1b$BF|\x1b(B", "iso-2022-jp", "ｱｲ日"),
        (b"\x87\x40\xb1", "shift_jis", "①ｱ"),
        (b"\x1b$BF", "iso-2022-jp", "\ufffd"),
        (b"\x1b$B\x1b$B\x1b(B\x1b", "iso-2022-jp", ""),
        (b"\xa0\xfd\xfe\xff", "shift_jis", "\ufffd\ufffd\ufffd\ufffd"),
        (b"\xad", "euc-jp", "\ufffd"),
        # ISO-2022-JP that declares nothing, or something else
        ("注文".encode("iso2022_jp"), None, "注文"),
        ("注文".encode("iso2022_jp"), "us-ascii", "注文"),
        ("注文".encode("iso2022_jp"), "utf-8", "注文"),
        (b"\x1b[31mred", None, "[31mred"),
        # Chinese in full
        ("𠀀镕".encode("gb18030"), "gb2312", "𠀀镕"),
        (b"5 \x80", "gbk", "5 €"),
        ("嘅咗".encode("big5hkscs"), "big5", "嘅咗"),
        (b"\x80\xff", "gbk", "€\ufffd"),
        # bytes of eight bits in a charset of seven
        ("für Ä".encode(), "iso-2022-jp", "für Ä"),
        ("日本語".encode("euc_jp"), "iso-2022-jp", "日本語"),
        ("日本語です".encode("cp932"), "iso-2022-jp", "日本語です"),
        ("für Ä".encode(), "hz", "für Ä"),
        ("中文".encode("gb18030"), "hz-gb-2312", "中文"),
        ("für Ä".encode(), "utf-7", "für Ä"),
        ("한국".encode("cp949"), "iso-2022-kr", "한국"),
        (b"caf\xe9 +AOk-", "utf-7", "café +AOk-"),
        # not two bytes a character
        ("für Ä".encode(), "utf-16", "für Ä"),
        (b"plain words", "utf-16le", "plain words"),
        (b"odd", "utf-32", "odd"),
        ("für 日本".encode("utf-16"), None, "für 日本"),
        ("für 日本".encode("utf-16"), "utf-8", "für 日本"),
        ("\ufefffür".encode("utf-16-be"), "iso-8859-1", "für"),
        ("für du".encode("utf-16-be"), "utf-16", "für du"),
        ("für du".encode("utf-16-le"), "utf-16", "für du"),
        ("für du".encode("utf-16-le") + b"x", "utf-16le", "für du\ufffd"),
        # a line that a list or a scanner added in its own charset
        (
            "Grüße, Ännchen\nÖl\n".encode() + b"Verschl\xfcsselt",
            "utf-8",
            "Grüße, Ännchen\nÖl\nVerschlüsselt",
        ),
        ("日本語\r\n".encode() + b"\x93caf\xe9\x94", None, "日本語\n“café”"),
        ("Grüße, Ännchen ".encode() + b"\xfc", "utf-8", "Grüße, Ännchen \ufffd"),
        ("Grüße, \ufffd\n".encode() + b"\xfc", "utf-8", "Grüße, \ufffd\nü"),
        # bytes that only browsers have a character for
        (b"a\x81b\x9d", "windows-1252", "ab"),
        (b"\x98\xd2", "windows-1253", "\ufffd"),
    ],
)
def test_decode_reads_text_as_browsers_do(data: bytes, charset: str | None, text: str) -> None:
    assert clean(decode(data, charset)) == text


def test_japanese_decodes_every_character_of_pythons_codec_alike() -> None:
    """Six punctuation marks differ, as they do in browsers; 1,400 characters are added."""
    known = 0
    other = 0
    for first in range(0xA1, 0xFF):
        for second in range(0xA1, 0xFF):
            pair = bytes((first, second))
            text = decode_euc_jp(pair)
            assert decode_iso_2022_jp(b"\x1b$B" + bytes(b & 0x7F for b in pair)) == text
            python = pair.decode("euc_jp", "ignore")
            known += len(text) == 1 and text != "\ufffd"
            other += bool(python) and python != text
    assert (known > 7300, other) == (True, 6)


@pytest.mark.parametrize(
    "piece", [b"\x1b$B", b"\x1b(I", b"\x1b", b"~{", b"+A", b"\x8f\xa1", b"\xff", b"$B", b"\x80"]
)
@pytest.mark.parametrize(
    "charset", ["iso-2022-jp", "euc-jp", "hz", "utf-7", "utf-16", "gbk", "big5", "shift_jis", None]
)
def test_decode_reads_any_repeated_bytes(piece: bytes, charset: str | None) -> None:
    assert isinstance(decode(piece * 100_000, charset), str)  # quadratic work would take minutes


@pytest.mark.parametrize("meta", ["utf-16", "UTF-16LE", "utf-16be"])
def test_message_reads_html_that_calls_itself_utf_16_in_ascii(meta: str) -> None:
    page = f"<meta charset={meta}><p>Größe 42".encode()
    assert read(single(page, "Content-Type: text/html")).text == "Größe 42"


def test_message_reads_japanese_that_declares_no_charset() -> None:
    japanese = "在庫の件".encode("iso2022_jp")
    raw = b"From: " + japanese + b" <a@example.org>\r\nSubject: Re: " + japanese + b"\r\n\r\n"
    mail = read(raw + japanese + b"\r\n")
    assert (mail.sender_name, mail.subject, mail.text) == ("在庫の件", "Re: 在庫の件", "在庫の件")

"""Charsets: bytes decoded into text, whatever the mail declares and whatever they are."""

from __future__ import annotations

import re
from encodings.aliases import aliases
from typing import Final

#: Charset names that Python does not know or interprets too narrowly, and how mail programs
#: decode them.
MEANT: Final = {
    "ascii": "cp1252",
    "iso8859_1": "cp1252",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "euc_kr": "cp949",
    "ks_c_5601_1987": "cp949",
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "x_mac_cyrillic": "mac_cyrillic",
    "x_mac_roman": "mac_roman",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_6_e": "iso8859_6",
    "x_windows_949": "cp949",
    "windows_31j": "cp932",
    "windows_949": "cp949",
    "windows_874": "cp874",
    "windows_936": "gb18030",
    "x_euc_jp": "euc_jp",
    "unicode_1_1_utf_7": "utf_7",
    "utf8mb4": "utf_8",
}
SINGLE_BYTE: Final = frozenset(
    {f"cp125{n}" for n in range(9)}
    | {f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
    | {"cp437", "cp850", "cp852", "cp855", "cp858", "cp862", "cp864", "cp866", "cp874"}
    | {"koi8_r", "koi8_u", "koi8_t", "kz1048"}
    | {"mac_cyrillic", "mac_greek", "mac_latin2", "mac_roman", "mac_turkish"}
)
#: Charsets whose text looks like ASCII but is not.
SHIFTED: Final = frozenset(
    {
        "utf_7",
        "utf_16",
        "utf_16_le",
        "utf_16_be",
        "utf_32",
        "utf_32_le",
        "utf_32_be",
        "hz",
        "iso2022_kr",
    }
    | {"iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_ext"}
)
MANY_BYTES: Final = SHIFTED | frozenset(
    {"utf_8", "utf_8_sig", "gb18030", "big5", "big5hkscs", "cp932", "cp949", "cp950", "johab"}
    | {"euc_jp", "euc_jis_2004", "shift_jis_2004", "shift_jisx0213"}
)
NOT_ASCII: Final = re.compile("[^\x00-\x7f\ufffd]")
LAST_RESORT: Final = "cp1252"
MAX_NAME: Final = 60

#: Line ends of all kinds; control characters; lone surrogates.
LINE_END: Final = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Marks that change the direction of the text: in a name or a subject they only deceive.
DIRECTION_MARKS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def codec_of(name: str | None) -> str | None:
    """Return Python's codec for a charset name in a mail, or None if it is unknown or not for text.

    >>> codec_of("GB2312"), codec_of("charset=us-ascii"), codec_of("hex")
    ('gb18030', 'cp1252', None)
    """
    # From tables: codecs.lookup would also find hex, idna, punycode or unicode_escape, which no
    # mail means.
    key = re.sub(
        r"[^a-z0-9]+", "_", (name or "")[:MAX_NAME].lower().removeprefix("charset=")
    ).strip("_")
    known = aliases.get(key, key)
    meant = MEANT.get(known, known)
    return meant if meant in SINGLE_BYTE or meant in MANY_BYTES else None


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode bytes; what cannot be decoded becomes U+FFFD, and no error is raised.

    >>> decode(b"caf\\xe9", "iso-8859-1"), decode("café".encode(), "iso-8859-1")
    ('café', 'café')
    """
    codec = codec_of(declared)
    if codec in MANY_BYTES and (text := _strictly(data, codec)) is not None:
        return text
    # Valid UTF-8 is never a coincidence, so it is UTF-8, whatever single-byte charset the mail
    # declares.
    if (text := _strictly(data, "utf_8_sig")) is not None and codec not in SHIFTED:
        return text
    if codec in (None, "utf_8"):
        # Either most of it is UTF-8 with some bytes lost, or it only looks like UTF-8.
        text = data.decode("utf-8", "replace")
        codec = "utf_8" if len(NOT_ASCII.findall(text)) > text.count("\ufffd") else LAST_RESORT
    return data.decode(codec, "replace")


def clean(text: str) -> str:
    r"""Return text without control characters and lone surrogates; all line ends become ``\n``.

    >>> clean("one\r\ntwo\x00\x1b[31m")
    'one\ntwo[31m'
    """
    return LONE_SURROGATE.sub("\ufffd", CONTROL.sub("", LINE_END.sub("\n", text)))


def one_line(text: str) -> str:
    r"""Return clean text on one line, with single spaces and without direction marks.

    >>> one_line("  Re:\r\n\t hello ")
    'Re: hello'
    """
    return " ".join(DIRECTION_MARKS.sub("", clean(text)).split())


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeError:
        return None

"""Decodes bytes into text, even if the declared charset is missing or wrong."""

from __future__ import annotations

import codecs
import functools
import re
from encodings.aliases import aliases
from typing import Final

from webencodings import lookup
from webencodings.labels import LABELS

from eventlab.mailroom.mail.japanese import (
    decode_euc_jp,
    decode_iso_2022_jp,
    decode_shift_jis,
    has_escapes,
)

#: WHATWG encodings that Python decodes incompletely, or only with a byte order mark.
PYTHON_NAMES: Final = {"gbk": "gb18030", "utf-16le": "utf_16", "x-user-defined": "cp1252"}
#: Names that occur in emails but not in the WHATWG's list, reduced to letters and digits.
MORE_NAMES: Final = {
    "iso88598e": "iso8859_8",
    "iso88596i": "iso8859_6",
    "iso88596e": "iso8859_6",
    "xmacroman": "mac_roman",
    "xwindows949": "cp949",
    "windows936": "gb18030",
    "unicode11utf7": "utf_7",
    "utf8mb4": "utf_8",
    "big5eten": "big5hkscs",
    "eucjpms": "euc_jp",
    "cp51932": "euc_jp",
    "cp50220": "iso2022_jp",
    "cp50221": "iso2022_jp",
    "iso2022jpms": "iso2022_jp",
}
SINGLE_BYTE: Final = frozenset(
    {f"cp125{n}" for n in range(9)}
    | {f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
    | {"cp437", "cp850", "cp852", "cp855", "cp858", "cp862", "cp864", "cp866", "cp874"}
    | {"koi8_r", "koi8_u", "koi8_t", "kz1048"}
    | {"mac_cyrillic", "mac_greek", "mac_latin2", "mac_roman", "mac_turkish"}
)
#: For each 7-bit charset, the likely charsets of an email that declares it but has 8-bit bytes.
SEVEN_BITS: Final = {
    "iso2022_jp": ("utf_8_sig", "euc_jp", "cp932"),
    "iso2022_kr": ("utf_8_sig", "cp949"),
    "hz": ("utf_8_sig", "gb18030"),
    "utf_7": ("utf_8_sig",),
}
WIDE: Final = frozenset({"utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"})
MANY_BYTES: Final = (
    WIDE
    | SEVEN_BITS.keys()
    | {"utf_8", "utf_8_sig", "gb18030", "big5hkscs", "cp932", "cp949", "cp950", "johab", "euc_jp"}
)
#: The codec to use for each family of codecs that browsers treat alike, by the family's prefix.
FAMILIES: Final = {"iso2022_jp_": "iso2022_jp", "euc_jis": "euc_jp", "shift_jis": "cp932"}
JAPANESE: Final = {
    "iso2022_jp": decode_iso_2022_jp,
    "euc_jp": decode_euc_jp,
    "cp932": decode_shift_jis,
}
NOT_ASCII: Final = re.compile("[^\x00-\x7f\ufffd]")
LAST_RESORT: Final = "cp1252"
MAX_NAME: Final = 60
REPAIR: Final = "eventlab.mailroom.repair"

#: Line ends of all kinds, control characters, and lone surrogates.
LINE_END: Final = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff]")
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Marks that change the direction of the text. In a name or a subject, they only deceive.
DIRECTION_MARKS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def codec_of(name: str | None) -> str | None:
    """Return Python's codec for a charset, or None if the charset is unknown or not for text.

    >>> codec_of("GB2312"), codec_of("charset=us-ascii"), codec_of("hex")
    ('gb18030', 'cp1252', None)
    """
    # Names are looked up in tables, because codecs.lookup would also find hex, idna, punycode or
    # unicode_escape, which are not charsets of an email.
    label = (name or "")[:MAX_NAME].lower().removeprefix("charset=")
    found = _names().get(_squeezed(label))
    return found if found in SINGLE_BYTE or found in MANY_BYTES else None


def _squeezed(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", label)


def _family(codec: str) -> str:
    return next((FAMILIES[start] for start in FAMILIES if codec.startswith(start)), codec)


@functools.cache  # not done at import, because it loads every codec
def _names() -> dict[str, str]:
    """Map each name, without its punctuation, to a codec; the WHATWG's names take precedence."""
    web = {
        _squeezed(label): PYTHON_NAMES.get(name) or lookup(label).codec_info.name.replace("-", "_")
        for label, name in LABELS.items()
        if name != "replacement"
    }
    python = {
        _squeezed(name): web.get(_squeezed(codec), _family(codec))
        for alias, codec in aliases.items()
        for name in (alias, codec)
    }
    python |= {_squeezed(codec): codec for codec in SINGLE_BYTE}
    return python | web | MORE_NAMES


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode bytes without raising an error; bytes that cannot be decoded become U+FFFD.

    >>> decode(b"caf\\xe9", "iso-8859-1"), decode("café".encode(), "iso-8859-1")
    ('café', 'café')
    """
    codec = _likely(data, codec_of(declared))
    if codec in MANY_BYTES and (text := _strictly(data, codec)) is not None:
        return text
    # Valid UTF-8 is hardly ever a coincidence, so decode the bytes as UTF-8, whatever single-byte
    # charset the email declares.
    if codec not in SEVEN_BITS and (text := _strictly(data, "utf_8_sig")) is not None:
        return text
    if codec in (None, "utf_8"):
        # Either most of the text is UTF-8 with some bytes lost, or the text only looks like UTF-8.
        text = "".join(_line(line) for line in data.splitlines(keepends=True))
        codec = "utf_8" if len(NOT_ASCII.findall(text)) > text.count("\ufffd") else LAST_RESORT
        if codec == "utf_8":
            return text
    return JAPANESE[codec](data) if codec in JAPANESE else data.decode(codec, REPAIR)


def _line(line: bytes) -> str:
    """Decode a line of UTF-8, or a line that was added in another charset, such as a footer."""
    text = _strictly(line, "utf_8")
    if text is None:
        text = line.decode("utf-8", "replace")
        return text if NOT_ASCII.search(text) else line.decode(LAST_RESORT, REPAIR)
    return text


def _likely(data: bytes, codec: str | None) -> str | None:
    """Return the likely codec of some bytes, given the declared one, or None if none is likely."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and b"\x00" in data:
        return "utf_32" if codec == "utf_32" else "utf_16"
    if codec in WIDE:
        if b"\x00" not in data and (len(data) % 2 or _strictly(data, "utf_8") is not None):
            return None
        # Without a byte order mark: in big-endian text, more zeros are at even positions.
        more_first = data[::2].count(0) > data[1::2].count(0)
        marked = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        return "utf_16_be" if codec == "utf_16" and more_first and not marked else codec
    if (codec is None or codec in SINGLE_BYTE or codec == "utf_8") and has_escapes(data):
        return "iso2022_jp"
    if codec in SEVEN_BITS and not data.isascii() and b"\x1b" not in data:
        others = (one for one in SEVEN_BITS[codec] if _strictly(data, one) is not None)
        return next(others, codec if b"~{" in data else None)
    return codec


def clean(text: str) -> str:
    r"""Return text with ``\n`` line ends, without control characters or lone surrogates.

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
    if codec in JAPANESE:
        text = JAPANESE[codec](data)
        return None if "\ufffd" in text else text
    try:
        return data.decode(codec)
    except UnicodeError:
        return None


def _repaired(error: UnicodeError) -> tuple[str, int]:
    """Decode a byte as browsers do if Python has no character for it."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    byte = error.object[error.start]
    if error.encoding == "gb18030" and byte == 0x80:
        return "€", error.start + 1
    if error.encoding == "charmap" and 0x80 <= byte < 0xA0:
        return chr(byte), error.start + 1  # a control character, which ``clean`` removes
    return "\ufffd", error.end


codecs.register_error(REPAIR, _repaired)

"""Decodes ISO-2022-JP, EUC-JP and Shift_JIS as browsers do, with all characters of cp932.

Python's own codecs lack the additions of NEC and IBM (①, ㈱, Ⅱ) and half-width kana.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Escape sequences that select a character set: ASCII, JIS-Roman, kana, JIS X 0208, JIS X 0212.
ESCAPE: Final = re.compile(rb"\x1b(\([ABHIJ]|\$[@B]|\$\([@BD])")
TWO_BYTES: Final = (b"$@", b"$B", b"$(@", b"$(B")
ROMAN: Final = str.maketrans("\\~", "¥‾")
#: The characters that Python returns for four single bytes that are not characters.
NOT_JIS: Final = dict.fromkeys(range(0xF8F0, 0xF8F4), "\ufffd")
LINE_END: Final = re.compile(rb"[\r\n]")
PAIR: Final = re.compile(rb"[\x21-\x7e]{1,2}")
HIGH: Final = bytes(byte | 0x80 for byte in range(256))
EUC_RUN: Final = re.compile(
    rb"(?:[\xa1-\xfe]{2})+|(?:\x8e[\xa1-\xdf])+|(?:\x8f[\xa1-\xfe]{2})+|[\x00-\x7f]+|.", re.DOTALL
)
#: The first byte in cp932 for each first byte in JIS.
LEAD: Final = bytes(
    ((jis - 0x21 & 0xFF) >> 1) + (0x81 if jis < 0x5F else 0xC1) & 0xFF for jis in range(256)
)


def has_escapes(data: bytes) -> bool:
    """Return whether bytes look like ISO-2022-JP, whatever charset is declared.

    >>> has_escapes("日本".encode("iso2022_jp")), has_escapes(b"$B")
    (True, False)
    """
    return data.isascii() and ESCAPE.search(data) is not None


def decode_iso_2022_jp(data: bytes) -> str:
    """Decode ISO-2022-JP; invalid bytes become U+FFFD.

    >>> decode_iso_2022_jp(b"\\x1b$B-!\\x1b(B 1")
    '① 1'
    """
    pieces = ESCAPE.split(data)
    shown = [_decoded(b"(B", pieces[0])]
    shown.extend(map(_decoded, pieces[1::2], pieces[2::2]))
    return "".join(shown)


def decode_euc_jp(data: bytes) -> str:
    """Decode EUC-JP; invalid bytes become U+FFFD.

    >>> decode_euc_jp(b"\\xad\\xa1\\x8e\\xb1")
    '①ｱ'
    """
    return "".join(_euc_runs(data))


def decode_shift_jis(data: bytes) -> str:
    """Decode Shift_JIS; invalid bytes become U+FFFD.

    >>> decode_shift_jis(b"\\x87\\x40\\xb1")
    '①ｱ'
    """
    return data.decode("cp932", "replace").translate(NOT_JIS)


def _decoded(charset: bytes, data: bytes) -> str:
    if charset in (b"(B", b"(H"):
        return decode_shift_jis(data)  # the text may contain half-width kana in eight bits
    if charset == b"(J":
        return decode_shift_jis(data).translate(ROMAN)
    end = LINE_END.search(data)  # some programs do not return to ASCII before the line ends
    here = data[: end.start()] if end else data
    rest = decode_shift_jis(data[end.start() :]) if end else ""
    if charset == b"(I":
        return decode_shift_jis(bytes(byte | 0x80 if byte > 0x20 else byte for byte in here)) + rest
    # In EUC-JP, the same characters have the high bit set, and JIS X 0212 adds a byte before them.
    mark = b"" if charset in TWO_BYTES else b"\x8f"
    return decode_euc_jp(PAIR.sub(lambda pair: mark + pair[0].translate(HIGH), here)) + rest


def _euc_runs(data: bytes) -> Iterator[str]:
    for run in EUC_RUN.findall(data):
        if run[0] == 0x8E and len(run) > 1:
            yield decode_shift_jis(run[1::2])
        elif run[0] > 0xA0 and len(run) > 1:
            yield _of_pairs(bytes(byte & 0x7F for byte in run))
        else:
            yield run.decode("euc_jp", "replace")


def _of_pairs(jis: bytes) -> str:
    """Decode pairs of bytes in JIS X 0208, including the additions of NEC and IBM."""
    shifted = bytearray(len(jis))
    shifted[::2] = jis[::2].translate(LEAD)
    shifted[1::2] = bytes(map(_trail, jis[::2], jis[1::2]))
    try:
        return shifted.decode("cp932")
    except UnicodeDecodeError:  # decode each pair alone, so that a bad pair changes no other
        return "".join(
            bytes(shifted[at : at + 2]).decode("cp932", "ignore") or "\ufffd"
            for at in range(0, len(shifted), 2)
        )


def _trail(first: int, second: int) -> int:
    if first % 2 == 0:
        return second + 0x7E
    return second + (0x1F if second < 0x60 else 0x20)

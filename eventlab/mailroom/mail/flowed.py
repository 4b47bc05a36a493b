"""Reads text in format=flowed (RFC 3676), and joins the lines that a mail program broke."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SIGNATURE: Final = "-- "


def unflowed(text: str, *, delete_space: bool = False) -> str:
    r"""Return text with each paragraph on one line, and with quotes marked with ``>``.

    ``delete_space`` is the DelSp parameter: the space that marks a broken line is removed.

    >>> unflowed("> one \n> line\nand \nanother")
    '> one line\nand another'
    """
    return "\n".join(_paragraphs(text, delete_space))


def _paragraphs(text: str, delete_space: bool) -> Iterator[str]:
    pieces: list[str] = []
    depth = 0
    for line in text.split("\n"):
        content = line.lstrip(">")
        quotes = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffed
        if pieces and (quotes != depth or content == SIGNATURE):
            yield _quoted(pieces, depth)
            pieces = []
        depth = quotes
        flows = content.endswith(" ") and content != SIGNATURE
        pieces.append(content[:-1] if flows and delete_space else content)
        if not flows:
            yield _quoted(pieces, depth)
            pieces = []
    if pieces:
        yield _quoted(pieces, depth)


def _quoted(pieces: list[str], depth: int) -> str:
    text = "".join(pieces)
    return f"{'>' * depth} {text}".rstrip() if depth else text

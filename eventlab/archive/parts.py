"""The files of a backup, called parts. Each part has gzip-compressed JSON lines and a checksum.

The first line of a part is a header: ``{"format":"eventlab backup 1","category":"accountStream",
"part":1,"after":"0-0"}``. Each following line is an event, ``[id, version, row]``, where the row is
the stored element of the aggregate log: ``[position, type, data, token, meta]``. The last line is a
footer with the hash of all lines before it:
``{"events":50000,"last":"1551312621884-0","sha256":"…"}``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from eventlab.archive.errors import BackupDamaged
from eventlab.events import encode_json
from eventlab.store.keys import START, order

FORMAT: Final = "eventlab backup 1"
PATTERN: Final = "part-*.jsonl.gz"
PART_EVENTS: Final = 50_000
PART_BYTES: Final = 32_000_000  # of text before compression


class Header(msgspec.Struct, frozen=True):
    """The first line of a part; ``after`` is the last position of the previous part."""

    format: str
    category: str
    part: int
    after: str


class Footer(msgspec.Struct, frozen=True):
    """The last line of a part."""

    events: int
    last: str
    sha256: str


class Line(msgspec.Struct, array_like=True, frozen=True):
    """An event of a backup; ``row`` is the stored element of the aggregate log."""

    id: str
    version: int
    row: msgspec.Raw


class BackupPart(NamedTuple):
    """A part that was read and checked."""

    header: Header
    lines: list[Line]
    footer: Footer


class Entry(NamedTuple):
    """An event to be written, its row as stored, and its position."""

    id: str
    version: int
    row: bytes
    position: str


def write_parts(
    folder: Path, category: str, entries: Iterable[Entry], *, after: str, number: int
) -> Iterator[Footer]:
    """Write the entries as parts numbered from ``number``; yield each footer once it is on disk."""
    lines: list[bytes] = []
    size = 0
    last = after
    for entry in entries:
        line = b"[%b,%d,%b]\n" % (encode_json(entry.id), entry.version, entry.row)
        if lines and (len(lines) == PART_EVENTS or size + len(line) > PART_BYTES):
            yield _write(folder, Header(FORMAT, category, number, after), lines, last)
            number += 1
            after = last
            lines = []
            size = 0
        lines.append(line)
        size += len(line)
        last = entry.position
    if lines:
        yield _write(folder, Header(FORMAT, category, number, after), lines, last)


def _write(folder: Path, header: Header, lines: list[bytes], last: str) -> Footer:
    text = encode_json(header) + b"\n" + b"".join(lines)
    footer = Footer(len(lines), last, hashlib.sha256(text).hexdigest())
    path = folder / f"part-{header.part:06}.jsonl.gz"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        # Without a time, the same events always result in the same file.
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            packed.write(text + encode_json(footer) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)  # a part that has its final name is complete
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return footer


def read_parts(folder: Path) -> Iterator[BackupPart]:
    """Check the parts of a backup and yield them in order. Raises BackupDamaged.

    Positions must increase from line to line and from part to part, and no part in between may be
    missing.
    """
    after = START
    category: str | None = None
    for number, path in enumerate(sorted(folder.glob(PATTERN)), 1):
        part = _read(path)
        expected = Header(FORMAT, category or part.header.category, number, after)
        if part.header != expected:
            raise BackupDamaged(str(path), "does not follow the part before it")
        category = part.header.category
        after = part.footer.last
        yield part


def _read(path: Path) -> BackupPart:
    try:
        with gzip.open(path) as packed:
            first, *lines, last = packed.read().splitlines(keepends=True)
        footer = msgspec.json.decode(last, type=Footer)
        header = msgspec.json.decode(first, type=Header)
        events = [msgspec.json.decode(line, type=Line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError, msgspec.MsgspecError) as error:
        raise BackupDamaged(str(path), f"cannot be read ({type(error).__name__})") from error
    if hashlib.sha256(b"".join([first, *lines])).hexdigest() != footer.sha256:
        raise BackupDamaged(str(path), "was changed (its checksum differs)")
    if len(events) != footer.events or order(footer.last) <= order(header.after):
        raise BackupDamaged(str(path), "was changed (its footer differs)")
    return BackupPart(header, events, footer)

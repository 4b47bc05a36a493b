"""Restores a backup into an empty category, page by page. A killed run can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from eventlab.archive.errors import BackupDamaged, BackupMismatch
from eventlab.archive.parts import Line, read_parts
from eventlab.events import encode_json
from eventlab.store.keys import START, order
from eventlab.store.scripts import Script
from eventlab.store.slices import check_slices, register
from eventlab.store.store import EventStore

PAGE_EVENTS: Final = 200
PAGE_BYTES: Final = 1_000_000


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """A row whose parts remain undecoded JSON, so that no number changes."""

    position: str
    type: msgspec.Raw
    data: msgspec.Raw
    token: msgspec.Raw
    meta: msgspec.Raw = msgspec.Raw()


def restore(store: EventStore, folder: Path) -> int:
    """Write the events of a backup into an empty category, and return the number of events.

    Positions, versions and tokens are those of the backup, so views, caches and repeated requests
    recognize the events. The whole backup is checked first. If a restore was killed, run it again.
    Stop the writers first, because an event that is not in the backup ends the restore with
    BackupMismatch.

    Afterwards, a view whose checkpoint is later than the backup raises ViewAhead; rebuild such a
    view. A subscription starts again at the first event, or at the ``start`` that you pass to
    ``Subscription``.

    Raises BackupDamaged and BackupMismatch.

    >>> restore(store, Path("backups/accounts"))
    2
    """
    if store.slices > 1:
        folders = [folder / str(number) for number in range(store.slices)]
        if not all(each.is_dir() for each in folders):
            raise BackupMismatch(
                store.category, f"{folder} is not a backup of a category with {store.slices} slices"
            )
        register(store.redis, store.all_slices()[0].keys)
        pairs = zip(store.all_slices(), folders, strict=True)
        return sum(restore(part, each) for part, each in pairs if any(each.iterdir()))
    check_slices(store.redis, store.keys)
    # Read the whole backup first, so that nothing is written from a damaged backup.
    if sum(part.footer.events for part in read_parts(folder)) == 0:
        raise BackupMismatch(store.category, f"{folder} contains no backup")
    head = store.head()
    done = 0
    newest = START
    begun = head == START
    write = Script("archive/restore")
    for part in read_parts(folder):
        for page in _pages(part.lines, str(part.header.part)):
            if not begun:
                kept = [row for _, row in page if order(row.position) <= order(head)]
                done += len(kept)
                newest = kept[-1].position if kept else newest
                begun = len(kept) < len(page) or newest == head
                page = page[len(kept) :]
            if page:
                _write(store, write, page, after=newest, count=done)
                done += len(page)
                newest = page[-1][1].position
    if store.head() != newest:
        raise _other(store)
    return done


def _pages(lines: list[Line], where: str) -> Iterator[list[tuple[Line, _Row]]]:
    page: list[tuple[Line, _Row]] = []
    size = 0
    for line in lines:
        try:
            row = msgspec.json.decode(line.row, type=_Row)
        except msgspec.MsgspecError as error:
            raise BackupDamaged(
                f"part {where}", f"has an event that cannot be read: {error}"
            ) from error
        if page and (len(page) == PAGE_EVENTS or size > PAGE_BYTES):
            yield page
            page = []
            size = 0
        page.append((line, row))
        size += len(bytes(line.row))
    if page:
        yield page


def _write(
    store: EventStore, write: Script, page: list[tuple[Line, _Row]], *, after: str, count: int
) -> None:
    keys = [store.keys.stream, store.keys.ids]
    places: dict[str, int] = {}
    args: list[Any] = [after, count]
    for line, row in page:
        if line.id not in places:
            keys.append(store.keys.log(line.id))
            places[line.id] = len(keys)
        data = bytes(row.data)
        text = b'{"id":%b,"version":%d,"type":%b' % (
            encode_json(line.id),
            line.version,
            bytes(row.type),
        )
        text += b"}" if data == b"{}" else b"," + data[1:]
        meta = bytes(row.meta)
        args += (places[line.id], line.id, line.version, row.position, text, meta, bytes(line.row))
    match write(store.redis, keys, args):
        case [b"other", _, _]:
            raise _other(store)
        case [b"version", id, version]:
            raise BackupMismatch(
                store.category, f"{as_id(id)!r} is not at version {int(version) - 1}"
            )


def as_id(id: bytes) -> str:
    """Return an id from Redis as text."""
    return id.decode(errors="replace")


def _other(store: EventStore) -> BackupMismatch:
    return BackupMismatch(
        store.category,
        "it has events that are not in the backup: drop the category, or restore into another one",
    )

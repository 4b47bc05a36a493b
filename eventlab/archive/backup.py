"""Backs up a category, even while programs are using it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventlab.archive.errors import BackupMismatch
from eventlab.archive.parts import Entry, Line, read_parts, write_parts
from eventlab.projections.logs import position_of, rows_of_logs
from eventlab.store.keys import START, order
from eventlab.store.scripts import RAW
from eventlab.store.store import EventStore


@dataclass(frozen=True)
class Saved:
    """The result of a backup.

    ``events`` is the number of events in the backup, up to ``position``. ``new`` is the number of
    events that this run added.
    """

    new: int
    events: int
    position: str


def backup(store: EventStore, folder: Path) -> Saved:
    """Save all events of a category to a folder, in commit order, up to the newest event.

    Writers do not have to stop, because the backup contains the category as it was at one position.
    If a run is killed, the next run resumes it. A later run reads all aggregate logs but writes
    only the new events. A run uses a limited amount of memory. A backup does not contain
    idempotency keys, snapshots, the progress of subscriptions, or the keys that encrypt personal
    fields. If the category has several slices, each slice is saved in a separate folder, as it was
    at one position.

    Raises BackupDamaged, and BackupMismatch if the backup is of another category or if the category
    has lost events that are in the backup.

    >>> backup(store, Path("backups/accounts"))
    Saved(new=2, events=2, position='1551312621884-1')
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if store.slices > 1:
        found = [backup(part, folder / str(n)) for n, part in enumerate(store.all_slices())]
        position = max((saved.position for saved in found), key=order)
        return Saved(sum(saved.new for saved in found), sum(x.events for x in found), position)
    events = 0
    position = START
    number = 1
    for part in read_parts(folder):
        if part.header.category != store.category:
            raise BackupMismatch(
                store.category, f"{folder} is a backup of {part.header.category!r}"
            )
        if not _has(store, part.lines[-1]):
            raise BackupMismatch(
                store.category,
                f"the category no longer has the event at {part.footer.last}, which the backup in "
                f"{folder} contains: restore that backup, or start a new one in an empty folder",
            )
        events += part.footer.events
        position = part.footer.last
        number = part.header.part + 1
    new = 0
    for footer in write_parts(
        folder, store.category, _entries(store, position), after=position, number=number
    ):
        new += footer.events
        position = footer.last
    return Saved(new, events + new, position)


def _has(store: EventStore, line: Line) -> bool:
    # Rows never change, so the same event always has the same text.
    stored = store.redis.execute_command("LINDEX", store.keys.log(line.id), line.version - 1, **RAW)
    return bool(stored == bytes(line.row))


def _entries(store: EventStore, after: str) -> Iterator[Entry]:
    for id, version, row in rows_of_logs(store, after=after):
        yield Entry(id, version, row, position_of(row))

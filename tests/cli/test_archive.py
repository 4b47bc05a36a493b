"""``eventlab backup`` and ``eventlab restore``."""

from __future__ import annotations

import json
from pathlib import Path

from eventlab import EventStore
from tests.support import command
from tests.support.store import fill


def test_backup_and_restore_recover_a_category(store: EventStore, tmp_path: Path) -> None:
    fill(store, 2)
    events = list(store.read_all())
    folder = str(tmp_path / "backup")
    category = ("--category", store.category)
    status, out, _ = command.run("backup", folder, *category)
    assert (status, out) == (0, f"3 new events, 3 in total, up to {store.head()}\n")
    status, out, _ = command.run("backup", folder, *category, "--json")
    assert json.loads(out) == {"new": 0, "events": 3, "position": store.head()}
    status, out, _ = command.run("restore", folder, "--check")
    assert (status, out) == (0, "the backup is intact: 3 events\n")
    store.drop()
    status, out, _ = command.run("restore", folder, *category)
    assert status == 0
    assert out.startswith("3 events restored. Rebuild the views")
    assert list(store.read_all()) == events


def test_restore_says_in_one_sentence_why_it_cannot(store: EventStore, tmp_path: Path) -> None:
    status, _, error = command.run("restore", str(tmp_path), "--category", store.category)
    assert status == 1
    assert "contains no backup" in error
    (tmp_path / "part-000001.jsonl.gz").write_bytes(b"nonsense")
    status, _, error = command.run("restore", str(tmp_path), "--check")
    assert status == 1
    assert "cannot be read" in error

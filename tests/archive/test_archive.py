"""Backup and restore: the same events, from a category in use, and never from a damaged file."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from eventlab import ANY, NEW, Event, EventStore, Projector, Recorded, ViewAhead
from eventlab.accounts import AccountView
from eventlab.archive import parts
from eventlab.archive.backup import backup
from eventlab.archive.errors import BackupDamaged, BackupMismatch
from eventlab.archive.restore import PAGE_EVENTS, restore
from tests.store.test_rights import without
from tests.support.examples import examples
from tests.support.store import contents, deposits, fill, write_original
from tests.support.waiting import wait_until

BACK_UP = """
import sys
from pathlib import Path
from redis import Redis
from eventlab import EventStore
from eventlab.archive import parts
from eventlab.archive.{call} import {call}
parts.PART_EVENTS = 100
store = EventStore(Redis(unix_socket_path=sys.argv[1]), sys.argv[2])
print("ready", flush=True)
{call}(store, Path(sys.argv[3]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a backup."""
    return tmp_path / "backup"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part has three events."""
    monkeypatch.setattr(parts, "PART_EVENTS", 3)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def again(store: EventStore, folder: Path) -> list[Recorded]:
    """Drop the category, restore it, and return its events."""
    store.drop()
    count = restore(store, folder)
    events = list(store.read_all())
    assert count == len(events)
    return events


@pytest.mark.usefixtures("small_parts")
def test_restored_category_is_the_one_that_was_saved(store: EventStore, folder: Path) -> None:
    fill(store, 4, "a")
    store.append("b/ü", [Event("create", {"n": 0.1, "text": "é\n"}, meta={"by": "c"})], expected=0)
    fill(store, 1, "c")
    before = contents(store)
    events = list(store.read_all())
    saved = backup(store, folder)
    assert (saved.new, saved.events, saved.position) == (8, 8, store.head())
    assert [path.stat().st_mode & 0o777 for path in files(folder)] == [0o600] * 3
    assert again(store, folder) == events
    assert contents(store) == before  # positions, tokens and texts included
    assert store.append("a", deposits(1), expected=5)[0].version == 6


def test_later_backup_adds_only_what_is_new(store: EventStore, folder: Path) -> None:
    fill(store, 2)
    backup(store, folder)
    [first] = files(folder)
    before = first.read_bytes()
    assert backup(store, folder).new == 0
    fill(store, 1, "b")
    saved = backup(store, folder)
    assert (saved.new, saved.events, len(files(folder))) == (2, 5, 2)
    assert first.read_bytes() == before
    assert len(again(store, folder)) == 5


def test_backup_includes_what_was_trimmed_and_what_was_adopted(
    store: EventStore, folder: Path
) -> None:
    write_original(store, ("a", 1, "create", {}), ("a", 2, "deposit", {"amount": 5}))
    store.adopt()
    store.append("a", deposits(7), expected=2)
    store.trim(before=store.head())
    assert backup(store, folder).new == 3
    assert [event.data for event in again(store, folder)] == [{}, {"amount": 5}, {"amount": 7}]


def _has_moved(store: EventStore, before: str) -> bool:
    return store.head() != before


def test_backup_while_others_write_is_the_category_at_one_position(
    store: EventStore, folder: Path
) -> None:
    stop = threading.Event()

    def write(id: str) -> None:
        while not stop.is_set():
            store.append(id, deposits(1, 2), expected=ANY)

    writers = [threading.Thread(target=write, args=(id,)) for id in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            before = store.head()
            wait_until(partial(_has_moved, store, before))  # a busy machine may start them late
            saved = backup(store, folder)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    events = [event for event in store.read_all() if _order(event) <= _place(saved.position)]
    assert len(events) == saved.events
    assert again(store, folder) == events


def _order(event: Recorded) -> tuple[int, ...]:
    return _place(event.position)


def _place(position: str) -> tuple[int, ...]:
    return tuple(map(int, position.split("-")))


def test_repeat_of_a_request_is_recognized_after_a_restore(store: EventStore, folder: Path) -> None:
    first = store.append("a", deposits(1), expected=NEW, token="t")
    backup(store, folder)
    again(store, folder)
    assert store.append("a", deposits(1), expected=NEW, token="t") == first


def test_view_notices_a_restored_log_that_is_behind_it(
    store: EventStore, folder: Path, mongo: Database[dict[str, Any]]
) -> None:
    fill(store, 2)
    backup(store, folder)
    with Projector(store, mongo, AccountView(store.category)) as projector:
        store.append("a", deposits(5), expected=3)
        projector.catch_up()
        again(store, folder)
        with pytest.raises(ViewAhead):
            projector.catch_up()
        projector.rebuild()
        assert mongo[store.category].find_one({"_id": "a"}, {"funds": 1}) == {
            "_id": "a",
            "funds": 2,
        }
        projector.reset()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["byte", "cut", "missing", "line", "swapped", "empty"])
def test_damaged_backup_is_named_and_nothing_is_written(
    store: EventStore, folder: Path, damage: str
) -> None:
    fill(store, 8)
    backup(store, folder)
    first, second, _ = files(folder)
    if damage == "byte":
        raw = bytearray(second.read_bytes())
        raw[len(raw) // 2] ^= 1
        second.write_bytes(raw)
    elif damage == "cut":
        second.write_bytes(second.read_bytes()[:-20])
    elif damage == "missing":
        second.unlink()
    elif damage == "line":
        lines = gzip.decompress(second.read_bytes()).replace(b'"amount":1', b'"amount":9', 1)
        second.write_bytes(gzip.compress(lines))
    elif damage == "swapped":
        one = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(one)
    else:
        second.write_bytes(b"")
    with pytest.raises(BackupDamaged):
        backup(store, folder)
    store.drop()
    with pytest.raises(BackupDamaged, match=r"part-00000\d"):
        restore(store, folder)
    assert store.head() == "0-0"


@pytest.mark.parametrize(
    ("line", "old", "new", "error", "words"),
    [
        (0, '"after":"0-0"', '"after":"9999999999999-0"', BackupDamaged, "its footer differs"),
        (-1, '"events":2', '"events":3', BackupDamaged, "its footer differs"),
        (2, ',2,["', ',2,[7,"', BackupDamaged, "part 1 has an event that cannot be read"),
        (2, ',2,["', ',3,["', BackupMismatch, "'a' is not at version 2"),
    ],
)
def test_part_that_a_wrong_program_wrote_is_not_restored(
    store: EventStore,
    folder: Path,
    line: int,
    old: str,
    new: str,
    error: type[Exception],
    words: str,
) -> None:
    """Its checksum is right, but its content is wrong."""
    store.append("a", deposits(1, 2), expected=NEW)
    backup(store, folder)
    [part] = files(folder)
    lines = gzip.decompress(part.read_bytes()).decode().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    checksum = hashlib.sha256("".join(lines[:-1]).encode()).hexdigest()
    lines[-1] = json.dumps(json.loads(lines[-1]) | {"sha256": checksum}) + "\n"
    part.write_bytes(gzip.compress("".join(lines).encode()))
    store.drop()
    with pytest.raises(error, match=words):
        restore(store, folder)
    assert store.head() == "0-0"


def test_restore_refuses_a_category_with_other_events(store: EventStore, folder: Path) -> None:
    fill(store, 2)
    backup(store, folder)
    store.append("a", deposits(1), expected=3)  # newer than the backup
    with pytest.raises(BackupMismatch, match="has events that are not in the backup"):
        restore(store, folder)
    store.drop()
    fill(store, 2)  # the same, but at other positions
    before = contents(store)
    with pytest.raises(BackupMismatch, match="has events that are not in the backup"):
        restore(store, folder)
    assert contents(store) == before
    with pytest.raises(BackupMismatch, match="contains no backup"):
        restore(store, folder / "empty")


def test_backup_refuses_the_folder_of_another_category_or_of_a_lost_log(
    store: EventStore, redis_client: redis.Redis, folder: Path
) -> None:
    fill(store, 1)
    backup(store, folder)
    with pytest.raises(BackupMismatch, match="is a backup of"):
        backup(EventStore(redis_client, f"{store.category}Other"), folder)
    store.drop()
    fill(store, 5)
    with pytest.raises(BackupMismatch, match="no longer has the event at"):
        backup(store, folder)


def test_restore_refuses_a_category_with_an_older_event_of_another_aggregate(
    store: EventStore, redis_client: redis.Redis, folder: Path
) -> None:
    fill(store, 2)
    backup(store, folder)
    store.drop()
    old = EventStore(redis_client, store.category, clock=lambda: 1)
    old.append("z", deposits(1), expected=NEW)
    with pytest.raises(BackupMismatch, match="has events that are not in the backup"):
        restore(store, folder)
    assert store.ids() == ["z"]


@pytest.mark.parametrize("command", ["rpush", "sadd"])
def test_restore_without_a_permission_writes_nothing(
    store: EventStore, folder: Path, command: str
) -> None:
    fill(store, 3)
    backup(store, folder)
    store.drop()
    with (
        without(store, command) as weak,
        pytest.raises(redis.ResponseError, match="a restore needs permission"),
    ):
        restore(weak, folder)
    assert contents(store) == {}
    assert restore(store, folder) == 4


@pytest.mark.usefixtures("small_parts")
def test_restore_that_ended_in_the_middle_is_resumed(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventlab.archive.restore.PAGE_EVENTS", 2)
    fill(store, 4)
    fill(store, 4, "b")
    before = contents(store)
    backup(store, folder)
    store.drop()
    calls = 0

    def fail_at_third(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ConnectionError
        return original(*arguments, **options)

    from eventlab.archive import restore as module

    original = module._write
    monkeypatch.setattr(module, "_write", fail_at_third)
    with pytest.raises(ConnectionError):
        restore(store, folder)
    assert 0 < len(list(store.read_all())) < 10
    assert restore(store, folder) == 10
    assert contents(store) == before
    assert restore(store, folder) == 10  # and a repeat changes nothing


@pytest.mark.parametrize("call", ["backup", "restore"])
def test_killed_run_is_resumed(
    store: EventStore, redis_client: redis.Redis, folder: Path, call: str
) -> None:
    fill(store, 20 * PAGE_EVENTS)
    events = list(store.read_all())
    if call == "restore":
        backup(store, folder)
        store.drop()
    socket = redis_client.connection_pool.connection_kwargs["path"]
    command = [sys.executable, "-c", BACK_UP.format(call=call), socket, store.category, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None and not _begun(store, folder, call):
            pass
        os.kill(process.pid, signal.SIGKILL)
    if call == "backup":
        assert backup(store, folder).events == len(events)
        store.drop()
    assert restore(store, folder) == len(events)
    assert list(store.read_all()) == events


def _begun(store: EventStore, folder: Path, call: str) -> bool:
    return store.head() != "0-0" if call == "restore" else any(folder.glob(parts.PATTERN))


TEXTS = st.text(max_size=20)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=examples(30),
)
@given(
    data=st.dictionaries(
        TEXTS.filter(lambda key: key not in ("id", "version", "type")),
        st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        max_size=4,
    ),
    id=st.text(min_size=1, max_size=20),
)
def test_any_event_comes_back_byte_by_byte(
    store: EventStore, tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any], id: str
) -> None:
    folder = tmp_path_factory.mktemp("backup")
    store.drop()
    try:
        store.append(id, [Event("some", data)], expected=NEW)
    except ValueError:
        return
    before = contents(store)
    backup(store, folder)
    again(store, folder)
    assert contents(store) == before

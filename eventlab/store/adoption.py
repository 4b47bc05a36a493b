"""Adoption: builds the aggregate logs of a category stream that another program wrote.

First the whole stream is checked, then the logs are written, page by page. The set of ids comes
last and all at once, and until it exists the store does not append. So after a crash, run it again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from eventlab.errors import AdoptionRefused, CorruptEvent, InvalidName
from eventlab.events import Recorded, Row, decode_entry, encode_json
from eventlab.store.keys import START, Keys
from eventlab.store.scripts import Script
from eventlab.store.stream import CategoryStream, Entry

PAGE: Final = 1_000
NO_TOKEN: Final = ""  # nobody can repeat the append of an adopted event


def adopt(redis: Any, keys: Keys, *, renumber: bool) -> int:
    """Build the aggregate logs, and return the number of events; see EventStore.adopt."""
    stream = CategoryStream(redis, keys)
    if renumber and not _is_numbered(stream):
        _renumber(redis, keys, stream)
    versions: Counter[str] = Counter()
    for event in _events(stream.entries(others=False)):
        _check_name(keys, event)
        _check_next(event, versions)
    done: Counter[str] = Counter()
    write = Script("store/adopt")
    for page in _pages(stream):
        rows: defaultdict[str, list[Recorded]] = defaultdict(list)
        for event in _events(page):
            _check_next(event, done)
            rows[event.id].append(event)
        for id, events in rows.items():
            _write(redis, write, keys.log(id), events)
    _publish(redis, keys, [id.encode() for id in done])
    if done:
        # The versions have no gap, so none of their events was among the entries others deleted.
        stream.accept_deletions()
    return done.total()


def _pages(stream: CategoryStream) -> Iterator[list[Entry]]:
    entries = stream.entries(others=False)
    while page := list(islice(entries, PAGE)):
        yield page


def _events(entries: Iterable[Entry]) -> Iterator[Recorded]:
    return (decode_entry(position, fields) for position, fields in entries)


def _check_name(keys: Keys, event: Recorded) -> None:
    try:
        keys.log(event.id)
    except InvalidName as error:
        raise CorruptEvent(event.position, str(error)) from error


def _check_next(event: Recorded, versions: Counter[str]) -> None:
    versions[event.id] += 1
    expected = versions[event.id]
    if event.version != expected:
        problem = "is a duplicate" if event.version < expected else f"follows a missing {expected}"
        reason = (
            f"version {event.version} {problem}; "
            "repair the stream, or renumber its events with adopt(renumber=True)"
        )
        raise AdoptionRefused(reason, event.position, event.id, event.version, expected)


def _write(redis: Any, write: Script, log: bytes, events: list[Recorded]) -> None:
    args: list[Any] = [events[0].version]
    for event in events:
        row = Row(event.position, event.type, event.data, NO_TOKEN, event.meta)
        # meta is there only when the caller gave some
        args += (
            event.position,
            encode_json(row if event.meta else [row.position, row.type, row.data, row.token]),
        )
    wrong = write(redis, [log], args)
    if wrong:
        event = events[wrong - events[0].version]
        reason = (
            f"the aggregate log has another event as version {wrong}; "
            "delete the category's aggregate logs, or its stream"
        )
        raise AdoptionRefused(reason, event.position, event.id, event.version, wrong)


def _publish(redis: Any, keys: Keys, found: list[bytes]) -> None:
    if not found:
        return
    ids = keys.ids
    successor = keys.successor(keys.ids)
    redis.delete(successor)
    for at in range(0, len(found), PAGE):
        redis.sadd(successor, *found[at : at + PAGE])
    if redis.exists(ids):  # adopted before, and the other program has written more since
        redis.sunionstore(ids, ids, successor)
        redis.delete(successor)
    else:
        redis.rename(successor, ids)


def _is_numbered(stream: CategoryStream) -> bool:
    versions: Counter[str] = Counter()
    try:
        for event in _events(stream.entries(others=False)):
            _check_next(event, versions)
    except AdoptionRefused:
        return False
    return True


def _renumber(redis: Any, keys: Keys, stream: CategoryStream) -> None:
    """Write a copy of the stream, with the same positions and new versions, and swap the two."""
    groups = redis.xinfo_groups(keys.stream)
    for group in groups:
        if group["pending"]:
            reason = (
                f"group {group['name']!r} has pending events; "
                "let it finish, or destroy it, before you renumber"
            )
            raise AdoptionRefused(reason, START, "", 0, 0)
    successor = keys.successor(keys.stream)
    redis.delete(successor)
    versions: Counter[str] = Counter()
    for position, fields in stream.entries(others=False):
        event = decode_entry(position, fields)
        versions[event.id] += 1
        head = {"id": event.id, "version": versions[event.id], "type": event.type}
        redis.xadd(successor, {**fields, b"event": encode_json(head | event.data)}, id=position)
    for group in groups:
        redis.xgroup_create(successor, group["name"], id=group["last-delivered-id"])
    redis.rename(successor, keys.stream)

"""Builds the aggregate logs of a category stream that another program wrote.

First, the whole stream is checked. Then the logs are written, page by page. The set of aggregate
ids is written last, in one step. The store rejects appends until this set exists, so after a crash,
run the adoption again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from redis.exceptions import ResponseError

from eventlab.errors import AdoptionRefused, CorruptEvent, InvalidName
from eventlab.events import Recorded, Row, decode_entry, encode_json
from eventlab.store.keys import START, Keys
from eventlab.store.paging import KEYS_PAGE, MAX_PAGE
from eventlab.store.scripts import RAW, Script
from eventlab.store.stream import CategoryStream, Entry

NO_TOKEN: Final = ""  # for adopted events, because nobody can repeat their appends


def adopt(redis: Any, keys: Keys, *, renumber: bool) -> int:
    """Build the aggregate logs, and return the number of events; see EventStore.adopt."""
    stream = CategoryStream(redis, keys)
    if renumber and not _is_numbered(keys, stream):
        _renumber(redis, keys, stream)
    _check(keys, stream)
    done: Counter[str] = Counter()
    write = Script("store/adopt")
    for page in _pages(stream.entries(others=False)):
        rows: defaultdict[str, list[Recorded]] = defaultdict(list)
        for event in page:
            _check_next(event, done)
            rows[event.id].append(event)
        for id, events in rows.items():
            _write(redis, write, keys.log(id), events)
    _publish(redis, keys, [id.encode() for id in done])
    if done:
        # The versions have no gaps, so other programs have deleted none of these events.
        stream.accept_deletions()
    return done.total()


def foreign_events(redis: Any, keys: Keys) -> list[Recorded]:
    """Return the events that are in the stream but in no aggregate log; see EventStore.verify."""
    stream = CategoryStream(redis, keys)
    found = []
    for page in _pages(stream.entries(after=stream.trimmed_to(), others=False)):
        pipeline = redis.pipeline(transaction=False)
        for event in page:
            at = min(event.version, 2**53) - 1  # Redis rejects a very large index
            pipeline.execute_command("LINDEX", keys.log(event.id), at, **RAW)
        for event, element in zip(page, pipeline.execute(), strict=True):
            if not (element or b"").startswith(b'["%b",' % event.position.encode()):
                found.append(event)
    return found


def _pages(entries: Iterator[Entry]) -> Iterator[list[Recorded]]:
    while page := list(islice(entries, MAX_PAGE)):
        yield list(_events(page))


def _events(entries: Iterable[Entry]) -> Iterator[Recorded]:
    return (decode_entry(position, fields) for position, fields in entries)


def _check(keys: Keys, stream: CategoryStream) -> None:
    versions: Counter[str] = Counter()
    for event in _events(stream.entries(others=False)):
        try:
            keys.log(event.id)
        except InvalidName as error:
            raise CorruptEvent(event.position, str(error)) from error
        _check_next(event, versions)


def _is_numbered(keys: Keys, stream: CategoryStream) -> bool:
    try:
        _check(keys, stream)
    except AdoptionRefused:
        return False
    return True


def _check_next(event: Recorded, versions: Counter[str]) -> None:
    versions[event.id] += 1
    expected = versions[event.id]
    if event.version != expected:
        is_known = event.version < expected
        problem = "is a duplicate" if is_known else f"follows, but {expected} is missing"
        reason = (
            f"version {event.version} {problem}; "
            "repair the stream, or renumber its events with adopt(renumber=True)"
        )
        raise AdoptionRefused(reason, event.position, event.id, event.version, expected)


def _write(redis: Any, write: Script, log: bytes, events: list[Recorded]) -> None:
    args: list[Any] = [events[0].version]
    for event in events:
        row = Row(event.position, event.type, event.data, NO_TOKEN, event.meta)
        # Include meta only if the event has some.
        whole = row if event.meta else [row.position, row.type, row.data, row.token]
        args += (event.position, encode_json(whole))
    wrong = write(redis, [log], args)
    if wrong:
        event = events[wrong - events[0].version]
        reason = (
            f"the aggregate log has a different event at version {wrong}; "
            "delete the category's aggregate logs, or its stream"
        )
        raise AdoptionRefused(reason, event.position, event.id, event.version, wrong)


def _publish(redis: Any, keys: Keys, found: list[bytes]) -> None:
    # If the stream was adopted before, and the other program has written more since, the new ids
    # can be added page by page. Otherwise, all ids must appear at once.
    key = keys.ids if redis.exists(keys.ids) else keys.successor(keys.ids)
    if key != keys.ids:
        redis.unlink(key)
    for at in range(0, len(found), KEYS_PAGE):
        redis.sadd(key, *found[at : at + KEYS_PAGE])
    if key != keys.ids:
        _once("no such key", redis.rename, key, keys.ids)


def _renumber(redis: Any, keys: Keys, stream: CategoryStream) -> None:
    """Replace the stream with a copy that has the same positions and new versions."""
    groups = redis.execute_command("XINFO GROUPS", keys.stream, **RAW)
    for group in groups:
        if group["pending"]:
            reason = (
                f"group {group['name'].decode()!r} has pending events; "
                "let it finish, or destroy it, before you renumber"
            )
            raise AdoptionRefused(reason, START, "", 0, 0)
    successor = keys.successor(keys.stream)
    redis.unlink(successor)
    versions: Counter[str] = Counter()
    for position, fields in stream.entries(others=False):
        event = decode_entry(position, fields)
        versions[event.id] += 1
        head = {"id": event.id, "version": versions[event.id], "type": event.type}
        copied = {**fields, b"event": encode_json(head | event.data)}
        _once("equal or smaller", redis.xadd, successor, copied, id=position)
    for group in groups:
        last = group["last-delivered-id"]
        _once("BUSYGROUP", redis.xgroup_create, successor, group["name"], id=last)
    _once("no such key", redis.rename, successor, keys.stream)


def _once(done: str, command: Callable[..., object], *args: object, **options: object) -> None:
    """Run a command that redis-py may repeat after a lost reply.

    If redis-py repeats the command, the repeat fails with an error whose text contains ``done``.
    That error is ignored.
    """
    try:
        command(*args, **options)
    except ResponseError as error:
        if done not in str(error):
            raise

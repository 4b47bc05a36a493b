"""The event store contract: a suite of tests that every event store must pass.

Your own pytest class inherits from the contract and has a fixture ``store``, which returns a new,
empty store for each test:

    class TestLittleStore(StoreContract):
        @pytest.fixture
        def store(self) -> LittleStore:
            return LittleStore()
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eventlab.errors import (
    InvalidArgument,
    InvalidEvent,
    InvalidName,
    TokenReused,
    VersionConflict,
)
from eventlab.events import MAX_EVENT_BYTES, Event, Recorded
from eventlab.store.keys import START, order
from eventlab.store.store import ANY, EXISTS, NEW
from eventlab.testing.promises import expect, expect_error
from eventlab.testing.store import CREATE, Store, contents, deposits

WRITERS = 4
WRITES = 25  # per writer
MAX_TRIES = 5_000  # per writer in a race, before the writer counts as stuck


class AppendContract:
    """The tests of appends."""

    def test_append_returns_what_is_read(self, store: Store) -> None:
        """An append returns its events as recorded, and read returns the same events."""
        recorded = store.append("a", [CREATE, *deposits(5)], expected=NEW)
        found = [(event.id, event.version, event.type, event.data) for event in recorded]
        wanted = [("a", 1, "create", {}), ("a", 2, "deposit", {"amount": 5})]
        expect(found, wanted, "what append returns")
        recorded += store.append("a", deposits(7), expected=2)
        expect(recorded[2].version, 3, "the version after the second append")
        expect(store.read("a"), recorded, "what read returns")

    def test_append_at_another_version_is_a_conflict(self, store: Store) -> None:
        """An append that expects a wrong version raises VersionConflict and writes nothing."""
        store.append("a", [CREATE, *deposits(1, 2)], expected=NEW)
        before = contents(store)
        for wrong in (NEW, 1, 2, 4, 2**53 - 1):
            with expect_error(
                VersionConflict, f"an append that expects version {wrong} when the version is 3"
            ) as caught:
                store.append("a", deposits(9), expected=wrong)
            data = (caught[0].id, caught[0].expected, caught[0].actual)
            expect(data, ("a", wrong, 3), "id, expected and actual of the conflict")
        expect(contents(store), before, "the store after conflicts")

    def test_append_expects_exists_or_anything(self, store: Store) -> None:
        """EXISTS requires that the aggregate exists, and ANY requires nothing."""
        with expect_error(
            VersionConflict, "an append with EXISTS to a missing aggregate"
        ) as caught:
            store.append("a", [CREATE], expected=EXISTS)
        expect(caught[0].actual, 0, "the actual version of the conflict")
        expect(contents(store), {"": []}, "the store after the conflict")
        for expected in (ANY, ANY, EXISTS):
            store.append("a", [CREATE], expected=expected)
        expect([event.version for event in store.read("a")], [1, 2, 3], "the versions")

    def test_append_writes_all_events_or_none(self, store: Store) -> None:
        """If one event cannot be stored, no event of its batch is stored."""
        store.append("a", [CREATE], expected=NEW)
        before = contents(store)
        bad: list[Any] = [
            Event(""),
            Event("x", {"id": "b"}),
            Event("x", {"n": float("nan")}),
            Event("x", {"pair": (1, 2)}),
            Event("x", {"when": object()}),
            Event("x", {"text": "x" * MAX_EVENT_BYTES}),
            Event("x", {"half": "\ud83d"}),
            "deposit",
        ]
        for event in bad:
            for id, expected in (("a", 1), ("new", NEW)):
                with expect_error(InvalidEvent, f"{event!r:.60}"):
                    store.append(id, [*deposits(1, 2), event], expected=expected)
        with expect_error(InvalidEvent, "an empty batch"):
            store.append("a", [], expected=1)
        expect(contents(store), before, "the store after invalid events")

    def test_append_rejects_bad_arguments(self, store: Store) -> None:
        """A bad id or token (InvalidName) or version (InvalidArgument) writes nothing."""
        ids: list[Any] = ["", None, 1, b"a", "\ud83d", "x" * 513]
        for id in ids:
            with expect_error(InvalidName, f"append to id {id!r:.20}"):
                store.append(id, [CREATE], expected=ANY)
            with expect_error(InvalidName, f"read of id {id!r:.20}"):
                store.read(id)
            if id is not None:
                with expect_error(InvalidName, f"append with token {id!r:.20}"):
                    store.append("a", [CREATE], expected=ANY, token=id)
        versions: list[Any] = [-1, True, 1.0, "1", None, 2**53]
        for version in versions:
            with expect_error(InvalidArgument, f"expected={version!r}"):
                store.append("a", [CREATE], expected=version)
        expect(contents(store), {"": []}, "the store after bad arguments")

    def test_append_keeps_data_exactly(self, store: Store) -> None:
        """Data and meta are read exactly as they were appended, to the last digit."""
        data = {
            "integers": [0, -1, 2**53 + 1, 2**63 - 1],
            "floats": [0.1, 1e300, -2.5e-8],
            "plain": [None, True, False, "", [], {}],
            "text": "J\u00fcrgen \U0001f600 \u2028 \x00\x1b \" \\ {a} 'x'",
            "": {"deep": [{"er": 1}]},
        }
        meta = {"correlation_id": "c-1", "data": data}
        store.append("a", [Event("x", data, meta), Event("x", data)], expected=NEW)
        for found in (store.read("a"), list(store.read_all())):
            expect([(e.data, e.meta) for e in found], [(data, meta), (data, None)], "the events")

    def test_append_is_not_changed_by_its_caller(self, store: Store) -> None:
        """If a caller changes its objects later, the stored events do not change."""
        data = {"list": [1]}
        returned = store.append("a", [Event("x", data)], expected=NEW)
        data["list"].append(2)
        returned[0].data["list"].append(3)
        store.read("a")[0].data["list"].append(4)
        for event in store.read_all():
            event.data["list"].append(5)
        expect(store.read("a")[0].data, {"list": [1]}, "the stored data")
        expect(next(iter(store.read_all())).data, {"list": [1]}, "the data in the category")

    def test_aggregates_are_independent(self, store: Store) -> None:
        """Each id names a separate aggregate, whatever characters it contains."""
        ids = ["a", "A", "a:1", "{a}", " ", "a/ids", "*", "a\n", "\x00", "\U0001f600", "x" * 512]
        for number, id in enumerate(ids):
            store.append(id, deposits(number), expected=NEW)
        expect(list(store.ids()), sorted(ids), "the ids, sorted")
        for number, id in enumerate(ids):
            found = [(event.version, event.data["amount"]) for event in store.read(id)]
            expect(found, [(1, number)], f"the events of {id!r:.20}")


class TokenContract:
    """The tests of an append with a token, which makes the append safe to repeat."""

    def test_repeat_returns_what_was_recorded(self, store: Store) -> None:
        """An append repeated with its token returns the recorded events and writes nothing."""
        first = store.append("a", [CREATE, *deposits(5)], expected=NEW, token="t1")
        store.append("a", deposits(6), expected=2, token="t2")
        before = contents(store)
        again = store.append("a", [CREATE, *deposits(5)], expected=NEW, token="t1")
        expect(again, first, "what the repeat returns")
        expect(contents(store), before, "the store after the repeat")

    def test_repeat_is_found_whatever_it_expects(self, store: Store) -> None:
        """A repeat with ANY or EXISTS is recognized too."""
        for expected, token in ((ANY, "t1"), (EXISTS, "t2")):
            first = store.append("a", deposits(1, 2), expected=expected, token=token)
            store.append("a", deposits(3), expected=ANY)
            again = store.append("a", deposits(1, 2), expected=expected, token=token)
            expect(again, first, f"what the repeat with {expected} returns")
        expect(store.version("a"), 6, "the version after the repeats")

    def test_token_of_other_events_is_rejected(self, store: Store) -> None:
        """Reusing a token for other events raises TokenReused and writes nothing."""
        store.append("a", deposits(1, 2), expected=NEW, token="t1")
        before = contents(store)
        others = [deposits(1), deposits(1, 3), deposits(1, 2, 3), [Event("x"), Event("y")]]
        others.append([Event("deposit", {"amount": n}, {"by": "me"}) for n in (1, 2)])
        for events in others:
            with expect_error(TokenReused, f"token t1 for {events!r:.80}"):
                store.append("a", events, expected=NEW, token="t1")
        expect(contents(store), before, "the store after reused tokens")

    def test_token_does_not_hide_a_conflict(self, store: Store) -> None:
        """A new token at an old version is a conflict, and each aggregate has its own tokens."""
        store.append("a", deposits(1), expected=NEW, token="t1")
        with expect_error(VersionConflict, "the same events with another token"):
            store.append("a", deposits(1), expected=NEW, token="t2")
        store.append("b", deposits(1), expected=NEW, token="t1")
        expect((store.version("a"), store.version("b")), (1, 1), "the versions")


class ReadContract:
    """The tests of reads."""

    def test_positions_only_grow(self, store: Store) -> None:
        """Each event has a higher position than all earlier events, whatever its aggregate."""
        events = [store.append(id, deposits(1, 2), expected=ANY) for id in "abab"]
        positions = [event.position for batch in events for event in batch]
        expect(sorted(set(positions), key=order), positions, "the positions in commit order")
        expect(store.head(), positions[-1], "the head")

    def test_read_all_returns_commit_order(self, store: Store) -> None:
        """read_all returns each event after a position once, in commit order, up to a limit."""
        expect((list(store.read_all()), store.head()), ([], "0-0"), "an empty store")
        events = [e for id in "abcab" for e in store.append(id, deposits(1, 2), expected=ANY)]
        expect(list(store.read_all()), events, "read_all")
        for number, event in enumerate(events, 1):
            rest = list(store.read_all(after=event.position))
            expect(rest, events[number:], f"read_all after event {number}")
            some = list(store.read_all(after=event.position, limit=3))
            expect(some, events[number : number + 3], f"read_all after event {number}, limit 3")

    def test_read_returns_the_part_that_is_asked_for(self, store: Store) -> None:
        """read returns up to ``limit`` versions above ``after``, oldest or newest first."""
        store.append("b", deposits(1), expected=NEW)
        events = store.append("a", deposits(1, 2, 3, 4, 5), expected=NEW)
        for after in (0, 1, 4, 5, 9):
            for limit in (None, 0, 1, 2, 9):
                part = events[after:] if limit is None else events[after : after + limit]
                what = f"read after={after} limit={limit}"
                expect(store.read("a", after=after, limit=limit), part, what)
                part = events[after:][::-1][:limit]
                found = store.read("a", after=after, limit=limit, reverse=True)
                expect(found, part, f"{what} reverse")

    def test_unknown_aggregate_is_empty(self, store: Store) -> None:
        """An aggregate without events is at version 0, and a read does not create it."""
        store.append("a", deposits(1, 2), expected=NEW)
        expect((store.read("b"), store.version("b")), ([], 0), "an unknown aggregate")
        expect((store.version("a"), list(store.ids())), (2, ["a"]), "the known aggregate")

    def test_read_rejects_bad_arguments(self, store: Store) -> None:
        """A negative count or an invalid position raises InvalidArgument."""
        store.append("a", deposits(1, 2), expected=NEW)
        counts: list[Any] = [-1, 1.5, "1", True]
        for count in counts:
            for name in ("after", "limit"):
                with expect_error(InvalidArgument, f"read {name}={count!r}"):
                    store.read("a", **{name: count})
            with expect_error(InvalidArgument, f"read_all limit={count!r}"):
                list(store.read_all(limit=count))
        positions: list[Any] = ["", "x", "-1", 1, None, "1-2-3"]
        for position in positions:
            with expect_error(InvalidArgument, f"read_all after={position!r}"):
                list(store.read_all(after=position))


class RaceContract:
    """The tests of a store that several threads use at once."""

    def test_one_of_many_creates_an_aggregate(self, store: Store) -> None:
        """Of several writers that expect the same version, exactly one succeeds."""
        for attempt in range(WRITES):
            results = race([lambda id=f"a{attempt}": _won(store, id)] * WRITERS)
            expect(sorted(results), [False] * (WRITERS - 1) + [True], "which writers succeeded")
            expect(store.version(f"a{attempt}"), 1, "the version after the race")

    def test_no_write_is_lost(self, store: Store) -> None:
        """Writers that decide again after a conflict lose no events and write none twice."""
        expect(race([lambda: count_up(store)] * WRITERS), [None] * WRITERS, "the writers")
        numbers = [event.data["number"] for event in store.read("counter")]
        expect(numbers, [*range(1, WRITERS * WRITES + 1)], "the numbers that the writers appended")
        expect([*map(len, contents(store).values())], [WRITERS * WRITES] * 2, "the events")

    def test_readers_see_whole_appends_in_order(self, store: Store) -> None:
        """While others write, a reader that resumes at its last position misses no events."""
        seen: list[Recorded] = []
        done = threading.Event()

        def follow() -> None:
            is_last = False
            while not is_last:
                is_last = done.is_set()
                page = list(store.read_all(after=seen[-1].position if seen else START))
                expect(len(page) % 2, 0, "the events of an incomplete append")
                seen.extend(page)

        def write() -> None:
            try:
                race([lambda id=f"w{n}": _write(store, id) for n in range(WRITERS)])
            finally:
                done.set()

        race([follow, write])
        expect(seen, list(store.read_all()), "what the reader has seen")
        expect(len(seen), WRITERS * WRITES * 2, "the number of events")


class StoreContract(AppendContract, TokenContract, ReadContract, RaceContract):
    """The tests that every event store must pass. Each test takes the fixture ``store``."""


def race(tasks: Sequence[Any]) -> list[Any]:
    """Run tasks in threads that switch often, and return the results."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            return [future.result() for future in [pool.submit(task) for task in tasks]]
    finally:
        sys.setswitchinterval(interval)


def _won(store: Store, id: str) -> bool:
    try:
        store.append(id, [CREATE], expected=NEW)
    except VersionConflict:
        return False
    return True


def count_up(store: Store) -> None:
    """Append WRITES events that count up, and read the last number again after each conflict."""
    written = 0
    for _ in range(MAX_TRIES):
        if written == WRITES:
            return
        last = store.read("counter", limit=1, reverse=True)
        number = last[0].data["number"] if last else 0
        version = last[0].version if last else 0
        try:
            store.append("counter", [Event("n", {"number": number + 1})], expected=version)
        except VersionConflict:
            continue
        written += 1
    raise AssertionError(f"a writer wrote {written} of {WRITES} events in {MAX_TRIES} tries")


def _write(store: Store, id: str) -> None:
    for _ in range(WRITES):
        store.append(id, deposits(1, 2), expected=ANY)

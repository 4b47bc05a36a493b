"""Tests of what only ``EventStore`` promises: idempotency keys, trims and several clients."""

from __future__ import annotations

from eventlab.errors import (
    CommandRejected,
    IdempotencyKeyReused,
    LogReplaced,
    Trimmed,
)
from eventlab.events import Recorded
from eventlab.store.keys import START
from eventlab.store.store import ANY, EXISTS, NEW, EventStore
from eventlab.testing.contract import WRITERS, WRITES, StoreContract, count_up, race
from eventlab.testing.promises import expect, expect_error
from eventlab.testing.store import CREATE, contents, deposits


class FullStoreContract(StoreContract):
    """The tests that an ``EventStore`` must pass on any server.

    Each test takes the fixture ``store``, and some also take ``other``, a second client of the same
    category.
    """

    def test_key_returns_the_first_outcome(self, store: EventStore, other: EventStore) -> None:
        """A repeat under an idempotency key returns the first outcome and writes nothing."""
        expect(other.seen("a", "k1"), None, "the outcome of a new key")
        first = store.append("a", deposits(5), expected=NEW, idempotency_key="k1")
        store.append("a", deposits(6), expected=1)
        before = contents(store)
        for expected in (NEW, 2, ANY, EXISTS):
            again = other.append("a", deposits(5), expected=expected, idempotency_key="k1")
            expect(again, first, f"what the repeat with {expected} returns")
        expect(other.seen("a", "k1"), first, "the outcome of the key")
        expect(contents(store), before, "the store after repeats")

    def test_key_of_another_request_is_rejected(self, store: EventStore) -> None:
        """Reusing a key for another request is an error, but each aggregate has its own keys."""
        store.append("a", deposits(5), expected=NEW, idempotency_key="k1")
        with expect_error(IdempotencyKeyReused, "key k1 for other events"):
            store.append("a", deposits(6), expected=1, idempotency_key="k1")
        store.append("b", deposits(6), expected=NEW, idempotency_key="k1")
        versions = (store.version("a"), store.version("b"))
        expect(versions, (1, 1), "the versions")

    def test_key_keeps_a_rejection(self, store: EventStore, other: EventStore) -> None:
        """A rejection under a key is raised again; it never replaces the events under a key."""
        for _ in range(2):
            with expect_error(CommandRejected, "a rejected request") as caught:
                store.reject("a", "k1", CommandRejected("no money"), fingerprint="withdraw 5")
            expect(str(caught[0]), "no money", "the rejection")
        with expect_error(CommandRejected, "an append with the key of a rejected request"):
            other.append(
                "a", deposits(5), expected=NEW, idempotency_key="k1", fingerprint="withdraw 5"
            )
        first = store.append("a", [CREATE], expected=NEW, idempotency_key="k2", fingerprint="f")
        kept = other.reject("a", "k2", CommandRejected("late"), fingerprint="f")
        expect(kept, first, "the outcome of a key that has events")

    def test_key_counts_once_in_a_race(self, store: EventStore, other: EventStore) -> None:
        """If several clients send the same key at once, all of them get the same outcome."""
        for attempt in range(WRITES):
            id = f"a{attempt}"

            def send(client: EventStore, id: str = id) -> list[Recorded]:
                return client.append(id, deposits(1), expected=ANY, idempotency_key="k")

            results = race([lambda: send(store), lambda: send(other)] * 2)
            expect(results, [store.read(id)] * 4, "what the clients got")
            expect(store.version(id), 1, "the version")

    def test_clients_lose_nothing_in_a_race(self, store: EventStore, other: EventStore) -> None:
        """Several clients that decide again after a conflict lose no events."""
        tasks = [lambda: count_up(store), lambda: count_up(other)] * (WRITERS // 2)
        race(tasks)
        numbers = [event.data["number"] for event in store.read("counter")]
        expect(numbers, [*range(1, WRITERS * WRITES + 1)], "the numbers that the clients appended")
        expect(contents(other), contents(store), "what the other client reads")

    def test_trim_drops_only_what_was_read(self, store: EventStore, other: EventStore) -> None:
        """A trim keeps the aggregate logs, and a reader that would miss events gets Trimmed."""
        events = [e for id in "abc" for e in store.append(id, deposits(1, 2), expected=NEW)]
        dropped = store.trim(before=events[3].position)
        expect(dropped, 3, "the number of dropped events")
        for after in (START, events[0].position):
            with expect_error(Trimmed, f"read_all after {after}"):
                list(other.read_all(after=after))
        rest = list(other.read_all(after=events[2].position))
        expect(rest, events[3:], "read_all after the trim")
        expect([e for id in "abc" for e in other.read(id)], events, "the aggregate logs")
        store.append("a", deposits(3), expected=2)
        expect(store.version("a"), 3, "the version after an append")

    def test_pages_are_what_is_read(self, store: EventStore) -> None:
        """``pages`` yields the same events as ``read``, each with the token of its append."""
        events = store.append("a", deposits(1, 2), expected=NEW, token="t1")
        events += store.append("a", deposits(3), expected=2, token="t2")
        for after in range(4):
            pages = list(store.pages("a", after=after))
            found = [event for page in pages for event in page.events]
            tokens = [token for page in pages for token in page.tokens]
            expect(found, events[after:], f"the events of pages after={after}")
            expect(tokens, ["t1", "t1", "t2"][after:], "their tokens")

    def test_replaced_log_is_noticed(self, store: EventStore) -> None:
        """An append that names the newest event is rejected if the log has a different event."""
        event = store.append("a", deposits(1), expected=NEW, token="t1")[0]
        with expect_error(LogReplaced, "an append after another event"):
            store.append("a", deposits(2), expected=1, newest=(event.position, "t0"))
        store.append("a", deposits(2), expected=1, newest=(event.position, "t1"))
        expect(store.version("a"), 2, "the version")

    def test_stream_and_logs_agree(self, store: EventStore, other: EventStore) -> None:
        """The stream and the aggregate logs have the same events until the category is dropped."""
        for id in "abab":
            store.append(id, deposits(1, 2), expected=ANY)
        expect(other.verify(), [], "the events that are only in the stream")
        by_id = sorted(other.read_all(), key=lambda event: (event.id, event.version))
        expect(by_id, [*other.read("a"), *other.read("b")], "the events")
        store.drop()
        expect((contents(other), other.version("a")), ({"": []}, 0), "a dropped category")

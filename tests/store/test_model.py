"""A model test: any sequence of calls on the store has the same effect as on a dict of lists."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from eventlab import (
    ANY,
    EXISTS,
    Event,
    EventStore,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidName,
    Recorded,
    Trimmed,
    VersionConflict,
)
from eventlab.servers import connect
from tests.support.examples import examples

ids = st.sampled_from(["a", "b", "c:d", "{e}", "é🐍"])
batches = st.lists(st.integers(0, 9), min_size=1, max_size=4) | st.sampled_from(
    [list(range(1001)), list(range(20_000))]
)
offsets = st.sampled_from([0, 0, 0, -1, 1])
keys = st.sampled_from(["k1", "k2"])


def events(numbers: list[int]) -> list[Event]:
    return [Event("n", {"n": n}, {"odd": n} if n % 2 else None) for n in numbers]


class StoreModel(RuleBasedStateMachine):
    """The store, and the model it must agree with."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = connect()
        self.store = EventStore(self.lab.redis, f"test-model-{uuid.uuid4().hex[:8]}")
        self.clear()

    def clear(self) -> None:
        self.logs: dict[str, list[Recorded]] = {}
        self.all: list[Recorded] = []
        self.tokens: dict[tuple[str, str], tuple[list[int], Any, list[Recorded]]] = {}
        self.outcomes: dict[tuple[str, str], tuple[list[int], list[Recorded]]] = {}
        self.trimmed = 0

    def teardown(self) -> None:
        self.store.drop()
        self.lab.close()

    def expect(self, id: str, numbers: list[int], recorded: list[Recorded]) -> None:
        log = self.logs.setdefault(id, [])
        versions = range(len(log) + 1, len(log) + len(numbers) + 1)
        assert [(event.id, event.version, event.data["n"]) for event in recorded] == [
            (id, version, n) for version, n in zip(versions, numbers, strict=True)
        ]
        log += recorded
        self.all += recorded

    @rule(
        id=ids,
        numbers=batches,
        form=st.sampled_from(["exact", EXISTS, ANY]),
        offset=offsets,
        token=st.none() | keys,
    )
    def append(
        self, id: str, numbers: list[int], form: Any, offset: int, token: str | None
    ) -> None:
        actual = len(self.logs.get(id, []))
        expected = max(0, actual + offset) if form == "exact" else form
        if token and (id, token) in self.tokens:
            return  # repeats have their own rule
        if (expected is EXISTS and actual == 0) or (form == "exact" and expected != actual):
            try:
                self.store.append(id, events(numbers), expected=expected, token=token)
            except VersionConflict as conflict:
                assert (conflict.expected, conflict.actual) == (expected, actual)  # noqa: PT017
            else:
                raise AssertionError("a conflict was stored")
            return
        recorded = self.store.append(id, events(numbers), expected=expected, token=token)
        self.expect(id, numbers, recorded)
        if token:
            self.tokens[id, token] = (numbers, expected, recorded)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        id, token = data.draw(st.sampled_from(sorted(self.tokens)))
        numbers, expected, recorded = self.tokens[id, token]
        assert self.store.append(id, events(numbers), expected=expected, token=token) == recorded

    @rule(
        id=ids,
        numbers=batches,
        key=keys,
        form=st.sampled_from(["exact", EXISTS, ANY]),
        offset=offsets,
    )
    def append_with_a_key(
        self, id: str, numbers: list[int], key: str, form: Any, offset: int
    ) -> None:
        actual = len(self.logs.get(id, []))
        earlier = self.outcomes.get((id, key))
        expected = max(0, actual + offset) if form == "exact" else form
        try:
            recorded = self.store.append(
                id, events(numbers), expected=expected, idempotency_key=key
            )
        except IdempotencyKeyReused:
            assert earlier
            assert earlier[0] != numbers
            return
        except VersionConflict:
            assert not earlier  # else it would be the first result, at any version
            assert actual == 0 if expected is EXISTS else expected not in (ANY, actual)
            assert self.store.seen(id, key) is None
            return
        if earlier:
            assert earlier == (numbers, recorded)
        else:
            assert expected in (ANY, EXISTS, actual)
            self.expect(id, numbers, recorded)
            self.outcomes[id, key] = (numbers, recorded)
        assert self.store.seen(id, key) == recorded

    @rule(
        id=ids | st.sampled_from(["", "x" * 600]),
        bad=st.sampled_from(
            [[], [Event("x", {"id": 1})], [Event("y"), Event("x", {"n": float("nan")})], [None]]
        ),
    )
    def reject(self, id: str, bad: list[Any]) -> None:
        try:
            self.store.append(id, bad, expected=ANY)
        except (InvalidEvent, InvalidName):
            return
        raise AssertionError("bad input was stored")

    @rule(
        id=ids,
        after=st.integers(0, 30),
        limit=st.none() | st.integers(0, 30),
        reverse=st.booleans(),
    )
    def read(self, id: str, after: int, limit: int | None, reverse: bool) -> None:
        log = self.logs.get(id, [])[after:]
        assert (
            self.store.read(id, after=after, limit=limit, reverse=reverse)
            == (log[::-1] if reverse else log)[:limit]
        )

    @precondition(lambda self: len(self.all) > self.trimmed)
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(self.trimmed, min(self.trimmed + 5, len(self.all) - 1)))
        assert self.store.trim(before=self.all[place].position) == place - self.trimmed
        self.trimmed = place

    @rule(data=st.data())
    def read_all(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.all)))
        after = self.all[place - 1].position if place else "0-0"
        try:
            found = list(self.store.read_all(after=after))
        except Trimmed:
            assert place < self.trimmed
            return
        assert place >= self.trimmed
        assert found == self.all[place:]

    @rule()
    def drop(self) -> None:
        self.store.drop()
        self.clear()

    @invariant()
    def the_versions_and_ids_are_the_model_s(self) -> None:
        assert self.store.ids() == sorted(self.logs)
        assert {id: self.store.version(id) for id in self.logs} == {
            id: len(log) for id, log in self.logs.items()
        }
        assert self.store.head() == (self.all[-1].position if self.all else "0-0")


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=examples(25), stateful_step_count=25, deadline=None)

"""The exercises of 12_before_you_use_it_at_work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis

from eventlab import NEW, Event, Recorded, VersionConflict
from eventlab.lessons.choices import choices
from eventlab.lessons.exercise import Exercise, Wrong
from eventlab.lessons.little_store import LittleStore, UnfinishedStore
from eventlab.testing import StoreContract, check

would_you = Exercise(
    judge=choices(
        {
            "a": (
                "yes",
                "money, disputes, auditors: people ask what happened, and a current balance does "
                "not answer that.",
            ),
            "b": (
                "no",
                "nobody asks how the price list came about. A table with a backup is enough.",
            ),
            "c": (
                "no",
                "a counter of page views needs no version, no rule and no history of each click: "
                "a metric does it.",
            ),
            "d": (
                "yes",
                "several parties change the same thing, by rules, and argue about it later.",
            ),
            "e": (
                "no",
                "no decisions are made here: build a search index from the files.",
            ),
        },
        ("yes", "no"),
    ),
    right="it pays where decisions, their order and their reasons matter, and nowhere else.",
    hints=[
        "in which of these does somebody ask 'how did this come about?'",
        "three of the five have no rules to keep and no history that anybody reads.",
    ],
    answer="""
        uses = {"a": "yes", "b": "no", "c": "no", "d": "yes", "e": "no"}
    """,
    explanation="One system may do both: events for the claims, a table for the price list.",
    mistakes=[
        """
        uses = {"a": "yes", "b": "yes", "c": "yes", "d": "yes", "e": "yes"}
        """,
        """
        uses = {"a": "no", "b": "no", "c": "no", "d": "no", "e": "no"}
        """,
        """
        uses = {"a": "yes", "b": "no", "c": "yes", "d": "yes", "e": "no"}
        """,
    ],
)

what_is_lost = Exercise(
    judge=choices(
        {
            "a": ("nothing", "the file is written before the reply; only the process is gone."),
            "b": (
                "the last second",
                "the file was written, but not yet fsynced: it was in the memory of the machine.",
            ),
            "c": ("nothing", "it was on the disk before the reply."),
            "d": (
                "what the replica lacks",
                "the old master had it on its disk, but the replica is the master now.",
            ),
            "e": ("nothing", "the reply came only after the replica had it."),
        },
        ("nothing", "the last second", "what the replica lacks"),
    ),
    right="there are three places: the memory of the machine, its disk, and another machine. "
    "Know which one you waited for.",
    hints=[
        "a killed process is not a power failure: the operating system still writes its files.",
        "d: which server is the master after a failover, and what did it have?",
    ],
    answer="""
        lost = {
            "a": "nothing", "b": "the last second", "c": "nothing",
            "d": "what the replica lacks", "e": "nothing",
        }
    """,
    explanation="`settle(disk=1, replicas=1)` waits for all three, when an event is worth it.",
    mistakes=[
        """
        lost = {
            "a": "the last second", "b": "the last second", "c": "nothing",
            "d": "what the replica lacks", "e": "nothing",
        }
        """,
        """
        lost = {
            "a": "nothing", "b": "nothing", "c": "nothing",
            "d": "what the replica lacks", "e": "nothing",
        }
        """,
        """
        lost = {
            "a": "nothing", "b": "the last second", "c": "nothing",
            "d": "nothing", "e": "nothing",
        }
        """,
    ],
)


class _Outage(LittleStore):
    """A store whose server fails over: some replies are lost, after or before the write."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__()
        self._failures = list(failures)

    def append(self, id: str, events: Sequence[Event], **options: Any) -> list[Recorded]:
        """Append, and lose the request or its reply if it is told to."""
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "before":
            raise redis.ConnectionError("the master is gone")
        recorded = super().append(id, events, **options)
        if failure == "after":
            raise redis.ConnectionError("the master is gone")
        return recorded


def _judge_append(append: Callable[..., object]) -> None:
    events = [Event("deposit", {"amount": 5})]
    for failures in ([], ["before"], ["after"], ["before", "after", "before"]):
        store = _Outage(failures)
        store._failures = []
        store.append("A", [Event("create")], expected=NEW)
        store._failures = list(failures)
        try:
            append(store, "A", events, 1)
        except redis.ConnectionError as error:
            raise Wrong(f"the server was down {len(failures)} times, and you gave up.") from error
        except VersionConflict as error:
            raise Wrong(
                "the reply was lost, not the event: your second attempt conflicted with your "
                "first. Give both the same token."
            ) from error
        stored = len(store.read("A")) - 1
        if stored != 1:
            raise Wrong(f"after {failures or 'no failure'} the log has {stored} deposits, not one.")
    store = _Outage([])
    store.append("A", [Event("create"), Event("close")], expected=NEW)
    try:
        append(store, "A", events, 1)
    except VersionConflict:
        pass
    else:
        raise Wrong("another writer was faster, and you did not raise VersionConflict.")
    store = _Outage([])
    store.append("A", [Event("create")], expected=NEW)
    append(store, "A", events, 1)
    append(store, "A", events, 2)
    if len(store.read("A")) != 3:
        raise Wrong(
            "two deposits of the same amount are two deposits: each call needs a token of its own."
        )


append_through_an_outage = Exercise(
    judge=_judge_append,
    right="a token makes it the same append, however often it is sent.",
    hints=[
        "page 02: a lost reply is not a conflict. What tells the store that it is a repeat?",
        "make a token once, with uuid.uuid4().hex, before the loop; catch redis.ConnectionError "
        "only.",
    ],
    answer="""
        import uuid

        import redis


        def append(store, id, events, expected):
            token = uuid.uuid4().hex
            while True:
                try:
                    return store.append(id, events, expected=expected, token=token)
                except redis.ConnectionError:
                    continue
    """,
    explanation="In production, pause between two attempts, and stop after a while.",
    mistakes=[
        """
        def append(store, id, events, expected):
            return store.append(id, events, expected=expected)
        """,
        """
        import redis


        def append(store, id, events, expected):
            while True:
                try:
                    return store.append(id, events, expected=expected)
                except redis.ConnectionError:
                    continue
        """,
        """
        import redis

        from eventlab import ANY


        def append(store, id, events, expected):
            while True:
                try:
                    return store.append(id, events, expected=ANY)
                except redis.ConnectionError:
                    continue
        """,
        """
        import redis


        def append(store, id, events, expected):
            while True:
                try:
                    return store.append(id, events, expected=expected, token="retry")
                except redis.ConnectionError:
                    continue
        """,
    ],
)


def _judge_alarms(alarms: Callable[[dict[str, Any]], object]) -> None:
    quiet = {"lag": 3, "lag_seconds": 1, "stopped": False, "pending": 5, "parked": 0, "held": 0}
    cases: list[tuple[dict[str, Any], set[str], str]] = [
        ({}, set(), "a small lag and a few pending events are normal: nobody is woken."),
        ({"lag": 90_000, "lag_seconds": 2}, set(), "many events and two seconds: a busy minute."),
        ({"lag": 1, "lag_seconds": 3600}, {"lag"}, "one event, for an hour: the view is stuck."),
        ({"stopped": True}, {"stopped"}, "a stopped view does not start again by itself."),
        ({"parked": 1}, {"parked"}, "a parked event waits for an operator, forever."),
        ({"held": 2}, {"held"}, "a held email waits for an operator, forever."),
        ({"pending": 400}, set(), "pending events are being worked on."),
        (
            {"stopped": True, "parked": 7},
            {"stopped", "parked"},
            "there are two reasons: return both.",
        ),
    ]
    for change, expected, why in cases:
        status = quiet | change
        found = alarms(dict(status))
        if not isinstance(found, set | list | tuple) or set(found) != expected:
            raise Wrong(f"{status}: you return {found!r}, expected {sorted(expected)}: {why}")


who_is_woken = Exercise(
    judge=_judge_alarms,
    right="wake an operator for what does not go away by itself, and for nothing else.",
    hints=[
        "which of these numbers go back to normal if you only wait?",
        "lag counts when it lasts: look at lag_seconds, with the limit of 60.",
    ],
    answer="""
        def alarms(status):
            found = {name for name in ("stopped", "parked", "held") if status[name]}
            return found | ({"lag"} if status["lag_seconds"] > 60 else set())
    """,
    explanation="`eventlab serve` and `eventlab project` export these numbers for Prometheus.",
    mistakes=[
        """
        def alarms(status):
            return {name for name, value in status.items() if value}
        """,
        """
        def alarms(status):
            found = {name for name in ("stopped", "parked", "held") if status[name]}
            return found | ({"lag"} if status["lag"] > 1000 else set())
        """,
        """
        def alarms(status):
            return {"lag"} if status["lag_seconds"] > 60 else set()
        """,
        """
        def alarms(status):
            for name in ("stopped", "parked", "held"):
                if status[name]:
                    return {name}
            return {"lag"} if status["lag_seconds"] > 60 else set()
        """,
    ],
)


def _judge_store(store: Callable[[], Any]) -> None:
    if not isinstance(store, type) or not issubclass(store, UnfinishedStore):
        raise Wrong("give the class itself; it inherits from UnfinishedStore.")
    promises = check(StoreContract, store=store)
    if promises.broken:
        first = promises.broken[0]
        kept = len(promises) - len(promises.broken)
        raise Wrong(
            f"{kept} of {len(promises)} promises are kept. The first broken one: {first.text} "
            f"{first.error}"
        )


a_store_of_your_own = Exercise(
    judge=_judge_store,
    right="your store keeps every promise of the contract. You know what an event store is.",
    hints=[
        "two questions, in this order: is it a repeat? Is the version the expected one? Then add.",
        "self.written_with(id, token) returns the events of an earlier call with this token; "
        "repeated(earlier, events) returns them, or raises TokenReused if yours are others.",
    ],
    answer="""
        from eventlab import ANY, EXISTS, VersionConflict
        from eventlab.lessons.little_store import UnfinishedStore, repeated


        class MyStore(UnfinishedStore):
            def write(self, id, events, expected, token):
                earlier = self.written_with(id, token)
                if earlier:
                    return repeated(earlier, events)
                version = self.version(id)
                if expected is ANY or expected == version or (expected is EXISTS and version):
                    return self.add(id, events, token)
                raise VersionConflict(id, expected, version)
    """,
    explanation="`EventStore` does this in a Lua script, so that processes cannot come between.",
    mistakes=[
        """
        from eventlab.lessons.little_store import UnfinishedStore


        class MyStore(UnfinishedStore):
            def write(self, id, events, expected, token):
                return self.add(id, events, token)
        """,
        """
        from eventlab import VersionConflict
        from eventlab.lessons.little_store import UnfinishedStore


        class MyStore(UnfinishedStore):
            def write(self, id, events, expected, token):
                if expected != self.version(id):
                    raise VersionConflict(id, expected, self.version(id))
                return self.add(id, events, token)
        """,
        """
        from eventlab import ANY, EXISTS, VersionConflict
        from eventlab.lessons.little_store import UnfinishedStore


        class MyStore(UnfinishedStore):
            def write(self, id, events, expected, token):
                version = self.version(id)
                if expected is ANY or expected == version or (expected is EXISTS and version):
                    return self.add(id, events, token)
                raise VersionConflict(id, expected, version)
        """,
        """
        from eventlab import ANY, EXISTS, VersionConflict
        from eventlab.lessons.little_store import UnfinishedStore


        class MyStore(UnfinishedStore):
            def write(self, id, events, expected, token):
                if earlier := self.written_with(id, token):
                    return earlier
                version = self.version(id)
                if expected is ANY or expected == version or (expected is EXISTS and version):
                    return self.add(id, events, token)
                raise VersionConflict(id, expected, version)
        """,
    ],
)

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
                "money, disputes, auditors: people ask what happened, and the current state of a "
                "claim does not answer that.",
            ),
            "b": (
                "no",
                "nobody asks how the price list came about. A table with a backup is enough.",
            ),
            "c": (
                "no",
                "a counter of page views needs no version, no rule and no history of each click: "
                "a metric is enough.",
            ),
            "d": (
                "yes",
                "several departments book the same rooms, under rules, and argue about it later.",
            ),
            "e": (
                "no",
                "no decisions are made here: build a search index from the files.",
            ),
        },
        ("yes", "no"),
    ),
    right="event sourcing pays off only where decisions, their order and their reasons matter.",
    hints=[
        "in which of these cases do people ask, 'How did this come about?'",
        "three of the five have no rules to keep and no history that anybody reads.",
    ],
    answer="""
        uses = {"a": "yes", "b": "no", "c": "no", "d": "yes", "e": "no"}
    """,
    explanation="One system may use both: events for the claims, a table for the price list.",
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
            "a": (
                "nothing",
                "the operating system had the bytes before the reply; only the process is gone.",
            ),
            "b": (
                "the last second",
                "the newest events were not fsynced: they were still in the machine's memory.",
            ),
            "c": ("nothing", "the events were on the disk before the reply."),
            "d": (
                "what the replica lacks",
                "the old master had the events on its disk, but the replica is the master now.",
            ),
            "e": ("nothing", "the reply came only after the replica had the events."),
        },
        ("nothing", "the last second", "what the replica lacks"),
    ),
    right="there are three places: the memory of the machine, its disk, and another machine. "
    "Know which one you waited for.",
    hints=[
        "a killed process is not a power failure: the operating system still writes the file.",
        "d: which server is the master after a failover, and which events did that server have?",
    ],
    answer="""
        lost = {
            "a": "nothing", "b": "the last second", "c": "nothing",
            "d": "what the replica lacks", "e": "nothing",
        }
    """,
    explanation="`settle(disk=1, replicas=1)` waits for the disk and for a replica. Use it for "
    "events that are worth the wait.",
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


#: The errors after which a writer may repeat its call: no connection, no reply in time, no master.
_OUTAGES: dict[str, tuple[type[Exception], str]] = {
    "before": (redis.ConnectionError, "the master is gone"),
    "after": (redis.ConnectionError, "the master is gone"),
    "late": (redis.TimeoutError, "timeout while reading from the socket"),
    "down": (redis.exceptions.ClusterDownError, "CLUSTERDOWN the cluster is down"),
}


def _outage(failure: str) -> Exception:
    kind, text = _OUTAGES[failure]
    return kind(text)


class _Outage(LittleStore):
    """A store whose server fails over: some replies are lost, after or before the write."""

    def __init__(self, failures: Sequence[str] = ()) -> None:
        super().__init__()
        super().append("A", [Event("create")], expected=NEW)
        self.calls = 0
        self._failures = list(failures)

    def append(self, id: str, events: Sequence[Event], **options: Any) -> list[Recorded]:
        """Append; the next planned failure may deny or lose the request, or lose its reply."""
        self.calls += 1
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "denied":
            raise redis.exceptions.NoPermissionError("this user has no permission for 'evalsha'")
        if failure in ("before", "down"):
            raise _outage(failure)
        recorded = super().append(id, events, **options)
        if failure in ("after", "late"):
            raise _outage(failure)
        return recorded

    def deposits(self) -> int:
        """Return how many deposits are stored."""
        return sum(event.type == "deposit" for event in self.read("A"))


#: What is lost at each call, in words for the reader.
LOSSES: Sequence[tuple[list[str], str]] = (
    ([], "no reply was lost"),
    (["before"], "the request was lost once"),
    (["after"], "the reply was lost once"),
    (["before", "after", "before"], "two requests and a reply were lost"),
)


def _judge_append(append: Callable[..., object]) -> None:
    events = [Event("deposit", {"amount": 5})]
    for failures, what in LOSSES:
        store = _Outage(failures)
        try:
            append(store, "A", events, 1, 4)
        except redis.ConnectionError as error:
            raise Wrong(
                f"the connection was lost, and you stopped after {store.calls} of 4 tries."
            ) from error
        except VersionConflict as error:
            raise Wrong(
                "the reply was lost, not the event: your second attempt conflicted with your "
                "first. Give both attempts the same token."
            ) from error
        if store.deposits() != 1:
            raise Wrong(f"{what}, and now the log has {store.deposits()} deposits, not one.")
    _judge_tries(append, events)
    store = _Outage(["denied"])
    try:
        append(store, "A", events, 1, 4)
    except redis.exceptions.NoPermissionError:
        pass
    else:
        raise Wrong(
            "a permission was missing, but you did not raise the error (calls of append: "
            f"{store.calls}). A repeat does not help: repeat only after the three errors of an "
            "outage, and let all other errors propagate."
        )
    store = _Outage()
    store.append("A", [Event("close")], expected=1)
    try:
        append(store, "A", events, 1, 4)
    except VersionConflict:
        pass
    else:
        raise Wrong("another writer was faster, but you did not raise VersionConflict.")
    store = _Outage()
    append(store, "A", events, 1, 4)
    append(store, "A", events, 2, 4)
    if store.deposits() != 2:
        raise Wrong(
            "two deposits of 5 are two deposits: each call of your function needs its own token."
        )
    _judge_kinds(append, events)


def _judge_kinds(append: Callable[..., object], events: list[Event]) -> None:
    for failure, what in (("late", "no reply came in time"), ("down", "the cluster was down")):
        store = _Outage([failure, failure])
        try:
            append(store, "A", events, 1, 4)
        except _OUTAGES[failure][0] as error:
            raise Wrong(
                f"{what} ({type(error).__name__}), and you did not repeat the call. An outage can "
                "raise several kinds of errors: a tuple after `except` catches all of them."
            ) from error
        if store.deposits() != 1:
            raise Wrong(f"{what}, twice, and now the log has {store.deposits()} deposits, not one.")


def _judge_tries(append: Callable[..., object], events: list[Event]) -> None:
    for tries in (3, 1):
        store = _Outage(["before"] * 6)
        try:
            append(store, "A", events, 1, tries)
        except redis.ConnectionError:
            if store.calls != tries:
                raise Wrong(
                    f"with tries={tries}, you called append {store.calls} times; expected {tries}."
                ) from None
        else:
            raise Wrong(
                f"the server was down. With tries={tries}, you called append {store.calls} "
                "times and raised no error. After the last try, raise the error: your caller must "
                "know that the outcome is unknown."
            )


append_through_an_outage = Exercise(
    judge=_judge_append,
    right="with one token, each repeat is the same append, however many times you send it. After "
    "the last try, the caller gets the error.",
    hints=[
        "page 02: a lost reply is not a conflict. What tells the store that a call is a repeat?",
        "make a token once, with uuid.uuid4().hex, before the loop; catch the three errors of an "
        "outage, as a tuple, and no others.",
        "in the last round of the loop, the bare statement `raise` raises the error again.",
    ],
    answer="""
        import uuid

        import redis

        OUTAGES = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ClusterDownError)


        def append(store, id, events, expected, tries):
            token = uuid.uuid4().hex
            for left in reversed(range(tries)):
                try:
                    return store.append(id, events, expected=expected, token=token)
                except OUTAGES:
                    if not left:
                        raise
    """,
    explanation="In production, also pause between two attempts. A caller that tries again later "
    "must have kept the token, so make the token where the request begins.",
    mistakes=[
        """
        def append(store, id, events, expected, tries):
            return store.append(id, events, expected=expected)
        """,
        """
        import redis


        def append(store, id, events, expected, tries):
            while True:
                try:
                    return store.append(id, events, expected=expected)
                except redis.ConnectionError:
                    continue
        """,
        """
        import redis

        from eventlab import ANY


        def append(store, id, events, expected, tries):
            while True:
                try:
                    return store.append(id, events, expected=ANY)
                except redis.ConnectionError:
                    continue
        """,
        """
        import uuid

        import redis


        def append(store, id, events, expected, tries):
            token = uuid.uuid4().hex
            while True:
                try:
                    return store.append(id, events, expected=expected, token=token)
                except redis.ConnectionError:
                    continue
        """,
        """
        import uuid

        import redis


        def append(store, id, events, expected, tries):
            token = uuid.uuid4().hex
            for _ in range(tries):
                try:
                    return store.append(id, events, expected=expected, token=token)
                except redis.ConnectionError:
                    continue
        """,
        """
        import uuid

        import redis


        def append(store, id, events, expected, tries):
            token = uuid.uuid4().hex
            for left in reversed(range(tries)):
                try:
                    return store.append(id, events, expected=expected, token=token)
                except redis.RedisError:
                    if not left:
                        raise
        """,
        """
        import uuid

        import redis


        def append(store, id, events, expected, tries):
            token = uuid.uuid4().hex
            for left in reversed(range(tries)):
                try:
                    return store.append(id, events, expected=expected, token=token)
                except redis.ConnectionError:
                    if not left:
                        raise
        """,
        """
        import redis


        def append(store, id, events, expected, tries):
            for left in reversed(range(tries)):
                try:
                    return store.append(id, events, expected=expected, token="retry")
                except redis.ConnectionError:
                    if not left:
                        raise
        """,
    ],
)


_QUIET = {"lag_seconds": 1, "stopped": False, "pending": 5, "parked": 0, "held": 0}
#: Each case is what changes minute by minute, the expected alarms, and the reason.
_MINUTES: list[tuple[list[dict[str, Any]], set[str], str]] = [
    ([{}] * 5, set(), "a small lag and a few pending events are normal: nobody is woken."),
    ([{"pending": 400}] * 5, set(), "a subscription is working on its pending events."),
    (
        [{}, {}, {"lag_seconds": 300}, {"lag_seconds": 200}],
        set(),
        "the view has lagged for two minutes, as after a deployment: it may catch up.",
    ),
    (
        [{"lag_seconds": 300}, {"lag_seconds": 200}, {"lag_seconds": 90}, {"lag_seconds": 2}],
        set(),
        "the view has caught up: nobody is woken for a problem that is over.",
    ),
    (
        [{"lag_seconds": 90}, {"lag_seconds": 2}, {"lag_seconds": 90}, {"lag_seconds": 90}],
        set(),
        "the view caught up in between: the three minutes must be consecutive.",
    ),
    (
        [{}, {"lag_seconds": 70}, {"lag_seconds": 130}, {"lag_seconds": 190}],
        {"lag"},
        "the last three minutes had a lag above 60 seconds: the view is stuck.",
    ),
    (
        [{"lag_seconds": 200}, {"lag_seconds": 150}, {"lag_seconds": 90}],
        {"lag"},
        "the lag shrinks, but all three are above 60 seconds: the view is still late.",
    ),
    ([{"lag_seconds": 60}] * 4, set(), "60 seconds is not more than 60."),
    ([{"lag_seconds": 90}] * 2, set(), "there are only two minutes so far: wait for the third."),
    (
        [{}, {}, {"stopped": True}],
        {"stopped"},
        "a stopped view does not start again on its own: do not wait.",
    ),
    (
        [{"lag_seconds": 90, "stopped": True}] * 4,
        {"stopped"},
        "the view lags because it has stopped: one cause is one alarm.",
    ),
    (
        [{"lag_seconds": 90, "stopped": True}] * 3 + [{"lag_seconds": 90}],
        {"lag"},
        "the view runs again, and has lagged for three minutes.",
    ),
    ([{}, {"parked": 1}], {"parked"}, "a parked event waits for an operator, forever."),
    ([{}, {"held": 2}], {"held"}, "a held email waits for an operator, forever."),
    (
        [{"held": 2, "parked": 1}, {}],
        set(),
        "an operator has already solved these problems: look at the newest status.",
    ),
    (
        [{"lag_seconds": 90, "parked": 7, "held": 1}] * 3,
        {"lag", "parked", "held"},
        "there are three causes: return all of them.",
    ),
]


def _judge_alarms(alarms: Callable[[list[dict[str, Any]]], object]) -> None:
    for changes, expected, why in _MINUTES:
        history = [_QUIET | change for change in changes]
        found = alarms([dict(status) for status in history])
        if not isinstance(found, set | list | tuple) or set(found) != expected:
            shown = ", ".join(str(change or "normal") for change in changes)
            raise Wrong(
                f"minute by minute: {shown}. You returned {found!r}; expected "
                f"{sorted(expected) or 'no alarm'}: {why}"
            )


who_is_woken = Exercise(
    judge=_judge_alarms,
    right="wake an operator for what does not go away on its own, once for each cause.",
    hints=[
        "history[-1] is the newest status; history[-3:] are the last three, or fewer.",
        "lag: three statuses, each with a lag above 60 seconds, and the newest one does not say "
        "`stopped`.",
    ],
    answer="""
        def alarms(history):
            now = history[-1]
            found = {name for name in ("stopped", "parked", "held") if now[name]}
            late = [status["lag_seconds"] > 60 for status in history[-3:]]
            if len(late) == 3 and all(late) and not now["stopped"]:
                found.add("lag")
            return found
    """,
    explanation="`eventlab serve` and `eventlab project` export these numbers for Prometheus. "
    "Alert rules there can wait, too: `for: 3m`.",
    mistakes=[
        """
        def alarms(history):
            return {name for name, value in history[-1].items() if value}
        """,
        """
        def alarms(history):
            now = history[-1]
            found = {name for name in ("stopped", "parked", "held") if now[name]}
            return found | ({"lag"} if now["lag_seconds"] > 60 else set())
        """,
        """
        def alarms(history):
            found = set()
            for status in history:
                found |= {name for name in ("stopped", "parked", "held") if status[name]}
            if all(status["lag_seconds"] > 60 for status in history[-3:]):
                found.add("lag")
            return found
        """,
        """
        def alarms(history):
            now = history[-1]
            found = {name for name in ("stopped", "parked", "held") if now[name]}
            late = [status["lag_seconds"] > 60 for status in history[-3:]]
            return found | ({"lag"} if len(late) == 3 and all(late) else set())
        """,
        """
        def alarms(history):
            now = history[-1]
            found = {name for name in ("stopped", "parked", "held") if now[name]}
            late = sum(status["lag_seconds"] > 60 for status in history)
            return found | ({"lag"} if late >= 3 and not now["stopped"] else set())
        """,
        """
        def alarms(history):
            for name in ("stopped", "parked", "held"):
                if history[-1][name]:
                    return {name}
            late = [status["lag_seconds"] > 60 for status in history[-3:]]
            return {"lag"} if len(late) == 3 and all(late) else set()
        """,
    ],
)


def _judge_store(store: Callable[[], Any]) -> None:
    if not isinstance(store, type) or not issubclass(store, UnfinishedStore):
        raise Wrong("give the class itself. It must inherit from UnfinishedStore.")
    promises = check(StoreContract, store=store)
    if promises.broken:
        first = promises.broken[0]
        kept = len(promises) - len(promises.broken)
        raise Wrong(
            f"{kept} of {len(promises)} promises are kept. The first broken one: {first.text} What "
            f"happened: {first.error}"
        )


a_store_of_your_own = Exercise(
    judge=_judge_store,
    right="your store keeps every promise of the contract. Now you know what an event store is.",
    hints=[
        "ask two questions, in this order: is this call a repeat? Is the version as expected? Then "
        "add the events.",
        "self.written_with(id, token) returns the events of an earlier call with this token; "
        "repeated(earlier, events) returns the earlier events, or raises TokenReused if the new "
        "events are different.",
    ],
    answer="""
        from eventlab import ANY, EXISTS, VersionConflict
        from eventlab.lessons.little_store import UnfinishedStore
        from eventlab.testing import repeated


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
    explanation="`EventStore` does the same in a Lua script, so that no other process can get in "
    "between.",
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

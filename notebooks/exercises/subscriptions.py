"""The exercises of 05_subscriptions."""

from __future__ import annotations

import contextlib
import itertools
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

from eventlab import NEW, Event, EventStore, Recorded, Subscription, connect
from eventlab.lessons.exercise import Exercise, Wrong


def _received(
    receive: Callable[[Subscription], object], amounts: list[int]
) -> tuple[object, list[int], int]:
    """Return the answer, the amounts that are still pending, and how many events are new."""
    with connect() as lab:
        store = EventStore(lab.redis, "exerciseLarge")
        store.drop()
        events = [Event("withdraw", {"amount": amount}) for amount in amounts]
        store.append("a", events, expected=NEW)
        try:
            letters = Subscription(store, "exercise", consumer="one")
            try:
                answer = receive(letters)
            except TypeError as error:
                if "not iterable" not in str(error):
                    raise
                raise Wrong("ack takes a list of events: letters.ack([event]).") from error
            lag = letters.lag()
            if lag.waiting or lag.parked:
                raise Wrong(
                    "you reported a failure, and the event will be delivered again. Nothing went "
                    "wrong: a small withdrawal must be acknowledged."
                )
            again = Subscription(store, "exercise", consumer="one").receive(100)
            return (
                answer,
                [e.data["amount"] for e in again if e.version <= len(events) - lag.new],
                lag.new,
            )
        finally:
            store.drop()


def _judge_receive(receive: Callable[[Subscription], object]) -> None:
    answer, pending, new = _received(receive, [50_000, 5, 999, 1_000])
    if new:
        raise Wrong(f"you received {4 - new} of the four events: call letters.receive() once.")
    if answer is None:
        raise Wrong("your function returns nothing: return the list of the large withdrawals.")
    if not pending:
        raise Wrong(
            "you acknowledged all four events. If the process dies now, two letters are never "
            "written, and nobody notices."
        )
    if pending == [50_000, 5, 999, 1_000]:
        raise Wrong(
            "nothing was acknowledged: the two small withdrawals are delivered again and again."
        )
    if pending == [5, 999]:
        raise Wrong(
            "you acknowledged the large withdrawals, whose letters have not been written yet."
        )
    if pending != [50_000, 1_000]:
        raise Wrong(
            f"the amounts still pending are {pending}, but should be [50000, 1000]. A withdrawal "
            "of 1,000 is not below 1,000."
        )
    if not isinstance(answer, list):
        raise Wrong(f"return a list; you returned an object of type {type(answer).__name__}.")
    if not all(isinstance(event, Recorded) for event in answer):
        raise Wrong(
            f"return the events themselves, as they were received; you returned {answer!r}."
        )
    if [event.data["amount"] for event in answer] != [50_000, 1_000]:
        raise Wrong(
            "the right events are pending, but the amounts of the events that you returned are "
            f"{[event.data['amount'] for event in answer]}, expected [50000, 1000]."
        )
    if (found := _received(receive, [7, 3_000, 8])) and found[1] != [3_000]:
        raise Wrong(
            f"right so far, but of withdrawals of 7, 3,000 and 8, you left {found[1]} pending."
        )


what_needs_no_letter = Exercise(
    judge=_judge_receive,
    right="an ack says that nothing is left to do. An event that you keep stays pending until you "
    "acknowledge it.",
    hints=[
        "events = letters.receive(), and then two lists: small and large withdrawals.",
        "letters.ack(small) takes the list of small withdrawals; return the large ones.",
    ],
    answer="""
        def receive_large(letters):
            events = letters.receive()
            letters.ack([event for event in events if event.data["amount"] < 1_000])
            return [event for event in events if event.data["amount"] >= 1_000]
    """,
    explanation="Small withdrawals are done: there is nothing to write. So they are acknowledged.",
    mistakes=[
        """
        def receive_large(letters):
            events = letters.receive()
            letters.ack(events)
            return [event for event in events if event.data["amount"] >= 1_000]
        """,
        """
        def receive_large(letters):
            return [event for event in letters.receive() if event.data["amount"] >= 1_000]
        """,
        """
        def receive_large(letters):
            large = [event for event in letters.receive() if event.data["amount"] >= 1_000]
            letters.ack(large)
            return large
        """,
        """
        def receive_large(letters):
            events = letters.receive()
            letters.ack([event for event in events if event.data["amount"] <= 1_000])
            return [event for event in events if event.data["amount"] > 1_000]
        """,
        """
        def receive_large(letters):
            large = []
            for event in letters.receive():
                if event.data["amount"] < 1_000:
                    letters.ack(event)
                else:
                    large.append(event)
            return large
        """,
        """
        def receive_large(letters):
            for event in letters.receive():
                if event.data["amount"] < 1_000:
                    letters.ack([event])
        """,
        """
        def receive_large(letters):
            events = letters.receive()
            letters.ack([event for event in events if event.data["amount"] < 1_000])
            return [event.id for event in events if event.data["amount"] >= 1_000]
        """,
        """
        def receive_large(letters):
            events = letters.receive()
            letters.ack([event for event in events if event.data["amount"] < 1_000])
            return events
        """,
        """
        def receive_large(letters):
            events = letters.receive(1)
            letters.ack([event for event in events if event.data["amount"] < 1_000])
            return [event for event in events if event.data["amount"] >= 1_000]
        """,
    ],
)


def _judge_steps(steps: dict[str, str]) -> None:
    if not isinstance(steps, dict) or set(steps) != set("abcd"):
        raise Wrong('give a dict with the four keys: {"a": ..., "b": ..., "c": ..., "d": ...}.')
    if not set(steps.values()) <= {"ack", "fail", "nothing"}:
        raise Wrong('each answer is one of "ack", "fail" and "nothing".')
    if steps["a"] == "nothing":
        raise Wrong(
            "a: an event without an ack stays pending and is delivered again until it is parked "
            "as poison."
        )
    if steps["a"] == "fail":
        raise Wrong(
            "a: nothing went wrong. Every small withdrawal would be retried and finally parked."
        )
    if steps["b"] == "ack":
        raise Wrong("b: after an ack, the letter is lost. It is never sent, and nobody notices.")
    if steps["b"] == "nothing":
        raise Wrong(
            "b: the event is delivered again, but without a backoff or a limit, and the error is "
            "not stored: report the failure."
        )
    if steps["c"] == "fail":
        raise Wrong(
            "c: the letter exists, and every retry finds it again. In the end, an event whose "
            "letter was sent is parked."
        )
    if steps["c"] == "nothing":
        raise Wrong(
            "c: a consumer sent the letter and died before the ack. Only the ack is missing."
        )
    if steps["d"] == "ack":
        raise Wrong("d: nothing was done for this event, and after an ack, nothing will be.")
    if steps["d"] == "fail":
        raise Wrong(
            "d: no attempt, no failure. After enough restarts, a healthy event would be parked."
        )


ack_fail_or_nothing = Exercise(
    judge=_judge_steps,
    right=(
        "ack: nothing is left to do. fail: an attempt failed. Nothing: the event is delivered "
        "again anyway."
    ),
    hints=[
        "for each event, ask: is anything left to do? If so, was it attempted?",
        "two of the four events are acked.",
    ],
    answer="""
        steps = {"a": "ack", "b": "fail", "c": "ack", "d": "nothing"}
    """,
    explanation="An ack says that nothing is left to do; a failure says that an attempt was made.",
    mistakes=[
        """
        steps = {"a": "nothing", "b": "fail", "c": "ack", "d": "nothing"}
        """,
        """
        steps = {"a": "ack", "b": "nothing", "c": "ack", "d": "nothing"}
        """,
        """
        steps = {"a": "ack", "b": "ack", "c": "ack", "d": "nothing"}
        """,
        """
        steps = {"a": "ack", "b": "fail", "c": "fail", "d": "nothing"}
        """,
        """
        steps = {"a": "ack", "b": "fail", "c": "ack", "d": "fail"}
        """,
    ],
)


class _Box:
    """A letter box that accepts each name once."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def put(self, name: str, text: str) -> None:
        if not isinstance(name, str) or not name:
            raise Wrong("a letter's name must be a non-empty string.")
        if name in self.letters:
            raise FileExistsError(name)
        self.letters[name] = str(text)


def _withdrawal(id: str, version: int, amount: int, ms: int) -> Recorded:
    return Recorded(id, version, "withdraw", {"amount": amount}, f"{ms}-0")


def _judge_send(send: Callable[[_Box, Recorded], object]) -> None:
    box, first = _Box(), _withdrawal("JohnDoe", 2, 50_000, 1_000)
    send(box, first)
    if len(box.letters) != 1:
        raise Wrong(
            f"after one call for one withdrawal, {len(box.letters)} letters are in the box."
        )
    try:
        send(box, first)  # the ack was lost
    except FileExistsError as error:
        raise Wrong(
            "the second call raised FileExistsError: the letter was sent, but the event would be "
            "parked."
        ) from error
    if len(box.letters) != 1:
        raise Wrong(
            "the same event was delivered twice, and there are two letters: give a repeat the "
            "same name."
        )
    for other, fault in (
        (
            _withdrawal("JohnDoe", 3, 70_000, 2_000),
            "two withdrawals by John get the same name",
        ),
        (
            _withdrawal("JaneDoe", 2, 50_000, 3_000),
            "a withdrawal by John and one by Jane get the same name",
        ),
        (
            _withdrawal("JohnDoe", 4, 50_000, 4_000),
            "two withdrawals of the same amount by John, at different times, get the same name",
        ),
        (
            _withdrawal("Doe1", 1, 50_000, 5_000),
            "version 1 of 'Doe1' and an earlier withdrawal get the same name",
        ),
        (
            _withdrawal("Doe", 11, 50_000, 6_000),
            "version 1 of 'Doe1' and version 11 of 'Doe' get the same name",
        ),
    ):
        before = len(box.letters)
        send(box, other)
        if len(box.letters) == before:
            raise Wrong(f"{fault}, so the second counts as a repeat, and its letter is never sent.")


one_letter_each = Exercise(
    judge=_judge_send,
    right="the event's identity is the letter's name, and a name that is taken means that the "
    "letter was sent.",
    hints=[
        "what differs between events, but is the same for each delivery of one event?",
        "the event's id and version together, with a separator between them, or its position.",
        "try to put the letter; FileExistsError means that the letter was sent before: pass.",
    ],
    answer="""
        def send(box, event):
            text = f"Dear {event.id}, you have withdrawn {event.data['amount']}."
            try:
                box.put(f"{event.id} {event.version}", text)
            except FileExistsError:
                pass
    """,
    explanation="id and version identify an event, and so does its position; nothing else does.",
    mistakes=[
        """
        import uuid


        def send(box, event):
            text = f"Dear {event.id}, you have withdrawn {event.data['amount']}."
            box.put(uuid.uuid4().hex, text)
        """,
        """
        def send(box, event):
            text = f"Dear {event.id}, you have withdrawn {event.data['amount']}."
            box.put(f"{event.id} {event.version}", text)
        """,
        """
        def send(box, event):
            try:
                box.put(event.id, f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
            except FileExistsError:
                pass
        """,
        """
        def send(box, event):
            text = f"Dear {event.id}, you have withdrawn {event.data['amount']}."
            try:
                box.put(f"{event.version} {event.type}", text)
            except FileExistsError:
                pass
        """,
        """
        def send(box, event):
            try:
                name = f"{event.id} {event.data['amount']}"
                box.put(name, "Dear customer, you have withdrawn money.")
            except FileExistsError:
                pass
        """,
        """
        def send(box, event):
            text = f"Dear {event.id}, you have withdrawn {event.data['amount']}."
            try:
                box.put(f"{event.id}{event.version}", text)
            except FileExistsError:
                pass
        """,
    ],
)


class _Killed(BaseException):
    """Simulates SIGKILL: no `except Exception` catches it."""


class _Outside:
    """A post office that fails for one version, and a process that is killed at another."""

    def __init__(self, store: EventStore, *, fails: int = 0, kills: int = 0) -> None:
        self.store, self.fails, self.kills = store, fails, kills
        self.sent: list[int] = []

    def send(self, event: Recorded) -> None:
        group = self.store.redis.xpending_range(
            self.store.category, "exercise", event.position, event.position, 1
        )
        if not group:
            raise Wrong(
                "an event was acked before its letter was sent. A crash between the two loses the "
                "letter."
            )
        if event.version == self.kills:
            raise _Killed
        if event.version == self.fails:
            raise ConnectionError("no response")
        self.sent.append(event.version)


def _played(
    work: Callable[[Subscription, Callable[[Recorded], None]], object], **faults: int
) -> Any:
    """Return the versions sent, the lag, and the versions received after a restart."""
    with connect() as lab:
        store = EventStore(lab.redis, "exerciseLetters")
        store.drop()
        store.append("a", [Event("withdraw", {"amount": 50_000})] * 4, expected=NEW)
        outside = _Outside(store, **faults)
        letters = Subscription(store, "exercise", consumer="one", backoff=3600)
        try:
            with contextlib.suppress(_Killed):
                work(letters, outside.send)
            again = Subscription(store, "exercise", consumer="one", backoff=3600)
            return outside.sent, letters.lag(), [event.version for event in again.receive()]
        except ConnectionError as error:
            raise Wrong(
                "the post office did not respond for one letter, and your loop stopped: the other "
                "letters wait."
            ) from error
        except TypeError as error:
            if "not iterable" not in str(error):
                raise
            raise Wrong("ack takes a list of events: letters.ack([event]).") from error
        finally:
            store.drop()


def _judge_work(work: Callable[[Subscription, Callable[[Recorded], None]], object]) -> None:
    sent, lag, _ = _played(work)
    if sent != [1, 2, 3, 4]:
        raise Wrong(
            f"without failures, letters were sent for versions {sent}, expected [1, 2, 3, 4]."
        )
    if lag.events:
        raise Wrong(
            "all four letters were sent, but events are still pending, so letters will be sent "
            "again. Ack what is done."
        )
    sent, lag, _ = _played(work, fails=2)
    if sent != [1, 3, 4]:
        raise Wrong(
            "the post office failed for version 2; letters were sent for versions "
            f"{sent}, expected [1, 3, 4]."
        )
    if lag.events == 0:
        raise Wrong(
            "the post office did not respond for version 2, and you acked the event: its letter "
            "is lost, and nobody notices."
        )
    if lag.waiting != 1:
        raise Wrong(
            "version 2 failed, but you did not report it: there is no backoff and no limit, and "
            "the error is not stored."
        )
    sent, lag, again = _played(work, kills=3)
    if again != [3, 4]:
        raise Wrong(
            f"after a kill at version 3 and a restart, you receive versions {again}, expected "
            "[3, 4]: letters are sent a second time. At-least-once allows that, but you can do "
            "better: ack each event as soon as it is done."
        )


a_loop_that_loses_nothing = Exercise(
    judge=_judge_work,
    right="one event at a time, each with its own outcome: acked if its letter was sent, failed if "
    "not.",
    hints=[
        "loop with for event in letters.receive(): and use try, except, else for each event.",
        "letters.fail(event, error) if send raised the error; letters.ack([event]) if it did not.",
    ],
    answer="""
        def work(letters, send):
            for event in letters.receive():
                try:
                    send(event)
                except ConnectionError as error:
                    letters.fail(event, error)
                else:
                    letters.ack([event])
    """,
    explanation=(
        "First the work, then the ack; a reported failure neither blocks the other events nor "
        "gets lost."
    ),
    mistakes=[
        """
        def work(letters, send):
            events = letters.receive()
            letters.ack(events)
            for event in events:
                send(event)
        """,
        """
        def work(letters, send):
            for event in letters.receive():
                send(event)
        """,
        """
        def work(letters, send):
            for event in letters.receive():
                try:
                    send(event)
                except ConnectionError as error:
                    letters.fail(event, error)
                else:
                    letters.ack(event)
        """,
        """
        def work(letters, send):
            for event in letters.receive():
                send(event)
                letters.ack([event])
        """,
        """
        def work(letters, send):
            for event in letters.receive():
                try:
                    send(event)
                except ConnectionError:
                    pass
                letters.ack([event])
        """,
        """
        def work(letters, send):
            for event in letters.receive():
                try:
                    send(event)
                except ConnectionError:
                    continue
                letters.ack([event])
        """,
        """
        def work(letters, send):
            done = []
            for event in letters.receive():
                try:
                    send(event)
                except ConnectionError as error:
                    letters.fail(event, error)
                else:
                    done.append(event)
            letters.ack(done)
        """,
    ],
)


def _named(id: str, version: int = 1, type: str = "withdraw", amount: int = 5) -> Recorded:
    return Recorded(id, version, type, {"amount": amount}, f"{version}-0")


def _judge_groups(group_of: Callable[[Recorded, int], int]) -> None:
    names = getattr(getattr(group_of, "__code__", None), "co_names", ())
    if "hash" in names:
        raise Wrong(
            "hash() of a string is different in each Python process: after a restart, an "
            "account goes to another group. Use a checksum that is the same everywhere: zlib.crc32."
        )
    if set(names) & {"random", "randrange", "randint", "choice", "uuid4"}:
        raise Wrong("two events of an account can, by chance, go to two different groups.")
    ids = [f"account-{number}" for number in range(100, 500)]
    found = {}
    for id in ids:
        found[id] = group_of(_named(id), 4)
        if type(found[id]) is not int or not 0 <= found[id] < 4:
            raise Wrong(f"with 4 groups, {id!r} goes to {found[id]!r}: expected 0, 1, 2 or 3.")
    in_turn = sum((found[a] + 1) % 4 == found[b] for a, b in itertools.pairwise(ids))
    for id in ids[:20]:
        for other, what in (
            (_named(id, version=2), "the same account's next event"),
            (_named(id, type="close"), "the same account's 'close' event"),
            (_named(id, amount=6), "the same account's withdrawal of another amount"),
        ):
            if group_of(other, 4) != found[id]:
                raise Wrong(f"{what} goes to a different group, and may be handled out of order.")
    if in_turn == len(ids) - 1 and _is_counting(group_of):
        raise Wrong(
            "you assign groups in the order in which the accounts arrive. In another process, "
            "they arrive in a different order, and the same account gets a different group."
        )
    sizes = Counter(found.values())
    if len(sizes) < 4 or min(sizes.values()) < 40:
        raise Wrong(
            f"of 400 accounts, the groups get {[sizes[n] for n in range(4)]}: the work must spread "
            "over all four groups."
        )
    if {group_of(_named(id), 3) for id in ids} != {0, 1, 2}:
        raise Wrong("right for 4 groups, but with 3 groups, the results should be 0, 1 and 2.")
    group_of(_named("Jürgen Müller"), 4)


def _is_counting(group_of: Callable[[Recorded, int], int]) -> bool:
    """Return whether groups are assigned in the order in which the accounts arrive."""
    if not isinstance(group_of, types.FunctionType):
        return False
    return [group_of(_named(f"{n}-later"), 4) for n in (3, 1, 2)] == [
        (group_of(_named("account-499"), 4) + n) % 4 for n in (1, 2, 3)
    ]


share_the_accounts_out = Exercise(
    judge=_judge_groups,
    right="each account has one group, in every process, and the work is shared.",
    hints=[
        "which part of an event is the same for all events of an account, and different for other "
        "accounts?",
        "turn the id into a number that is the same in every process: zlib.crc32(id.encode()).",
        "the remainder of a division by count is between 0 and count - 1.",
    ],
    answer="""
        import zlib


        def group_of(event, count):
            return zlib.crc32(event.id.encode()) % count
    """,
    explanation=(
        "If you change count while events are pending, an account moves to another group: let the "
        "old groups finish first."
    ),
    mistakes=[
        """
        def group_of(event, count):
            return hash(event.id) % count
        """,
        """
        import random


        def group_of(event, count):
            return random.randrange(count)
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(f"{event.id} {event.version}".encode()) % count
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(f"{event.id} {event.type}".encode()) % count
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(f"{event.id} {event.data}".encode()) % count
        """,
        """
        def group_of(event, count):
            return len(event.id) % count
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(event.id.encode())
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(event.id.encode()) % count + 1
        """,
        """
        seen = {}


        def group_of(event, count):
            return seen.setdefault(event.id, len(seen)) % count
        """,
        """
        import zlib


        def group_of(event, count):
            return zlib.crc32(event.id.encode()) % 4
        """,
    ],
)

_NEEDS = {"nothing", "key", "order", "cannot"}


def _judge_needs(needs: dict[str, str]) -> None:
    if not isinstance(needs, dict) or set(needs) != set("abcd"):
        raise Wrong('give a dict with the four keys: {"a": ..., "b": ..., "c": ..., "d": ...}.')
    if not set(needs.values()) <= _NEEDS:
        raise Wrong('each answer is one of "nothing", "key", "order" and "cannot".')
    if needs["a"] == "key":
        raise Wrong(
            "a: a key would stop the repeat. But what would the repeat do? It would remove an "
            "entry that is fetched again when a reader needs it."
        )
    if needs["a"] == "order":
        raise Wrong("a: in any order, the next reader fetches the account as it is then.")
    if needs["a"] == "cannot":
        raise Wrong("a: an entry that is removed twice is simply fetched once more.")
    if needs["b"] == "nothing":
        raise Wrong(
            "b: if the process is killed between the charge and the ack, the customer pays twice."
        )
    if needs["b"] == "order":
        raise Wrong("b: even in perfect order, a charge that is repeated is still a second charge.")
    if needs["b"] == "cannot":
        raise Wrong("b: the payment service recognizes a repeat that has the same idempotency key.")
    if needs["c"] == "nothing":
        raise Wrong(
            "c: 'opened' may arrive after 'closed'. Then a closed account is open in the CRM."
        )
    if needs["c"] == "key":
        raise Wrong(
            "c: a repeat does no harm, because the status is the same. A late 'opened' does harm, "
            "but is not a repeat, so a key does not stop it."
        )
    if needs["c"] == "cannot":
        raise Wrong("c: if 'closed' waits until 'opened' is done, the CRM is right in the end.")
    if needs["d"] == "nothing":
        raise Wrong(
            "d: after a kill, you do not know whether the ticket was printed. If you "
            "print again, there may be two tickets."
        )
    if needs["d"] == "key":
        raise Wrong("d: a printer that reports nothing back does not remember keys either.")
    if needs["d"] == "order":
        raise Wrong("d: even in perfect order, a second ticket is still a second ticket.")


what_the_work_needs = Exercise(
    judge=_judge_needs,
    right="a repeat and a late event are two different risks. A job may have one of them, both, "
    "or neither.",
    hints=[
        "for each job, ask two questions: what if it is done twice? What if it is done too late?",
        "the four answers are all different.",
    ],
    answer="""
        needs = {"a": "nothing", "b": "key", "c": "order", "d": "cannot"}
    """,
    explanation=(
        "The best work needs nothing: use the current state, not the change. For the printer, "
        "ask the people who sell the tickets which error they prefer: two tickets, or none."
    ),
    mistakes=[
        """
        needs = {"a": "key", "b": "key", "c": "order", "d": "cannot"}
        """,
        """
        needs = {"a": "order", "b": "key", "c": "order", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "nothing", "c": "order", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "order", "c": "order", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "cannot", "c": "order", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "key", "c": "nothing", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "key", "c": "key", "d": "cannot"}
        """,
        """
        needs = {"a": "nothing", "b": "key", "c": "order", "d": "key"}
        """,
        """
        needs = {"a": "nothing", "b": "key", "c": "order", "d": "nothing"}
        """,
        """
        needs = {"a": "nothing", "b": "key", "c": "order", "d": "order"}
        """,
    ],
)

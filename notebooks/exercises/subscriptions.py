"""The exercises of 05_subscriptions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from eventlab import NEW, Event, EventStore, Recorded, Subscription, connect
from eventlab.lessons.exercise import Exercise, Wrong


def _judge_steps(steps: dict[str, str]) -> None:
    if not isinstance(steps, dict) or set(steps) != set("abcd"):
        raise Wrong('give a dict with the four letters: {"a": ..., "b": ..., "c": ..., "d": ...}.')
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
        raise Wrong("b: then the letter is lost: it is never sent, and nobody notices.")
    if steps["b"] == "nothing":
        raise Wrong(
            "b: it is delivered again, but without backoff, limit, or error: report the failure."
        )
    if steps["c"] == "fail":
        raise Wrong(
            "c: the letter exists, and every retry finds it again; an event whose letter was sent "
            "gets parked."
        )
    if steps["c"] == "nothing":
        raise Wrong("c: a consumer sent it and died before the ack. Only the ack is missing.")
    if steps["d"] == "ack":
        raise Wrong("d: nothing was done for this event, and after an ack nothing will be.")
    if steps["d"] == "fail":
        raise Wrong(
            "d: no attempt, no failure. After enough restarts a healthy event would be parked."
        )


ack_fail_or_nothing = Exercise(
    judge=_judge_steps,
    right=(
        "ack: nothing is left to do. fail: an attempt failed. Nothing: the event is delivered "
        "again anyway."
    ),
    hints=[
        "for each, ask: is anything left to do? If so, was it attempted?",
        "two of them are acked.",
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
            "John's second withdrawal has the name of the first",
        ),
        (_withdrawal("JaneDoe", 2, 50_000, 3_000), "Jane's withdrawal has the name of John's"),
        (
            _withdrawal("JohnDoe", 4, 50_000, 4_000),
            "John withdrew the same sum again, on another day: the same name",
        ),
        (_withdrawal("Doe1", 1, 50_000, 5_000), ""),
        (
            _withdrawal("Doe", 11, 50_000, 6_000),
            "version 1 of 'Doe1' and version 11 of 'Doe' are one name",
        ),
    ):
        before = len(box.letters)
        send(box, other)
        if len(box.letters) == before:
            raise Wrong(f"{fault}, so it counts as a repeat, and its letter is never sent.")


one_letter_each = Exercise(
    judge=_judge_send,
    right="the event's identity is the letter's name, and a name that is taken means done.",
    hints=[
        "what differs between events, but is the same for each delivery of one event?",
        "its id and version together, with a separator between them, or its position.",
        "try to put it; FileExistsError means that it was sent before: pass.",
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
            raise ConnectionError("no answer")
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
                "the post office did not respond for one letter, and your loop stopped: the "
                "others wait."
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
        raise Wrong(f"without failures, letters were sent for {sent}, expected [1, 2, 3, 4].")
    if lag.events:
        raise Wrong(
            "all four letters were sent, but are still pending and will be sent again. Ack what "
            "is done."
        )
    sent, lag, _ = _played(work, fails=2)
    if sent != [1, 3, 4]:
        raise Wrong(
            f"the post office failed for version 2; letters were sent for {sent}, expected [1, 3, "
            "4]."
        )
    if lag.events == 0:
        raise Wrong(
            "version 2 got no response, and you acked it: its letter is lost, and nobody notices."
        )
    if lag.waiting != 1:
        raise Wrong(
            "version 2 failed, but you did not report it: there is no backoff, no limit, and no "
            "error."
        )
    sent, lag, again = _played(work, kills=3)
    if again != [3, 4]:
        raise Wrong(
            f"after a kill at version 3 and a restart you receive {again}: 1 and 2 are sent a "
            "second time. "
            "At-least-once allows it, but you can do better: ack each event as soon as it is done."
        )


a_loop_that_loses_nothing = Exercise(
    judge=_judge_work,
    right="try, else ack, except fail: one event at a time, each with its own outcome.",
    hints=[
        "loop with for event in letters.receive(): and use try, except, else for each event.",
        "letters.fail(event, error) when it raised; letters.ack([event]) when it did not.",
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
        "First the work, then the ack; a reported failure neither blocks the others nor gets lost."
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

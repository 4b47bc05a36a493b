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
            "a: what is never acked stays in the pending list, and comes back until it is parked as a killer."
        )
    if steps["a"] == "fail":
        raise Wrong(
            "a: nothing went wrong. It would be tried again, and be parked in the end, with all small sums."
        )
    if steps["b"] == "ack":
        raise Wrong("b: then the letter is lost: nobody sends it, and nobody knows.")
    if steps["b"] == "nothing":
        raise Wrong("b: it comes back, but without pause, limit and error: tell what you know.")
    if steps["c"] == "fail":
        raise Wrong(
            "c: the letter is there. However often you try, it will be there; a letter that was sent is parked."
        )
    if steps["c"] == "nothing":
        raise Wrong("c: somebody sent it and died before the ack. The ack is what is missing.")
    if steps["d"] == "ack":
        raise Wrong("d: nothing was done for it, and nothing will be.")
    if steps["d"] == "fail":
        raise Wrong(
            "d: no try, no failure. Too many restarts, and a letter without fault is parked."
        )


ack_fail_or_nothing = Exercise(
    judge=_judge_steps,
    right="ack: there is nothing left to do. fail: it was tried in vain. Nothing: it is given again by itself.",
    hints=[
        "ask of each: is anything left to do? And if so, was it tried?",
        "two of them are acked.",
    ],
    answer="""
        steps = {"a": "ack", "b": "fail", "c": "ack", "d": "nothing"}
    """,
    explanation="An ack says that nothing is left to do, whoever did it; a failure says that somebody tried.",
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
    """A letter box that takes each name once; and who is asked to look at it."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def put(self, name: str, text: str) -> None:
        if not isinstance(name, str) or not name:
            raise Wrong("a letter's name is a text that is not empty.")
        if name in self.letters:
            raise FileExistsError(name)
        self.letters[name] = str(text)


def _withdrawal(id: str, version: int, amount: int, ms: int) -> Recorded:
    return Recorded(id, version, "withdraw", {"amount": amount}, f"{ms}-0")


def _judge_send(send: Callable[[_Box, Recorded], object]) -> None:
    box, first = _Box(), _withdrawal("JohnDoe", 2, 50_000, 1_000)
    send(box, first)
    if len(box.letters) != 1:
        raise Wrong(f"one withdrawal, one call, and {len(box.letters)} letters are in the box.")
    try:
        send(box, first)  # the ack did not come to pass
    except FileExistsError as error:
        raise Wrong(
            "the second call raised FileExistsError: the letter was sent, but the event would be failed, and parked."
        ) from error
    if len(box.letters) != 1:
        raise Wrong(
            "the same event a second time, and there are two letters: by its name the box must know a repeat."
        )
    for other, fault in (
        (
            _withdrawal("JohnDoe", 3, 70_000, 2_000),
            "John's second withdrawal has the name of his first",
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
            raise Wrong(f"{fault}, so it is taken for a repeat, and its letter is never sent.")


one_letter_each = Exercise(
    judge=_judge_send,
    right="the event's identity is the letter's name, and a name that is taken means: done.",
    hints=[
        "what is different for each event, and the same each time it is handed out?",
        "its id and version together, or its position; with something between id and version.",
        "try to put it; on FileExistsError it was sent before: pass.",
    ],
    answer="""
        def send(box, event):
            try:
                box.put(f"{event.id} {event.version}", f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
            except FileExistsError:
                pass
    """,
    explanation="id and version name an event, and so does its position; nothing else in it does.",
    mistakes=[
        """
        import uuid


        def send(box, event):
            box.put(uuid.uuid4().hex, f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
        """,
        """
        def send(box, event):
            box.put(f"{event.id} {event.version}", f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
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
            try:
                box.put(f"{event.version} {event.type}", f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
            except FileExistsError:
                pass
        """,
        """
        def send(box, event):
            try:
                box.put(f"{event.id} {event.data['amount']}", "Dear customer, you have withdrawn money.")
            except FileExistsError:
                pass
        """,
        """
        def send(box, event):
            try:
                box.put(f"{event.id}{event.version}", f"Dear {event.id}, you have withdrawn {event.data['amount']}.")
            except FileExistsError:
                pass
        """,
    ],
)


class _Killed(BaseException):
    """What a process feels that is killed: no `except Exception` catches it."""


class _Outside:
    """A post office that does not answer for one version, and a process that is killed at another one."""

    def __init__(self, store: EventStore, *, fails: int = 0, kills: int = 0) -> None:
        self.store, self.fails, self.kills = store, fails, kills
        self.sent: list[int] = []

    def send(self, event: Recorded) -> None:
        group = self.store.redis.xpending_range(
            self.store.category, "exercise", event.position, event.position, 1
        )
        if not group:
            raise Wrong(
                "an event was acked before its letter was sent. Who dies between the two has lost a letter."
            )
        if event.version == self.kills:
            raise _Killed
        if event.version == self.fails:
            raise ConnectionError("no answer")
        self.sent.append(event.version)


def _played(
    work: Callable[[Subscription, Callable[[Recorded], None]], object], **faults: int
) -> Any:
    """What one call of an answer sent of four events, the lag that it left, and what a second consumer is given."""
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
                "the post office did not answer for one letter, and your loop ended there: the others wait for it."
            ) from error
        finally:
            store.drop()


def _judge_work(work: Callable[[Subscription, Callable[[Recorded], None]], object]) -> None:
    sent, lag, _ = _played(work)
    if sent != [1, 2, 3, 4]:
        raise Wrong(f"four events, nothing goes wrong, and letters were sent for {sent}.")
    if lag.events:
        raise Wrong(
            "all four letters are sent, and they are still pending: they will be sent again. Ack what is done."
        )
    sent, lag, _ = _played(work, fails=2)
    if sent != [1, 3, 4]:
        raise Wrong(
            f"the post office did not answer for version 2; letters were sent for {sent}, expected [1, 3, 4]."
        )
    if lag.events == 0:
        raise Wrong(
            "there was no answer for version 2, and you acked it: its letter is lost, and nobody knows."
        )
    if lag.waiting != 1:
        raise Wrong(
            "version 2 failed, and the subscription was not told: it has no pause, no limit, no error."
        )
    sent, lag, again = _played(work, kills=3)
    if again != [3, 4]:
        raise Wrong(
            f"killed at version 3, and started again, you are given {again}: 1 and 2 were sent, and are sent again. "
            "At least once allows it, but you can do better: ack each as soon as it is done."
        )


a_loop_that_loses_nothing = Exercise(
    judge=_judge_work,
    right="try, else ack, except fail: one event at a time, each with its own end.",
    hints=[
        "for event in letters.receive(): and inside, for each event, try, except, else.",
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
    explanation="First the work, then the ack; and a failure is told, so that it neither stops the others nor is lost.",
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

"""The exercises of 04_projections."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventlab import NEW, Changes, Event, EventStore, Projector, Recorded, connect
from eventlab.lessons.exercise import Exercise, Wrong


def _judge_fates(answer: dict[str, Any]) -> None:
    if not isinstance(answer, dict) or set(answer) != set("abcde"):
        raise Wrong(
            'give a dict with the five letters: {"a": ..., "b": ..., "c": ..., "d": ..., "e": ...}.'
        )
    if not set(answer.values()) <= {"less", "right", "more"}:
        raise Wrong('each of them is "less", "right" or "more".')
    if answer["a"] != "less":
        raise Wrong(
            "a: what was acknowledged is never handed out again. Was it written before the kill?"
        )
    if answer["b"] == "less":
        raise Wrong("b: += overtakes nothing: a sum does not ask in which order its parts came.")
    if answer["b"] == "more":
        raise Wrong(
            "b: two consumers of a group do not get the same events. And nobody died, so nothing was repeated."
        )
    if answer["c"] != "less":
        raise Wrong(
            "c: nobody has to die. One of the two is a little faster, and what it overtook counts as older."
        )
    if answer["d"] != "right":
        raise Wrong("d: take the largest of 30, 70 and 50. Now take it of 50, 30, 70 and 70.")
    if answer["e"] != "more":
        raise Wrong(
            "e: the documents are in, the position is not. From where does the next one go on?"
        )


how_much_is_there = Exercise(
    judge=_judge_fates,
    right="ask of each way: what if it is repeated, what if it is overtaken, what if it dies between the two steps?",
    hints=[
        "put the kill between the two steps. What has happened already, and what never will?",
        "of these five, two are right: in one of them nothing is repeated, in the other a repeat does no harm.",
    ],
    answer="""
        fates = {"a": "less", "b": "right", "c": "less", "d": "right", "e": "more"}
    """,
    explanation="The order of two steps decides whether something is lost or doubled. One step decides for neither.",
    mistakes=[
        """
        fates = {"a": "more", "b": "right", "c": "less", "d": "right", "e": "more"}
        """,
        """
        fates = {"a": "less", "b": "less", "c": "less", "d": "right", "e": "more"}
        """,
        """
        fates = {"a": "less", "b": "more", "c": "less", "d": "right", "e": "more"}
        """,
        """
        fates = {"a": "less", "b": "right", "c": "right", "d": "right", "e": "more"}
        """,
        """
        fates = {"a": "less", "b": "right", "c": "less", "d": "more", "e": "more"}
        """,
        """
        fates = {"a": "less", "b": "right", "c": "less", "d": "right", "e": "right"}
        """,
    ],
)


HOUR = 3_600_000
BATCHES = (
    [("create", 8, None), ("deposit", 8, 500), ("withdraw", 9, 30), ("withdraw", 9, 40)],
    [("withdraw", 9 + 24, 5), ("deposit", 23, 80), ("withdraw", 23, 7)],
)


def _batches() -> Iterator[list[Recorded]]:
    for number, batch in enumerate(BATCHES, 1):
        yield [
            Recorded(
                "a", number, type, {} if amount is None else {"amount": amount}, f"{hour * HOUR}-0"
            )
            for type, hour, amount in batch
        ]


def _written(
    apply: Callable[[Recorded, Changes], None], *, killed: bool
) -> dict[Any, dict[str, Any]]:
    """The documents after all batches; if killed, each batch is folded once in vain, as by one that dies then."""
    documents: dict[Any, dict[str, Any]] = defaultdict(dict)
    for events in _batches():
        for _ in range(2 if killed else 1):
            changes = Changes()
            for event in events:
                apply(event, changes)
        for id, change in changes.items():
            update = change.update()
            documents[id] |= update.get("$set", {})
            for name, by in update.get("$inc", {}).items():
                documents[id][name] = documents[id].get(name, 0) + by
    return {id: document for id, document in documents.items() if document}


def _judge_view(apply: Callable[[Recorded, Changes], None]) -> None:
    try:
        found = _written(apply, killed=False)
    except KeyError as error:
        raise Wrong("a `create` has no amount. Ask for the type first.") from error
    wanted = {9: {"withdrawn": 75}, 23: {"withdrawn": 7}}
    if {9: {"withdrawn": 5}, 23: {"withdrawn": 7}}.items() <= found.items():
        raise Wrong(
            "`set` puts a value in the place of the old one: the last withdrawal is left. Add them up."
        )
    if any(document.get("withdrawn", 0) > 80 for document in found.values()):
        raise Wrong("there is too much in it: deposits are no withdrawals.")
    if any(not isinstance(id, int) for id in found):
        raise Wrong(
            f"a document for each hour of the day, 0 to 23, as a number; yours are called {list(found)}."
        )
    if found != wanted:
        raise Wrong(f"wanted {wanted}; you have {found}.")
    if _written(apply, killed=True) != wanted:
        raise Wrong(
            "right, until a projector is killed: the batch is folded again, and what you keep outside of `changes` has "
            "counted it already. Only `changes` is written, or thrown away, with the transaction."
        )


a_view_of_your_own = Exercise(
    judge=_judge_view,
    right="it looks at one event, and says what it changes. All that must survive is in the documents.",
    hints=[
        "event.time is a datetime in UTC, and has an hour.",
        "only for withdrawals: changes[hour].inc(field, amount).",
    ],
    answer="""
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.hour].inc("withdrawn", event.data["amount"])
    """,
    explanation="`inc` adds to what is in the document, so a view needs no memory, and a repeat has nothing to double.",
    mistakes=[
        """
        def withdrawn_per_hour(event, changes):
            changes[event.time.hour].inc("withdrawn", event.data["amount"])
        """,
        """
        def withdrawn_per_hour(event, changes):
            changes[event.time.hour].inc("withdrawn", event.data.get("amount", 0))
        """,
        """
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.hour].set("withdrawn", event.data["amount"])
        """,
        """
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.isoformat()].inc("withdrawn", event.data["amount"])
        """,
        """
        from collections import Counter

        totals = Counter()


        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                totals[event.time.hour] += event.data["amount"]
                changes[event.time.hour].set("withdrawn", totals[event.time.hour])
        """,
    ],
)


class _Gift:
    """Funds, and 5 more for each account: so that the view and the sum of the log can be told apart."""

    name = "exerciseReadYourWrite"

    def apply(self, event: Recorded, changes: Changes) -> None:
        changes[event.id].inc("funds", 5 if event.type == "create" else event.data["amount"])


class _Watched(Projector):
    """A projector that remembers for what somebody waited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waited: list[int] = []

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        self.waited.append(version)
        super().wait_until(id, version, seconds=seconds)


@contextmanager
def _late(projector: Projector) -> Iterator[None]:
    """A projector that is a while behind, and follows."""
    stop = threading.Event()

    def follow() -> None:
        stop.wait(0.4)
        projector.run(stop, poll_interval=0.05)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _judge_reader(pay_and_look: Callable[..., int]) -> None:
    with connect() as lab:
        store, documents = (
            EventStore(lab.redis, "exerciseReadYourWrite"),
            lab.mongo["exerciseReadYourWrite"],
        )
        store.drop()
        with (
            _Watched(store, lab.mongo, _Gift()) as projector,
            Projector(store, lab.mongo, _Gift()) as follower,
        ):
            projector.reset()
            store.append(
                "JohnDoe", [Event("create"), Event("deposit", {"amount": 100})], expected=NEW
            )
            projector.catch_up()
            try:
                with _late(follower):
                    found = pay_and_look(store, projector, documents, 20)
                stored = [event.data for event in store.read("JohnDoe", after=2)]
            finally:
                follower.reset()
                store.drop()
    if stored != [{"amount": 20}]:
        raise Wrong(f"one deposit of the amount is wanted in the log; there is {stored}.")
    if found == 120:
        raise Wrong(
            "that is what the log says (the view adds a gift of 5). The question was what the view shows."
        )
    if found != 125 and not projector.waited:
        raise Wrong(
            "you looked, and the view was not there yet: it showed the funds of before. Wait for your event."
        )
    if found != 125 and max(projector.waited) < 3:
        raise Wrong(
            "you waited for a version that was there before you wrote. Yours is the one that append gave back."
        )
    if found != 125:
        raise Wrong(f"the view shows 125 in the end; you have {found!r}.")


read_your_own_write = Exercise(
    judge=_judge_reader,
    right="you waited for your event, and for no longer. Nobody else has to wait for anything.",
    hints=[
        "append returns a list of what was recorded; the last one has the version to wait for.",
        'then projector.wait_until("JohnDoe", version), and only then look into the documents.',
    ],
    answer="""
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            [paid] = store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            projector.wait_until("JohnDoe", paid.version)
            return documents.find_one({"_id": "JohnDoe"})["funds"]
    """,
    explanation="The writer knows what he wrote: its version is the receipt. Whoever shows it is shown his own write.",
    mistakes=[
        """
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
        """
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            projector.wait_until("JohnDoe", version)
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
        """
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            return sum(event.data.get("amount", 0) for event in store.read("JohnDoe"))
        """,
        """
        def pay_and_look(store, projector, documents, amount):
            documents.update_one({"_id": "JohnDoe"}, {"$inc": {"funds": amount}})
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
    ],
)

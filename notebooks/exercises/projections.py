"""The exercises of 06_projections."""

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
        raise Wrong('each answer is "less", "right" or "more".')
    if answer["a"] != "less":
        raise Wrong(
            "a: an acknowledged event is never delivered again. Was it written before the kill?"
        )
    if answer["b"] == "less":
        raise Wrong("b: += does not depend on order: a sum is the same in any order.")
    if answer["b"] == "more":
        raise Wrong(
            "b: two consumers of a group get different events. No process died, so nothing was "
            "repeated."
        )
    if answer["c"] != "less":
        raise Wrong(
            "c: no crash is needed. One consumer is slightly faster, and the event it overtakes "
            "looks older."
        )
    if answer["d"] != "right":
        raise Wrong("d: take the largest of 30, 70 and 50. Now take it of 50, 30, 70 and 70.")
    if answer["e"] != "more":
        raise Wrong(
            "e: the documents are committed, the checkpoint is not. Where does the next projector "
            "resume?"
        )


how_much_is_there = Exercise(
    judge=_judge_fates,
    right=(
        "for each design, ask: what if an event repeats, is overtaken, or the process dies "
        "between steps?"
    ),
    hints=[
        "put the kill between the two steps. What has already happened, and what never will?",
        "two of the five are right: in one nothing is repeated, in the other a repeat is harmless.",
    ],
    answer="""
        fates = {"a": "less", "b": "right", "c": "less", "d": "right", "e": "more"}
    """,
    explanation=(
        "The order of two steps decides whether events are lost or doubled. One step does neither."
    ),
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


def _batches(hours: int) -> Iterator[list[Recorded]]:
    for number, batch in enumerate(BATCHES, 1):
        yield [
            Recorded(
                "a",
                number,
                type,
                {} if amount is None else {"amount": amount},
                f"{(hour + hours) * HOUR}-0",
            )
            for type, hour, amount in batch
        ]


def _written(
    apply: Callable[[Recorded, Changes], None], *, killed: bool, hours: int = 0
) -> dict[Any, dict[str, Any]]:
    """Return the documents after all batches.

    The events are moved by so many ``hours``. If ``killed``, each batch is first folded and
    discarded, as by a projector that then dies.
    """
    documents: dict[Any, dict[str, Any]] = defaultdict(dict)
    for events in _batches(hours):
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
        raise Wrong("a `create` has no amount. Check the type first.") from error
    except TypeError as error:
        if "'Change' object" not in str(error):
            raise
        raise Wrong(
            "changes[hour] is not a dict, but a Change with three verbs: inc, set and push. Write "
            "changes[hour].inc(field, amount)."
        ) from error
    wanted = {9: {"withdrawn": 75}, 23: {"withdrawn": 7}}
    if {9: {"withdrawn": 5}, 23: {"withdrawn": 7}}.items() <= found.items():
        raise Wrong("`set` replaces the old value: only the last withdrawal is left. Add them up.")
    if set(found) == {"a"}:
        raise Wrong(
            "your documents are the accounts. The question is about hours: changes[hour], with the "
            "hour of event.time."
        )
    if any(not isinstance(id, int) for id in found):
        raise Wrong(
            "each hour of the day, 0 to 23, needs a document with that number as its id; yours: "
            f"{list(found)}."
        )
    if any(document.get("withdrawn", 0) > 80 for document in found.values()):
        raise Wrong("the total is too high: deposits are not withdrawals.")
    if found != wanted:
        raise Wrong(f"expected {wanted}; you have {found}.")
    later = {(hour + 1) % 24: document for hour, document in wanted.items()}
    if _written(apply, killed=False, hours=1) != later:
        raise Wrong(
            "right for these hours. An hour later, the same withdrawals belong to other documents: "
            "take the hour from event.time."
        )
    if _written(apply, killed=True) != wanted:
        raise Wrong(
            "right, until a projector is killed: the batch is folded again, and your own "
            "variables have "
            "already counted it. Only `changes` is committed or discarded with the transaction."
        )


a_view_of_your_own = Exercise(
    judge=_judge_view,
    right=(
        "it takes one event and states the changes. Everything that must survive is in the "
        "documents."
    ),
    hints=[
        "event.time is a datetime in UTC, and has an hour.",
        "only for withdrawals: changes[hour].inc(field, amount).",
    ],
    answer="""
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.hour].inc("withdrawn", event.data["amount"])
    """,
    explanation=(
        "The view keeps no state of its own: it says what to add. That each batch is added once is "
        "the work of the transaction, which also has the checkpoint."
    ),
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
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.hour]["withdrawn"] += event.data["amount"]
        """,
        """
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.id].inc("withdrawn", event.data["amount"])
        """,
        """
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                hour = {30: 9, 40: 9, 5: 9, 7: 23}[event.data["amount"]]
                changes[hour].inc("withdrawn", event.data["amount"])
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
    """Funds plus 5 per account, so that the view differs from the sum of the log."""

    name = "exerciseReadYourWrite"

    def apply(self, event: Recorded, changes: Changes) -> None:
        changes[event.id].inc("funds", 5 if event.type == "create" else event.data["amount"])


class _Watched(Projector):
    """A projector that records the versions that callers wait for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waited: list[int] = []
        self.caught_up = 0

    def wait_until(self, id: str, version: int, *, seconds: float = 10.0) -> None:
        self.waited.append(version)
        super().wait_until(id, version, seconds=seconds)

    def catch_up(self) -> int:
        self.caught_up += 1
        return super().catch_up()

    def run_once(self) -> int:
        self.caught_up += 1
        return super().run_once()


@contextmanager
def _late(projector: Projector) -> Iterator[None]:
    """Run a projector that starts late and then follows."""
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
            projector.caught_up = 0
            try:
                with _late(follower):
                    found = pay_and_look(store, projector, documents, 20)
                stored = [event.data for event in store.read("JohnDoe", after=2)]
            finally:
                follower.reset()
                store.drop()
    if stored != [{"amount": 20}]:
        raise Wrong(f"the log must have one deposit of the amount; it has {stored}.")
    if found == 120:
        raise Wrong(
            "that is the sum of the log (the view adds a gift of 5). The question is what the "
            "view shows."
        )
    if found != 125 and not projector.waited:
        raise Wrong("the view had not caught up: it showed the old funds. Wait for your event.")
    if found != 125 and max(projector.waited) < 3:
        raise Wrong(
            "you waited for a version from before your write. Yours is the one that append "
            "returned."
        )
    if found != 125:
        raise Wrong(f"the view shows 125 in the end; you have {found!r}.")
    if projector.caught_up:
        raise Wrong(
            "you did the projector's work yourself. After an outage your user would wait until all "
            "events of everybody are applied: wait for the projector that runs, and for your event "
            "only."
        )
    if not projector.waited:
        raise Wrong(
            "125 is right, but you did not wait for your event. Others may deposit at the same "
            "time, and then this number is wrong. append returned a version: wait until the view "
            "has it."
        )


read_your_own_write = Exercise(
    judge=_judge_reader,
    right="you waited for your event, and no longer. Other readers do not have to wait.",
    hints=[
        "append returns the recorded events; the last one has the version to wait for.",
        'then projector.wait_until("JohnDoe", version), and only then read the documents.',
    ],
    answer="""
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            deposit = Event("deposit", {"amount": amount})
            [paid] = store.append("JohnDoe", [deposit], expected=version)
            projector.wait_until("JohnDoe", paid.version)
            return documents.find_one({"_id": "JohnDoe"})["funds"]
    """,
    explanation=(
        "The version is the writer's receipt. Readers that wait for it see their own write."
    ),
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
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            before = documents.find_one({"_id": "JohnDoe"})["funds"]
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            return before + amount
        """,
        """
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            projector.catch_up()
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
        """
        from eventlab import Event


        def pay_and_look(store, projector, documents, amount):
            version = store.version("JohnDoe")
            store.append("JohnDoe", [Event("deposit", {"amount": amount})], expected=version)
            while documents.find_one({"_id": "JohnDoe"})["version"] <= version:
                pass
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
        """
        def pay_and_look(store, projector, documents, amount):
            documents.update_one({"_id": "JohnDoe"}, {"$inc": {"funds": amount}})
            return documents.find_one({"_id": "JohnDoe"})["funds"]
        """,
    ],
)

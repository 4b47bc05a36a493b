"""The exercises of 06_projections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from eventlab import Changes, Recorded, connect
from eventlab.lessons.exercise import Exercise, Wrong

Write = Callable[[Any, Recorded], object]


def _deposit(id: str, version: int, amount: int, second: int = 0) -> Recorded:
    position = f"17672256{second or version:05}-0"
    return Recorded(id, version, "deposit", {"amount": amount}, position)


@contextmanager
def _collections(*names: str) -> Iterator[list[Any]]:
    """Open collections that exist and are empty; delete them at the end."""
    with connect() as lab:
        for name in names:
            lab.mongo[name].drop()
            lab.mongo.create_collection(name)
        try:
            yield [lab.mongo[name] for name in names]
        finally:
            for name in names:
                lab.mongo[name].drop()


class _Overtaken:
    """A collection in which another consumer writes right after the first read."""

    def __init__(self, documents: Collection[dict[str, Any]], other: Callable[[], object]) -> None:
        self._documents = documents
        self._other = [other]
        self.happened = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._documents, name)
        if name not in ("find_one", "find", "count_documents") or not callable(found):
            return found

        def read(*args: Any, **options: Any) -> Any:
            result = found(*args, **options)
            if name == "find":
                result = iter(list(result))
            if self._other:
                self.happened = True
                self._other.pop()()
            return result

        return read


def _field(documents: Collection[dict[str, Any]], field: str) -> dict[str, Any]:
    return {document["_id"]: document.get(field) for document in documents.find()}


def _judge_largest(largest: Write) -> None:
    events = [
        _deposit("ann", 1, 30),
        _deposit("bob", 1, 5),
        _deposit("ann", 2, 70),
        _deposit("ann", 3, 50),
    ]
    with _collections("exerciseLargest") as [documents]:
        for event in events:
            largest(documents, event)
        found = _field(documents, "largest")
        if not found:
            raise Wrong("there is no document: the first event must create it. Use upsert=True.")
        if found.get("ann") == 150:
            raise Wrong("150 is the sum. The exercise asks for the largest single deposit.")
        if found.get("ann") == 50:
            raise Wrong("`$set` keeps the last deposit, which is not always the largest.")
        if found != {"ann": 70, "bob": 5}:
            raise Wrong(
                f"after 30, 70 and 50 for 'ann', and 5 for 'bob', the field `largest` of the two "
                f"documents should be 70 and 5; you stored {found}."
            )
        for event in reversed(events):
            largest(documents, event)
        found = _field(documents, "largest")
        if found != {"ann": 70, "bob": 5}:
            raise Wrong(
                "right the first time. When the same events are delivered again, in a different "
                f"order, the result is {found}. Neither a repeat nor the order may change it."
            )
        between = _Overtaken(documents, lambda: largest(documents, _deposit("ann", 5, 90)))
        largest(between, _deposit("ann", 4, 80))
        if between.happened and _field(documents, "largest")["ann"] != 90:
            raise Wrong(
                "between your read and your write, another consumer stored 90, and you replaced "
                "it with 80. Let MongoDB compare and write in one step: it has $max."
            )


the_largest_deposit = Exercise(
    judge=_judge_largest,
    right="a maximum needs no guard: the order does not matter, and neither does a repeat.",
    hints=[
        "like `plus`, but with a different operator than $inc. MongoDB has one for the larger "
        "value.",
        '{"$max": {"largest": amount}}, with upsert=True.',
    ],
    answer="""
        def largest(documents, event):
            change = {"$max": {"largest": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
    """,
    explanation=(
        "MongoDB compares and writes in one step. Such a write is idempotent, and its order does "
        "not matter. A sum is not idempotent, so it needs more care."
    ),
    mistakes=[
        """
        def largest(documents, event):
            change = {"$max": {"largest": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change)
        """,
        """
        def largest(documents, event):
            change = {"$inc": {"largest": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def largest(documents, event):
            change = {"$set": {"largest": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def largest(documents, event):
            change = {"$min": {"largest": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def largest(documents, event):
            known = documents.find_one({"_id": event.id}) or {"largest": 0}
            if event.data["amount"] > known["largest"]:
                change = {"$set": {"largest": event.data["amount"]}}
                documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def largest(documents, event):
            change = {"$max": {"largest": event.data["amount"]}}
            documents.update_one({"_id": "ann"}, change, upsert=True)
        """,
    ],
)


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
        raise Wrong("b: += does not depend on the order. A sum is the same in any order.")
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
        raise Wrong(
            "d: take the largest of 30, 70 and 50. Now take the largest of 50, 30, 70 and 70."
        )
    if answer["e"] != "more":
        raise Wrong(
            "e: the documents are committed, but the checkpoint is not. Where does the next "
            "projector resume?"
        )


how_much_is_there = Exercise(
    judge=_judge_fates,
    right=(
        "for each design, ask: what if an event is repeated or overtaken, or the process dies "
        "between two steps?"
    ),
    hints=[
        "imagine the kill between the two steps. What has already happened, and what never will?",
        "two of the five totals are right: in one, nothing is repeated, and in the other, a "
        "repeat is harmless.",
    ],
    answer="""
        fates = {"a": "less", "b": "right", "c": "less", "d": "right", "e": "more"}
    """,
    explanation=(
        "The order of two steps decides whether events are lost or counted twice. With a single "
        "step, neither can happen."
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

    The events happen ``hours`` hours later. If ``killed``, each batch is first folded and
    discarded, as if a projector had died.
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
            "changes[hour] is not a dict, but a Change with methods such as inc, set and push. "
            "Write changes[hour].inc(field, amount)."
        ) from error
    wanted = {9: {"withdrawn": 75}, 23: {"withdrawn": 7}}
    if {9: {"withdrawn": 5}, 23: {"withdrawn": 7}}.items() <= found.items():
        raise Wrong(
            "`set` replaces the old value: only the last withdrawal is left. Add up the amounts."
        )
    if set(found) == {"a"}:
        raise Wrong(
            "your documents are the accounts. The question is about hours: changes[hour], with the "
            "hour of event.time."
        )
    if any(not isinstance(id, int) for id in found):
        raise Wrong(
            "each hour of the day, 0 to 23, needs a document with that number as its id; your ids "
            f"are {list(found)}."
        )
    if any(document.get("withdrawn", 0) > 80 for document in found.values()):
        raise Wrong("the total is too high: deposits are not withdrawals.")
    if found != wanted:
        raise Wrong(f"expected {wanted}; your view has {found}.")
    later = {(hour + 1) % 24: document for hour, document in wanted.items()}
    if _written(apply, killed=False, hours=1) != later:
        raise Wrong(
            "right for these hours. An hour later, the same withdrawals belong to other documents: "
            "take the hour from event.time."
        )
    if _written(apply, killed=True) != wanted:
        raise Wrong(
            "right, until a projector is killed: the batch is folded again, and your own variables "
            "have already counted it. Only `changes` is committed or discarded with the "
            "transaction."
        )


a_view_of_your_own = Exercise(
    judge=_judge_view,
    right=(
        "your apply takes one event and says what changes. Everything that must survive is in the "
        "documents."
    ),
    hints=[
        "event.time is a datetime in UTC, and its hour is event.time.hour.",
        "only for withdrawals: changes[hour].inc(field, amount).",
    ],
    answer="""
        def withdrawn_per_hour(event, changes):
            if event.type == "withdraw":
                changes[event.time.hour].inc("withdrawn", event.data["amount"])
    """,
    explanation=(
        "The view keeps no state of its own: it says what to add. The transaction makes sure that "
        "each batch is added only once, because it also moves the checkpoint."
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


def _played(write: Write, documents: Any, versions: Sequence[int]) -> None:
    for version in versions:
        write(documents, _deposit("ann", version, 10 * version))


def _funds(documents: Any) -> int:
    found: int = (documents.find_one({"_id": "ann"}) or {}).get("funds", 0)
    return found


def _emptied(documents: Any) -> None:
    documents.delete_many({})


def _judge_guard(careful: Write) -> None:
    with _collections("exerciseGuard") as [documents]:
        _played(careful, documents, [1, 2, 3])
        if _funds(documents) != 60:
            raise Wrong(
                "deposits of 10, 20 and 30, in order and once each, should make 60; the field "
                f"`funds` is {_funds(documents)}."
            )
        try:
            _played(careful, documents, [2, 3, 1])
        except Exception as error:
            raise Wrong(
                "versions 1 to 3 were counted, and are delivered again. That is normal after a "
                "crash: ignore such events, and raise an error only if a version is missing."
            ) from error
        if _funds(documents) != 60:
            raise Wrong("a repeat was counted: an event at or below the stored version is old.")
        try:
            careful(documents, _deposit("ann", 5, 50))
        except Exception:  # noqa: BLE001 - any error will do
            noticed = True
        else:
            noticed = False
        if _funds(documents) != 60:
            raise Wrong(
                "version 5 was counted although version 4 is missing. When version 4 arrives, it "
                "looks old."
            )
        if not noticed:
            raise Wrong(
                "version 5 arrived after version 3, and nobody noticed the gap. Without an error, "
                "version 5 is acknowledged and lost. Raise an error: then it is delivered again."
            )
        _played(careful, documents, [4, 5])
        if _funds(documents) != 150:
            raise Wrong(
                "version 4 arrived late, and then version 5 once more. Now the deposits of "
                f"versions 1 to 5 should make 150; `funds` is {_funds(documents)}."
            )
        _emptied(documents)
        try:
            careful(documents, _deposit("ann", 2, 20))
        except Exception:  # noqa: BLE001 - any error will do
            pass
        else:
            raise Wrong(
                "there is no document yet, and the first event that arrives is version 2. Version "
                "1 is missing: that is a gap, too."
            )
        _emptied(documents)
        _played(careful, documents, [1])
        again = _deposit("ann", 2, 20)
        try:
            careful(_Overtaken(documents, lambda: careful(documents, again)), again)
        except Exception:  # noqa: BLE001 - then it is delivered again, and ignored
            careful(documents, again)
        if _funds(documents) != 30:
            raise Wrong(
                "between your read and your write, another consumer counted the same event, so the "
                "event is counted twice. Put the expected version into the filter of update_one."
            )
        first = _deposit("bob", 1, 10)
        try:
            careful(_Overtaken(documents, lambda: careful(documents, first)), first)
        except Exception:  # noqa: BLE001 - as above
            careful(documents, first)
        if _field(documents, "funds") != {"ann": 30, "bob": 10}:
            raise Wrong(
                "two consumers counted the first event of 'bob' at the same time, and now `funds` "
                f"is {_field(documents, 'funds').get('bob')} instead of 10."
            )


a_guard_that_notices = Exercise(
    judge=_judge_guard,
    right="a repeat is ignored, a gap is an error, and nothing is lost silently.",
    hints=[
        "three cases: the event is the next version; or it is older; or a version is missing.",
        "count the event only where the stored version is event.version - 1: put this condition "
        "into the filter. Then look at matched_count.",
        "the first event has no document to find: upsert only if event.version is 1.",
    ],
    answer="""
        from contextlib import suppress

        from pymongo.errors import DuplicateKeyError


        def careful(documents, event):
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            following = {"_id": event.id, "version": event.version - 1}
            with suppress(DuplicateKeyError):  # version 1 again
                is_first = event.version == 1
                if documents.update_one(following, change, upsert=is_first).matched_count:
                    return
            found = documents.find_one({"_id": event.id}) or {"version": 0}
            if found["version"] < event.version:
                raise RuntimeError(f"{event.id!r} is at version {found['version']}: a gap")
    """,
    explanation=(
        "The filter checks and writes in one step. Only an event that was not counted needs a "
        "second look: is it old, or is a version missing?"
    ),
    mistakes=[
        """
        from contextlib import suppress

        from pymongo.errors import DuplicateKeyError


        def careful(documents, event):
            older = {"_id": event.id, "$or": [{"version": {"$lt": event.version}},
                                              {"version": None}]}
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            with suppress(DuplicateKeyError):
                documents.update_one(older, change, upsert=True)
        """,
        """
        def careful(documents, event):
            change = {"$inc": {"funds": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def careful(documents, event):
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            following = {"_id": event.id, "version": event.version - 1}
            documents.update_one(following, change, upsert=True)
        """,
        """
        def careful(documents, event):
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            following = {"_id": event.id, "version": event.version - 1}
            if not (documents.find_one({"_id": event.id}) or {}).get("version", 0) >= event.version:
                documents.update_one(following, change, upsert=event.version == 1)
        """,
        """
        def careful(documents, event):
            found = documents.find_one({"_id": event.id})
            if found is not None and event.version <= found["version"]:
                return
            if found is not None and event.version > found["version"] + 1:
                raise RuntimeError("a gap")
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        """
        def careful(documents, event):
            found = documents.find_one({"_id": event.id}) or {"version": 0}
            if event.version <= found["version"]:
                return
            if event.version > found["version"] + 1:
                raise RuntimeError("a gap")
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
    ],
)


def _judge_batch(apply_batch: Callable[[Database[Any], str, list[Recorded]], object]) -> None:
    events = [_deposit("ann", 1, 10), _deposit("bob", 1, 20, 2), _deposit("ann", 2, 30, 3)]
    following = [_deposit("ann", 3, 40, 4), _deposit("bob", 2, 50, 5)]
    with _collections("exerciseMoney", "exerciseCheckpoint") as [documents, checkpoint]:
        mongo = documents.database
        checkpoint.insert_one({"_id": "money", "position": "0-0"})

        def state() -> tuple[dict[str, Any], str]:
            return _field(documents, "funds"), checkpoint.find_one({"_id": "money"})["position"]

        def refused(collection: Any, rule: dict[str, Any], when: str) -> None:
            before = state()
            mongo.command("collMod", collection.name, validator=rule)
            try:
                apply_batch(mongo, before[1], following)
            except PyMongoError:
                pass
            finally:
                mongo.command("collMod", collection.name, validator={})
            after = state()
            if after[0] != before[0] and after[1] == before[1]:
                raise Wrong(
                    f"{when}, and the documents changed although the checkpoint did not. The next "
                    "projector applies these events again. Which writes have session=session?"
                )
            if after != before:
                raise Wrong(
                    f"{when}, and the checkpoint moved although not all documents were written: "
                    "some events are lost. Which writes have session=session?"
                )

        first = apply_batch(mongo, "0-0", events)
        if state()[0] != {"ann": 40, "bob": 20}:
            raise Wrong(
                f"after deposits of 10 and 30 for 'ann', and 20 for 'bob', the field `funds` "
                f"should be 40 and 20; you stored {state()[0]}."
            )
        if state()[1] != events[-1].position:
            raise Wrong(
                f"the checkpoint should be the position of the last event, {events[-1].position}; "
                f"it is {state()[1]}."
            )
        try:
            second = apply_batch(mongo, "0-0", events)
        except OperationFailure:
            second = False
        if state()[0] != {"ann": 40, "bob": 20}:
            raise Wrong(
                "two projectors had read the same batch, and both applied it. Move the checkpoint "
                "only if it is still `start`, and write nothing if it is not."
            )
        refused(documents, {"funds": {"$ne": 70}}, "MongoDB rejected the last document")
        refused(documents, {"funds": {"$ne": 80}}, "MongoDB rejected a document")
        refused(
            checkpoint,
            {"position": {"$lte": events[-1].position}},
            "MongoDB rejected the new checkpoint",
        )
        if (first, second) != (True, False):
            raise Wrong(
                "the documents and the checkpoint are right. Return True if the batch was applied, "
                f"and False if another projector was faster; you returned {first} and {second}."
            )


your_own_projector = Exercise(
    judge=_judge_batch,
    right="either everything is stored, or nothing. This is the heart of every exact projector.",
    hints=[
        "with mongo.client.start_session() as session, session.start_transaction(): and every "
        "write inside it has session=session.",
        'move the checkpoint first, with the filter {"_id": "money", "position": start}.',
        "if matched_count is 0, another projector was faster: return False.",
    ],
    answer="""
        def apply_batch(mongo, start, events):
            with mongo.client.start_session() as session, session.start_transaction():
                moved = mongo.exerciseCheckpoint.update_one(
                    {"_id": "money", "position": start},
                    {"$set": {"position": events[-1].position}},
                    session=session,
                )
                if moved.matched_count == 0:
                    return False
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id},
                        {"$inc": {"funds": event.data["amount"]}},
                        upsert=True,
                        session=session,
                    )
            return True
    """,
    explanation=(
        "If an error leaves the `with` block, or the process dies, the transaction ends without "
        "any effect."
    ),
    seconds=40,
    mistakes=[
        """
        def apply_batch(mongo, start, events):
            for event in events:
                mongo.exerciseMoney.update_one(
                    {"_id": event.id}, {"$inc": {"funds": event.data["amount"]}}, upsert=True
                )
            mongo.exerciseCheckpoint.update_one(
                {"_id": "money"}, {"$set": {"position": events[-1].position}}
            )
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            filter = {"_id": "money", "position": start}
            if mongo.exerciseCheckpoint.find_one(filter) is None:
                return False
            for event in events:
                mongo.exerciseMoney.update_one(
                    {"_id": event.id}, {"$inc": {"funds": event.data["amount"]}}, upsert=True
                )
            change = {"$set": {"position": events[-1].position}}
            mongo.exerciseCheckpoint.update_one(filter, change)
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            filter = {"_id": "money", "position": start}
            change = {"$set": {"position": events[-1].position}}
            if mongo.exerciseCheckpoint.update_one(filter, change).matched_count == 0:
                return False
            with mongo.client.start_session() as session, session.start_transaction():
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id},
                        {"$inc": {"funds": event.data["amount"]}},
                        upsert=True,
                        session=session,
                    )
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            filter = {"_id": "money", "position": start}
            if mongo.exerciseCheckpoint.find_one(filter) is None:
                return False
            with mongo.client.start_session() as session, session.start_transaction():
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id},
                        {"$inc": {"funds": event.data["amount"]}},
                        upsert=True,
                        session=session,
                    )
            change = {"$set": {"position": events[-1].position}}
            mongo.exerciseCheckpoint.update_one(filter, change)
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            with mongo.client.start_session() as session, session.start_transaction():
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id},
                        {"$set": {"funds": event.data["amount"]}},
                        upsert=True,
                        session=session,
                    )
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            with mongo.client.start_session() as session, session.start_transaction():
                moved = mongo.exerciseCheckpoint.update_one(
                    {"_id": "money", "position": start},
                    {"$set": {"position": events[0].position}},
                    session=session,
                )
                if moved.matched_count == 0:
                    return False
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id},
                        {"$inc": {"funds": event.data["amount"]}},
                        upsert=True,
                        session=session,
                    )
            return True
        """,
        """
        def apply_batch(mongo, start, events):
            with mongo.client.start_session() as session, session.start_transaction():
                moved = mongo.exerciseCheckpoint.update_one(
                    {"_id": "money", "position": start},
                    {"$set": {"position": events[-1].position}},
                    session=session,
                )
                if moved.matched_count:
                    for event in events:
                        mongo.exerciseMoney.update_one(
                            {"_id": event.id},
                            {"$inc": {"funds": event.data["amount"]}},
                            upsert=True,
                            session=session,
                        )
        """,
    ],
)


DESIGNS = ("add", "list", "newer", "transaction", "none of these")


def _judge_designs(answer: dict[str, str]) -> None:
    if not isinstance(answer, dict) or set(answer) != set("abcde"):
        raise Wrong(
            'give a dict with the five letters: {"a": ..., "b": ..., "c": ..., "d": ..., "e": ...}.'
        )
    if unknown := [each for each in answer.values() if each not in DESIGNS]:
        raise Wrong(f"{unknown[0]!r} is not one of the designs: {', '.join(DESIGNS)}.")
    for letter, wrong in CONSEQUENCES.items():
        if answer[letter] in wrong:
            raise Wrong(f"{letter}: {wrong[answer[letter]]}")


A_LETTER = (
    "the printer is not part of a database. Whatever MongoDB stores, a process can die after it "
    "has printed the letter and before it has recorded that."
)
CONSEQUENCES: dict[str, dict[str, str]] = {
    "a": {
        "add": "a projector dies after the write, once a month. Who finds the wrong total?",
        "list": "the list in one document would have 10 million entries: MongoDB's limit is 16 MB.",
        "newer": (
            "an operator adds a second consumer in December to speed things up, and money is lost."
        ),
        "none of these": (
            "the total is in MongoDB, and so is the checkpoint. What can change both at once?"
        ),
    },
    "b": {
        "add": "an address is not a number: there is nothing to add.",
        "list": "if the older event is written last, the list has both events, and the document "
        "has the old address.",
        "transaction": "the search engine is not part of a transaction in MongoDB.",
        "none of these": (
            "each event has the whole new address. If a newer one is stored, who needs the older "
            "one?"
        ),
    },
    "c": {
        "newer": "a bonus overtaken by the next one looks old, and the player never gets it.",
        "add": "the process dies between the write and the ack: a player gets a bonus twice.",
        "transaction": (
            "that would be exact, but the key-value store has no transaction across two records."
        ),
        "none of these": (
            "each player has at most twelve bonuses. How large can a list of them become?"
        ),
    },
    "d": {
        "add": A_LETTER,
        "list": f"{A_LETTER} A list in a document only says what was about to be printed.",
        "newer": f"{A_LETTER} A version in a document only says what was about to be printed.",
        "transaction": f"{A_LETTER} A transaction cannot take back a letter.",
    },
    "e": {
        "list": "a list of every visit, so that an estimate is exact? Nobody asked for that.",
        "newer": "a page visit has no version, because it belongs to no aggregate. There is "
        "nothing to compare.",
        "transaction": (
            "the count would be exact. But the counter is in memory and is thrown away every "
            "night, and a few visits more or less make no difference."
        ),
        "none of these": "the simplest of the five designs is good enough here.",
    },
}

which_design = Exercise(
    judge=_judge_designs,
    right=(
        "the result decides the design: where it is stored, whether an event replaces it or adds "
        "to it, and what an error costs."
    ),
    hints=[
        "ask three questions: can one transaction hold the result and the position? Does an event "
        "replace the old value, or add to it? What does a mistake cost?",
        "each of the five answers is used once.",
    ],
    answer="""
        designs = {
            "a": "transaction",
            "b": "newer",
            "c": "list",
            "d": "none of these",
            "e": "add",
        }
    """,
    explanation=(
        "*Skip if older* is right where the newest event has the whole state. A list is right "
        "where it stays short. A letter needs an idempotency key (page 05)."
    ),
    mistakes=[
        f"""
        designs = {{"a": {a!r}, "b": {b!r}, "c": {c!r}, "d": {d!r}, "e": {e!r}}}
        """
        for a, b, c, d, e in (
            ("add", "newer", "list", "none of these", "add"),
            ("newer", "newer", "list", "none of these", "add"),
            ("transaction", "transaction", "list", "none of these", "add"),
            ("transaction", "newer", "newer", "none of these", "add"),
            ("transaction", "newer", "list", "transaction", "add"),
            ("transaction", "newer", "list", "none of these", "transaction"),
        )
    ],
)

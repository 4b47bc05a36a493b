"""Answers to the exercises of pages 06 and 07 that are not written down beside them.

Right ones in another style must pass, and wrong ones that nobody foresaw must not.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.notebooks.test_exercises import ALL, answer

RIGHT = [
    (
        "projections.the_largest_deposit",
        """
        from pymongo import ReturnDocument


        def largest(documents, event):
            documents.find_one_and_update(
                {"_id": event.id},
                {"$max": {"largest": event.data["amount"]}, "$set": {"seen": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        """,
    ),
    (
        "projections.the_largest_deposit",  # by a pipeline
        """
        def largest(documents, event):
            amount = event.data["amount"]
            known = {"$ifNull": ["$largest", amount]}
            documents.update_one(
                {"_id": event.id}, [{"$set": {"largest": {"$max": [known, amount]}}}], upsert=True
            )
        """,
    ),
    (
        "projections.a_guard_that_notices",  # a read first, and the check again in the write
        """
        from pymongo.errors import DuplicateKeyError


        def careful(documents, event):
            found = documents.find_one({"_id": event.id})
            known = found["version"] if found else 0
            if event.version <= known:
                return
            if event.version > known + 1:
                raise ValueError(f"version {known + 1} is missing")
            if found is None:
                documents.insert_one(
                    {"_id": event.id, "version": 1, "funds": event.data["amount"]}
                )
                return
            change = {"$inc": {"funds": event.data["amount"], "version": 1}}
            if not documents.update_one({"_id": event.id, "version": known}, change).matched_count:
                raise LookupError("another consumer was faster")
        """,
    ),
    (
        "projections.a_guard_that_notices",  # recursion instead of an error, when overtaken
        """
        from pymongo.errors import DuplicateKeyError


        def careful(documents, event):
            documents.update_one({"_id": event.id}, {"$setOnInsert": {"version": 0}}, upsert=True)
            change = {"$inc": {"funds": event.data["amount"], "version": 1}}
            next = {"_id": event.id, "version": event.version - 1}
            if documents.update_one(next, change).modified_count == 0:
                if documents.find_one({"_id": event.id})["version"] < event.version:
                    raise RuntimeError("a gap")
        """,
    ),
    (
        "projections.your_own_projector",  # a callback, bulk writes, and the documents first
        """
        from pymongo import UpdateOne


        def apply_batch(mongo, start, events):
            def work(session):
                mongo.exerciseMoney.bulk_write(
                    [
                        UpdateOne(
                            {"_id": event.id},
                            {"$inc": {"funds": event.data["amount"]}},
                            upsert=True,
                        )
                        for event in events
                    ],
                    session=session,
                )
                moved = mongo.exerciseCheckpoint.find_one_and_update(
                    {"_id": "money", "position": start},
                    {"$set": {"position": events[-1].position}},
                    session=session,
                )
                if moved is None:
                    session.abort_transaction()
                    return False
                return True

            with mongo.client.start_session() as session:
                return session.with_transaction(work)
        """,
    ),
    (
        "projections.a_view_of_your_own",
        """
        def withdrawn_per_hour(event, changes):
            match event.type, event.data:
                case "withdraw", {"amount": amount}:
                    changes[int(f"{event.time:%H}")].inc("withdrawn", amount)
        """,
    ),
    (
        "living_with_views.the_last_readers",
        """
        def last_readers(event, changes):
            book = changes[event.id]
            if event.type != "returned":
                book.push("readers", event.data["reader"], keep=3)
                book.inc("loans", 1)
        """,
    ),
    (
        "living_with_views.a_test_that_catches",  # without shows
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            dune = [Event("bought", {"title": "Dune"}), Event("lent", {"reader": "Ann"})]
            emma = [Event("bought", {"title": "Emma"}), Event("lent", {"reader": "Bob"})]
            back, gone = Event("returned", {"reader": "Bob"}), Event("sold")
            given = view(shelf).given(*dune, id="dune").given(*emma, back, id="emma")
            assert given.documents() == {
                "dune": {"_id": "dune", "title": "Dune", "reader": "Ann"},
                "emma": {"_id": "emma", "title": "Emma"},
            }
            assert list(given.given(gone, id="emma").documents()) == ["dune"]
        """,
    ),
    (
        "living_with_views.books_of_a_reader",
        """
        def books_of(event, changes):
            reader, field = changes[event.data["reader"]], "books." + event.id
            if event.type == "returned":
                reader.unset(field)
            else:
                reader.set(field, event.data["title"])
        """,
    ),
    (
        "living_with_views.a_waiting_list",
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            ended = event.data.get("reservation")
            if ended is not None:
                changes[event.id].unset(f"waiting.{ended}")
        """,
    ),
]

WRONG = [
    (
        "projections.the_largest_deposit",
        """
        known = {}


        def largest(documents, event):
            known[event.id] = max(event.data["amount"], known.get(event.id, 0))
            change = {"$set": {"largest": max(known.values())}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        "you have {'ann': 70, 'bob': 30}",
    ),
    (
        "projections.the_largest_deposit",
        """
        def largest(documents, event):
            documents.replace_one({"_id": event.id}, {"largest": 70}, upsert=True)
        """,
        "you have {'ann': 70, 'bob': 70}",
    ),
    (
        "projections.the_largest_deposit",
        """
        def largest(documents, event):
            change = {"$max": {"max": event.data["amount"]}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        "the field `largest`",
    ),
    (
        "projections.a_guard_that_notices",  # keeps what it knows in the process
        """
        versions = {}


        def careful(documents, event):
            known = versions.get(event.id, 0)
            if event.version > known + 1:
                raise RuntimeError("a gap")
            if event.version == known + 1:
                versions[event.id] = event.version
                change = {"$inc": {"funds": event.data["amount"]}}
                documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        "Version 1 is missing: that is a gap, too",
    ),
    (
        "projections.a_guard_that_notices",  # never counts the first event
        """
        def careful(documents, event):
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            documents.update_one({"_id": event.id, "version": event.version - 1}, change)
        """,
        "should make 60; the field `funds` is 0",
    ),
    (
        "projections.a_guard_that_notices",  # raises for everything that is not next
        """
        def careful(documents, event):
            found = documents.find_one({"_id": event.id}) or {"version": 0}
            assert event.version == found["version"] + 1
            change = {"$inc": {"funds": event.data["amount"]}, "$set": {"version": event.version}}
            documents.update_one({"_id": event.id}, change, upsert=True)
        """,
        "must be ignored",
    ),
    (
        "projections.your_own_projector",  # only the documents are in the transaction
        """
        def apply_batch(mongo, start, events):
            with mongo.client.start_session() as session, session.start_transaction():
                moved = mongo.exerciseCheckpoint.update_one(
                    {"_id": "money", "position": start},
                    {"$set": {"position": events[-1].position}},
                    session=session,
                )
                if not moved.matched_count:
                    return False
                for event in events:
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id}, {"$inc": {"funds": event.data["amount"]}}, upsert=True
                    )
            return True
        """,
        "the documents changed although the checkpoint did not",
    ),
    (
        "projections.your_own_projector",  # hard-coded
        """
        def apply_batch(mongo, start, events):
            change = {"$set": {"position": events[-1].position}}
            mongo.exerciseCheckpoint.update_one({"_id": "money"}, change)
            for id, funds in (("ann", 40), ("bob", 20)):
                mongo.exerciseMoney.update_one({"_id": id}, {"$set": {"funds": funds}}, upsert=True)
            return start == "0-0"
        """,
        "the checkpoint moved although not all documents were written",
    ),
    (
        "projections.your_own_projector",  # hides the error
        """
        from contextlib import suppress


        def apply_batch(mongo, start, events):
            filter = {"_id": "money", "position": start}
            change = {"$set": {"position": events[-1].position}}
            if not mongo.exerciseCheckpoint.update_one(filter, change).matched_count:
                return False
            for event in events:
                with suppress(Exception):
                    mongo.exerciseMoney.update_one(
                        {"_id": event.id}, {"$inc": {"funds": event.data["amount"]}}, upsert=True
                    )
            return True
        """,
        "MongoDB refused the last document",
    ),
    (
        "projections.which_design",
        """
        designs = dict.fromkeys("abcde", "transaction")
        """,
        "b: the search engine is not part",
    ),
    (
        "projections.which_design",
        """
        designs = {"a": "transaction", "b": "skip", "c": "list", "d": "add", "e": "add"}
        """,
        "'skip' is none of the designs",
    ),
    (
        "living_with_views.the_last_readers",  # remembers in the process
        """
        readers = {}


        def last_readers(event, changes):
            if event.type == "lent":
                mine = readers.setdefault(event.id, [])
                mine.append(event.data["reader"])
                changes[event.id].set("readers", mine[-3:])
        """,
        "remembers something in the process",
    ),
    (
        "living_with_views.the_last_readers",  # changes the event
        """
        def last_readers(event, changes):
            if event.data.pop("reader", None) and event.type == "lent":
                changes[event.id].push("readers", "Eve", keep=3)
        """,
        "you have ['Eve', 'Eve', 'Eve']",
    ),
    (
        "living_with_views.a_test_that_catches",
        """
        def test_shelf(shelf):
            raise AssertionError
        """,
        "your test fails for the right view: an assertion without a text",
    ),
    (
        "living_with_views.a_test_that_catches",  # looks at the name of the class
        """
        def test_shelf(shelf):
            assert shelf.__name__ == "Shelf"
        """,
        "passes for a view that knows no reader",
    ),
    (
        "living_with_views.books_of_a_reader",
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].set("books.dune", "Dune")
                changes[event.data["reader"]].set("books.emma", "Emma")
            else:
                changes[event.data["reader"]].unset("books.dune")
        """,
        "still has it",
    ),
    (
        "living_with_views.what_do_you_do",
        """
        actions = dict.fromkeys("abcdef", "rebuild")
        """,
        "a: it would be right",
    ),
    (
        "living_with_views.a_waiting_list",  # reader by reader, all reservations at once
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            else:
                changes[event.id].unset("waiting.1")
        """,
        "reservation 2 was cancelled",
    ),
]


@pytest.mark.parametrize(("name", "code"), RIGHT)
def test_exercise_on_views_accepts_a_right_answer_in_another_style(
    name: str, code: str, lab: Any
) -> None:
    note = ALL[name].check(answer(code))
    assert note.kind == "Right", note.text


@pytest.mark.parametrize(("name", "code", "told"), WRONG)
def test_exercise_on_views_explains_a_wrong_answer_that_nobody_foresaw(
    name: str, code: str, told: str, lab: Any
) -> None:
    note = ALL[name].check(answer(code))
    assert note.kind == "Not yet"
    assert told in note.text

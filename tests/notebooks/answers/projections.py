"""Answers to the exercises of page 06 that its authors did not foresee."""

RIGHT = {
    "the_largest_deposit": [
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
        # by a pipeline
        """
        def largest(documents, event):
            amount = event.data["amount"]
            known = {"$ifNull": ["$largest", amount]}
            documents.update_one(
                {"_id": event.id}, [{"$set": {"largest": {"$max": [known, amount]}}}], upsert=True
            )
        """,
    ],
    "a_guard_that_notices": [
        # a read first, and the check again in the write
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
        # recursion instead of an error, when overtaken
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
    ],
    "your_own_projector": [
        # a callback, bulk writes, and the documents first
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
    ],
    "a_view_of_your_own": [
        """
        def withdrawn_per_hour(event, changes):
            match event.type, event.data:
                case "withdraw", {"amount": amount}:
                    changes[int(f"{event.time:%H}")].inc("withdrawn", amount)
        """,
    ],
}

WRONG = {
    "the_largest_deposit": [
        (
            """
            known = {}


            def largest(documents, event):
                known[event.id] = max(event.data["amount"], known.get(event.id, 0))
                change = {"$set": {"largest": max(known.values())}}
                documents.update_one({"_id": event.id}, change, upsert=True)
            """,
            "you stored {'ann': 70, 'bob': 30}",
        ),
        (
            """
            def largest(documents, event):
                documents.replace_one({"_id": event.id}, {"largest": 70}, upsert=True)
            """,
            "you stored {'ann': 70, 'bob': 70}",
        ),
        (
            """
            def largest(documents, event):
                change = {"$max": {"max": event.data["amount"]}}
                documents.update_one({"_id": event.id}, change, upsert=True)
            """,
            "the field `largest`",
        ),
    ],
    "a_guard_that_notices": [
        # keeps what it knows in the process
        (
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
        # never counts the first event
        (
            """
            def careful(documents, event):
                more = {"funds": event.data["amount"]}
                change = {"$inc": more, "$set": {"version": event.version}}
                documents.update_one({"_id": event.id, "version": event.version - 1}, change)
            """,
            "should make 60; the field `funds` is 0",
        ),
        # raises for everything that is not next
        (
            """
            def careful(documents, event):
                found = documents.find_one({"_id": event.id}) or {"version": 0}
                assert event.version == found["version"] + 1
                more = {"funds": event.data["amount"]}
                change = {"$inc": more, "$set": {"version": event.version}}
                documents.update_one({"_id": event.id}, change, upsert=True)
            """,
            "ignore such events",
        ),
    ],
    "your_own_projector": [
        # only the documents are in the transaction
        (
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
                        change = {"$inc": {"funds": event.data["amount"]}}
                        mongo.exerciseMoney.update_one({"_id": event.id}, change, upsert=True)
                return True
            """,
            "the documents changed although the checkpoint did not",
        ),
        # hard-coded
        (
            """
            def apply_batch(mongo, start, events):
                change = {"$set": {"position": events[-1].position}}
                mongo.exerciseCheckpoint.update_one({"_id": "money"}, change)
                for id, funds in (("ann", 40), ("bob", 20)):
                    change = {"$set": {"funds": funds}}
                    mongo.exerciseMoney.update_one({"_id": id}, change, upsert=True)
                return start == "0-0"
            """,
            "the checkpoint moved although not all documents were written",
        ),
        # hides the error
        (
            """
            from contextlib import suppress


            def apply_batch(mongo, start, events):
                filter = {"_id": "money", "position": start}
                change = {"$set": {"position": events[-1].position}}
                if not mongo.exerciseCheckpoint.update_one(filter, change).matched_count:
                    return False
                for event in events:
                    with suppress(Exception):
                        change = {"$inc": {"funds": event.data["amount"]}}
                        mongo.exerciseMoney.update_one({"_id": event.id}, change, upsert=True)
                return True
            """,
            "MongoDB rejected the last document",
        ),
    ],
    "which_design": [
        (
            """
            designs = dict.fromkeys("abcde", "transaction")
            """,
            "b: the search engine is not part",
        ),
        (
            """
            designs = {"a": "transaction", "b": "skip", "c": "list", "d": "add", "e": "add"}
            """,
            "'skip' is not one of the designs",
        ),
    ],
}

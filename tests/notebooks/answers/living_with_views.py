"""Answers to the exercises of page 07 that its authors did not foresee."""

RIGHT = {
    "the_last_readers": [
        """
        def last_readers(event, changes):
            book = changes[event.id]
            if event.type != "returned":
                book.push("readers", event.data["reader"], keep=3)
                book.inc("loans", 1)
        """,
    ],
    "a_test_that_catches": [
        # without shows
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
    ],
    "books_of_a_reader": [
        """
        def books_of(event, changes):
            reader, field = changes[event.data["reader"]], "books." + event.id
            if event.type == "returned":
                reader.unset(field)
            else:
                reader.set(field, event.data["title"])
        """,
    ],
    "a_waiting_list": [
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            ended = event.data.get("reservation")
            if ended is not None:
                changes[event.id].unset(f"waiting.{ended}")
        """,
    ],
}

WRONG = {
    "the_last_readers": [
        # remembers in the process
        (
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
        # changes the event
        (
            """
            def last_readers(event, changes):
                if event.data.pop("reader", None) and event.type == "lent":
                    changes[event.id].push("readers", "Eve", keep=3)
            """,
            "you have ['Eve', 'Eve', 'Eve']",
        ),
    ],
    "a_test_that_catches": [
        (
            """
            def test_shelf(shelf):
                raise AssertionError
            """,
            "your test fails for the correct view: an assertion without a text",
        ),
        # looks at the name of the class
        (
            """
            def test_shelf(shelf):
                assert shelf.__name__ == "Shelf"
            """,
            "passes for a view that stores no reader",
        ),
    ],
    "books_of_a_reader": [
        (
            """
            def books_of(event, changes):
                if event.type == "lent":
                    changes[event.data["reader"]].set("books.dune", "Dune")
                    changes[event.data["reader"]].set("books.emma", "Emma")
                else:
                    changes[event.data["reader"]].unset("books.dune")
            """,
            "still has it: unset its field",
        ),
    ],
    "what_do_you_do": [
        (
            """
            actions = dict.fromkeys("abcdef", "rebuild")
            """,
            "a: a rebuild would work",
        ),
    ],
    "a_waiting_list": [
        # reader by reader, all reservations at once
        (
            """
            def waiting_list(event, changes):
                if event.type == "reserved":
                    changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
                else:
                    changes[event.id].unset("waiting.1")
            """,
            "reservation 2 was canceled",
        ),
    ],
}

"""The exercises of 07_living_with_views."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eventlab import NEW, Changes, Event, EventStore, Projector, Recorded, connect
from eventlab.lessons.exercise import Exercise, Wrong
from eventlab.testing import view

Apply = Callable[[Recorded, Changes], None]
Documents = dict[Any, dict[str, Any]]
#: The events of one book.
Loan = tuple[str, list[Event]]


class _Answer:
    """A view whose apply is the reader's answer."""

    name = "answer"

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def apply(self, event: Recorded, changes: Changes) -> None:
        self._apply(event, changes)


def _documents(apply: Apply, *loans: Loan) -> Documents:
    """Return the documents that an answer makes; raise Wrong if it raises an error."""
    scenario = view(_Answer(apply))
    for book, events in loans:
        scenario = scenario.given(*events, id=book)
    try:
        found = scenario.documents()
    except AssertionError as error:
        if isinstance(error.__cause__, TypeError) and "'Change' object" in str(error.__cause__):
            raise Wrong(
                "changes[...] is not a dict, but a Change with the methods inc, set, push, unset "
                "and delete."
            ) from error.__cause__
        text, *_ = str(error).splitlines()
        if "depends on how the events are batched" in text:
            raise Wrong(
                "your view remembers something in the process, and another process does not have "
                "it. Keep everything that must be remembered in the documents: use only `changes`."
            ) from error
        raise Wrong(f"{text}.") from error.__cause__
    return {id: document for id, document in found.items() if len(document) > 1}


def _lent(reader: str, **data: Any) -> Event:
    return Event("lent", {"reader": reader, **data})


def _returned(reader: str) -> Event:
    return Event("returned", {"reader": reader})


def _judge_last(last_readers: Apply) -> None:
    names = ["Ann", "Bob", "Cid", "Dan", "Eve"]
    events = [event for name in names for event in (_lent(name), _returned(name))]
    found = _documents(last_readers, ("emma", events[:2]), ("dune", [*events, _lent("Ann")]))
    readers = {id: document.get("readers") for id, document in found.items()}
    if any(isinstance(each, str) for each in readers.values()):
        raise Wrong("`set` keeps only the last reader. For a list, use push.")
    if set(readers) != {"emma", "dune"}:
        raise Wrong(f"use changes[event.id]: a document for each book, not {list(found)}.")
    if readers["dune"] == ["Eve", "Eve", "Ann"]:
        raise Wrong("a return is not a loan: look at event.type first.")
    if readers["dune"] and len(readers["dune"]) > 3:
        raise Wrong("keep only the last three: push(field, value, keep=3).")
    if readers["dune"] == ["Eve", "Ann"]:
        raise Wrong("keep three readers, even if one of them had the book before.")
    if readers != {"emma": ["Ann"], "dune": ["Dan", "Eve", "Ann"]}:
        raise Wrong(
            "'dune' was lent to Ann, Bob, Cid, Dan, Eve and Ann, so its `readers` should be "
            f"['Dan', 'Eve', 'Ann']; you have {readers['dune']}."
        )


the_last_readers = Exercise(
    judge=_judge_last,
    right="the list keeps its newest three readers, however often a book is lent.",
    hints=[
        "if the type is 'lent', call the method push of changes[event.id].",
        'push("readers", event.data["reader"], keep=3)',
    ],
    answer="""
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.id].push("readers", event.data["reader"], keep=3)
    """,
    explanation="push requires keep, because a list without a limit would grow forever.",
    mistakes=[
        """
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.id].set("readers", event.data["reader"])
        """,
        """
        def last_readers(event, changes):
            changes[event.id].push("readers", event.data["reader"], keep=3)
        """,
        """
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.id].push("readers", event.data["reader"], keep=100)
        """,
        """
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].push("readers", event.data["reader"], keep=3)
        """,
        """
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.id]["readers"] = [event.data["reader"]]
        """,
        """
        def last_readers(event, changes):
            if event.type == "lent":
                changes[event.id].push("readers", event.data["reader"], keep=2)
        """,
    ],
)


class Shelf:
    """Which books the library has, and who has them: the view from the page."""

    name = "shelf"

    def apply(self, event: Recorded, changes: Changes) -> None:
        getattr(self, event.type)(event, changes[event.id])

    def bought(self, event: Recorded, book: Any) -> None:
        book.set("title", event.data["title"])

    def lent(self, event: Recorded, book: Any) -> None:
        book.set("reader", event.data["reader"])

    def returned(self, event: Recorded, book: Any) -> None:  # noqa: ARG002 - all are called alike
        book.unset("reader")

    def sold(self, event: Recorded, book: Any) -> None:  # noqa: ARG002 - all are called alike
        book.delete()


class _KeepsTheReader(Shelf):
    def returned(self, event: Recorded, book: Any) -> None:
        pass


class _KeepsTheBook(Shelf):
    def sold(self, event: Recorded, book: Any) -> None:
        pass


class _ForgetsTheTitle(Shelf):
    def bought(self, event: Recorded, book: Any) -> None:  # noqa: ARG002
        book.set("title", "")


class _KnowsNoReader(Shelf):
    def lent(self, event: Recorded, book: Any) -> None:
        pass


class _DeletesReturned(Shelf):
    def returned(self, event: Recorded, book: Any) -> None:  # noqa: ARG002
        book.delete()


class _OneForAll(Shelf):
    def apply(self, event: Recorded, changes: Changes) -> None:
        getattr(self, event.type)(event, changes["example"])


SURVIVORS = {
    _KnowsNoReader: "stores no reader: does your test have a book that is on loan at the end",
    _ForgetsTheTitle: "leaves every title empty: which title do you expect",
    _KeepsTheReader: "keeps the reader when a book comes back: does your test have a book that "
    "was returned",
    _DeletesReturned: "deletes a book that is returned: which document do you expect for it",
    _KeepsTheBook: "keeps a book that was sold: do you expect None for it",
    _OneForAll: "puts all books into one document: does your test have two books, with id=...",
}


for _broken in SURVIVORS:
    _broken.__name__ = Shelf.__name__  # a test sees only what a view does


def _judge_test(test: Callable[[type[Shelf]], object]) -> None:
    try:
        test(Shelf)
    except AssertionError as error:
        what, _, _ = str(error).partition("\n\n")
        text = " ".join(what.split()) or "an assertion without a text"
        raise Wrong(f"your test fails for the correct view: {text}") from error
    for broken, what in SURVIVORS.items():
        try:
            test(broken)
        except Exception:  # noqa: BLE001 - with any error, the test fails
            continue
        raise Wrong(f"your test also passes for a view that {what}?")


a_test_that_catches = Exercise(
    judge=_judge_test,
    right="six broken views, and your test catches each of them, without a server.",
    hints=[
        "use three books: one that is on loan, one that was returned, and one that was sold.",
        "view(shelf).given(bought, lent).shows(...), then again with `returned` and with `sold`.",
        'for two books: view(shelf).given(bought, id="dune").given(bought, id="emma").',
    ],
    answer="""
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            returned = Event("returned", {"reader": "Ann"})
            shown = view(shelf).given(bought, lent, id="a").given(bought, lent, returned, id="b")
            shown = shown.given(bought, Event("sold"), id="c")
            shown.shows("a", {"title": "Dune", "reader": "Ann"})
            shown.shows("b", {"title": "Dune"})
            shown.shows("c", None)
    """,
    explanation=(
        "`shows` compares the whole document, so it also notices an extra field. A test is worth "
        "what it catches: break the view, and see the test fail."
    ),
    mistakes=[
        """
        def test_shelf(shelf):
            assert shelf.name
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            view(shelf).given(bought, lent).shows("example", {"reader": "Ann"})
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            found = view(shelf).given(bought, lent).documents()["example"]
            assert found["reader"] == "Ann"
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            view(shelf).given(bought, lent).shows("example", {"title": "Dune", "reader": "Ann"})
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            returned = Event("returned", {"reader": "Ann"})
            view(shelf).given(bought, lent).shows("example", {"title": "Dune", "reader": "Ann"})
            found = view(shelf).given(bought, lent, returned).documents()
            assert "reader" not in found.get("example", {})
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            returned = Event("returned", {"reader": "Ann"})
            view(shelf).given(bought, lent).shows("example", {"title": "Dune", "reader": "Ann"})
            view(shelf).given(bought, lent, returned).shows("example", {"title": "Dune"})
        """,
        """
        from eventlab import Event
        from eventlab.testing import view


        def test_shelf(shelf):
            bought = Event("bought", {"title": "Dune"})
            lent = Event("lent", {"reader": "Ann"})
            returned = Event("returned", {"reader": "Ann"})
            view(shelf).given(bought, lent).shows("example", {"title": "Dune", "reader": "Ann"})
            view(shelf).given(bought, lent, returned).shows("example", {"title": "Dune"})
            view(shelf).given(bought, Event("sold")).shows("example", None)
        """,
    ],
)


def _judge_books(books_of: Apply) -> None:
    ann, bob = "Ann Lee", "Bob Ray"
    dune = [_lent(ann, title="Dune"), _returned(ann), _lent(bob, title="Dune")]
    emma = [_lent(ann, title="Emma")]
    ulysses = [_lent(ann, title="Ulysses")]
    found = _documents(books_of, ("dune", dune[:1]), ("emma", emma))
    if set(found) & {"dune", "emma"}:
        raise Wrong("use changes[event.data['reader']]: a document for each *reader*.")
    books = {id: document.get("books") for id, document in found.items()}
    if isinstance(books.get(ann), list):
        raise Wrong(
            "push only appends, and drops the oldest value. A book that is returned must be "
            "removed from the middle of the list: make each book a field of its own, books.<id>."
        )
    if books.get(ann) == {"emma": "Emma"}:
        raise Wrong(
            "the second loan replaced the first: set the field of one book, not the whole `books`."
        )
    if books != {ann: {"dune": "Dune", "emma": "Emma"}}:
        raise Wrong(
            f"Ann Lee has 'dune' and 'emma', so her `books` should be {{'dune': 'Dune', "
            f"'emma': 'Emma'}}; your documents have {books}."
        )
    found = _documents(books_of, ("emma", emma), ("dune", dune), ("ulysses", ulysses))
    books = {id: document.get("books") for id, document in found.items()}
    if "dune" in (books.get(ann) or {}):
        raise Wrong("Ann Lee has returned 'dune', but her document still has it: unset its field.")
    if books.get(ann) == {"ulysses": "Ulysses"}:
        raise Wrong(
            "one book was returned, but all were removed: unset only the field of that book."
        )
    if books != {ann: {"emma": "Emma", "ulysses": "Ulysses"}, bob: {"dune": "Dune"}}:
        raise Wrong(
            "Ann Lee should have 'emma' and 'ulysses', and Bob Ray 'dune'; your documents have "
            f"{books}."
        )


books_of_a_reader = Exercise(
    judge=_judge_books,
    right="one document answers the question, so no query needs a join.",
    hints=[
        "changes[event.data['reader']] is the document; the book is a field in it.",
        "a dot in the name of a field goes one level down: set(f'books.{event.id}', title).",
        "for a return: unset(f'books.{event.id}').",
    ],
    answer="""
        def books_of(event, changes):
            if event.type == "lent":
                reader = changes[event.data["reader"]]
                reader.set(f"books.{event.id}", event.data["title"])
            elif event.type == "returned":
                changes[event.data["reader"]].unset(f"books.{event.id}")
    """,
    explanation="Each book is a field of its own, so you can remove any of them, in any order.",
    mistakes=[
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].set(f"books.{event.id}", event.data["title"])
        """,
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.id].set("reader", event.data["reader"])
        """,
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].push("books", event.data["title"], keep=10)
        """,
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].set("books", {event.id: event.data["title"]})
        """,
        """
        def books_of(event, changes):
            reader = changes[event.data["reader"]]
            reader.set(f"books.{event.id}", event.data["title"])
        """,
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].set(f"books.{event.id}", event.data["title"])
            elif event.type == "returned":
                changes[event.data["reader"]].delete()
        """,
        """
        def books_of(event, changes):
            if event.type == "lent":
                changes[event.data["reader"]].set(f"books.{event.id}", event.id)
            elif event.type == "returned":
                changes[event.data["reader"]].unset(f"books.{event.id}")
        """,
    ],
)


ACTIONS = ("restart", "rebuild", "rebuild one", "skip", "new view", "wait")
CONSEQUENCES: dict[str, dict[str, str]] = {
    "a": {
        "rebuild": (
            "a rebuild would work, but reads a million events again. A restarted view resumes at "
            "the event at which it stopped. It has applied all earlier events correctly."
        ),
        "rebuild one": "no document is wrong: the view has applied nothing since it stopped.",
        "skip": "the code was wrong, not the event. If you skip the event, it is never applied.",
        "new view": "the question has not changed. You have only fixed a bug.",
        "wait": "without the fix, the projector stops at the same event each time.",
    },
    "b": {
        "restart": "only new events set the field: the dates of earlier loans stay missing.",
        "rebuild one": "which document would you rebuild? Every old one lacks the field.",
        "skip": "no event is wrong here.",
        "new view": "two views for one question: which of them will your users read?",
        "wait": "the old events have been applied. Nothing applies them again on its own.",
    },
    "c": {
        "restart": "with the same event and the same code, the view stops at this event again.",
        "rebuild": "a rebuild starts at the beginning, and stops at the same event.",
        "rebuild one": "the log of this book contains the same event.",
        "new view": "a new view reads the same event, and stops there, too.",
        "wait": "the event stays as it is, forever.",
    },
    "d": {
        "restart": "the projector has applied all events. It does not check old documents.",
        "rebuild": "a rebuild would work, but reads a million events for the sake of one document.",
        "skip": "no event is wrong here. The document is.",
        "new view": "the code of the view is right. One document is not.",
        "wait": "no later event will repair the document.",
    },
    "e": {
        "restart": "there is no code yet that answers the question.",
        "rebuild": "people still ask the old question. Where would they find its answer?",
        "rebuild one": "each document is about a book, and the question is about readers.",
        "skip": "no event is wrong here.",
        "wait": "there is no code yet that answers the question.",
    },
    "f": {
        "restart": "the projector is running. A restart only delays it.",
        "rebuild": "a rebuild reads a million events, but only a thousand are missing.",
        "rebuild one": "no document is wrong, and all of them will be up to date soon.",
        "skip": "skipped events are never applied, and no event is wrong here.",
        "new view": "a new view would start a million events behind.",
    },
}


def _judge_actions(answer: dict[str, str]) -> None:
    if not isinstance(answer, dict) or set(answer) != set(CONSEQUENCES):
        raise Wrong('give a dict with the six letters: {"a": ..., "b": ..., "c": ..., ...}.')
    if unknown := [each for each in answer.values() if each not in ACTIONS]:
        raise Wrong(f"{unknown[0]!r} is not one of the actions: {', '.join(ACTIONS)}.")
    for letter, wrong in CONSEQUENCES.items():
        if answer[letter] in wrong:
            raise Wrong(f"{letter}: {wrong[answer[letter]]}")


what_do_you_do = Exercise(
    judge=_judge_actions,
    right="first find out what is wrong: the code, the stored documents, or the event.",
    hints=[
        "which events must be applied again: none, those of one book, or all?",
        "each action is the answer in exactly one situation.",
    ],
    answer="""
        actions = {
            "a": "restart",
            "b": "rebuild",
            "c": "skip",
            "d": "rebuild one",
            "e": "new view",
            "f": "wait",
        }
    """,
    explanation="A view can always be computed again. The only question is how much of it.",
    mistakes=[
        f"""
        actions = {{"a": {a!r}, "b": {b!r}, "c": {c!r}, "d": {d!r}, "e": {e!r}, "f": {f!r}}}
        """
        for a, b, c, d, e, f in (
            ("rebuild", "rebuild", "skip", "rebuild one", "new view", "wait"),
            ("restart", "restart", "skip", "rebuild one", "new view", "wait"),
            ("restart", "rebuild", "rebuild", "rebuild one", "new view", "wait"),
            ("restart", "rebuild", "skip", "restart", "new view", "wait"),
            ("restart", "rebuild", "skip", "rebuild", "new view", "wait"),
            ("restart", "rebuild", "skip", "rebuild one", "rebuild", "wait"),
            ("restart", "rebuild", "skip", "rebuild one", "new view", "restart"),
        )
    ],
)


def _reserved(reader: str) -> Event:
    return Event("reserved", {"reader": reader})


def _judge_waiting(waiting_list: Apply) -> None:
    ann, bob, cid = "Ann Lee", "Bob Ray", "Cid Fox"
    queue = [_reserved(ann), _reserved(bob), _reserved(ann)]

    def waiting(*more: Event) -> Any:
        found = _documents(waiting_list, ("dune", [*queue, *more]), ("emma", [_reserved(cid)]))
        if not set(found) <= {"dune", "emma"}:
            raise Wrong(f"use changes[event.id]: a document for each book, not {list(found)}.")
        return found.get("dune", {}).get("waiting")

    found = waiting()
    if isinstance(found, list):
        raise Wrong(
            "you cannot remove a reader from the middle of a list. Make each reservation a field "
            "of its own."
        )
    if found in ({ann: 3, bob: 2}, {ann: 1, bob: 2}, {ann: ann, bob: bob}):
        raise Wrong("Ann Lee reserved twice: each *reservation* needs a field, not each reader.")
    if found != {"1": ann, "2": bob, "3": ann}:
        raise Wrong(
            f"versions 1, 2 and 3 are reservations, so `waiting` should be {{'1': {ann!r}, "
            f"'2': {bob!r}, '3': {ann!r}}}; you have {found}."
        )
    found = waiting(Event("canceled", {"reservation": 2}))
    if found == {"1": ann, "2": bob, "3": ann}:
        raise Wrong("Bob Ray has canceled his reservation, but is still on the list.")
    if found != {"1": ann, "3": ann}:
        raise Wrong(
            f"reservation 2 was canceled, so 1 and 3 are left; you have {found}. Unset only the "
            "field of reservation 2, whose version is in event.data, not in event.version."
        )
    found = waiting(_lent(ann, reservation=1))
    if found == {"1": ann, "2": bob, "3": ann}:
        raise Wrong("Ann Lee has received the book that she waited for, but is still on the list.")
    if found != {"2": bob, "3": ann}:
        raise Wrong(f"reservation 1 was fulfilled, so 2 and 3 are left; you have {found}.")
    found = waiting(_lent(cid), _returned(cid), _lent(bob, reservation=2))
    if found != {"1": ann, "3": ann}:
        raise Wrong(
            "Cid Fox got the book without a reservation, and Bob Ray with reservation 2, so "
            f"reservations 1 and 3 are left; you have {found}."
        )


a_waiting_list = Exercise(
    judge=_judge_waiting,
    right="the version identifies an event, so later events can say which event they mean.",
    hints=[
        "use a field for each reservation: f'waiting.{event.version}'.",
        "`canceled` and `lent` end the reservation that they name. A loan may name none.",
    ],
    answer="""
        def waiting_list(event, changes):
            book = changes[event.id]
            if event.type == "reserved":
                book.set(f"waiting.{event.version}", event.data["reader"])
            elif "reservation" in event.data:
                book.unset(f"waiting.{event.data['reservation']}")
    """,
    explanation=(
        "Instead of a list that shrinks, the view has fields that come and go. A query sorts them "
        "by number."
    ),
    mistakes=[
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].push("waiting", event.data["reader"], keep=20)
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.data['reader']}", event.version)
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            elif event.type == "canceled":
                changes[event.id].unset(f"waiting.{event.data['reservation']}")
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            elif event.type == "canceled":
                changes[event.id].unset("waiting")
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.id].set(f"waiting.{event.version}", event.data["reader"])
            elif event.type in ("canceled", "lent"):
                changes[event.id].unset(f"waiting.{event.data['reservation']}")
        """,
        """
        def waiting_list(event, changes):
            if event.type == "reserved":
                changes[event.data["reader"]].set(f"waiting.{event.id}", event.version)
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
        raise Wrong(f"amount is 20, so the log must contain one deposit of 20, not {stored}.")
    if found == 120:
        raise Wrong(
            "120 is the sum of the log, but the view adds a gift of 5. Return what the view shows."
        )
    if found != 125 and not projector.waited:
        raise Wrong("the view had not caught up: it showed the old funds. Wait for your event.")
    if found != 125 and max(projector.waited) < 3:
        raise Wrong(
            "you waited for a version from before your write. append returned your event, with "
            "the version to wait for."
        )
    if found != 125:
        raise Wrong(f"the view shows 125 in the end; you returned {found!r}.")
    if projector.caught_up:
        raise Wrong(
            "you did the projector's work yourself. After an outage, your user would wait until "
            "everybody's events are applied. Leave the work to the running projector, and wait "
            "for your own event only."
        )
    if not projector.waited:
        raise Wrong(
            "125 is right, but you did not wait for your event. Others may deposit at the same "
            "time, and then this number is wrong. append returned your event: wait until the view "
            "has reached the version of that event."
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
        "The version is the writer's receipt. Clients that wait for it see their own write."
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

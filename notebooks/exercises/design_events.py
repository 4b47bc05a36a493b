"""The exercises of 04_design_events."""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
from collections.abc import Callable
from typing import Any

from eventlab import Aggregate, CommandRejected, Event, InvalidEvent, Recorded
from eventlab.events import encode_batch
from eventlab.lessons.exercise import Exercise, Wrong

_NAMES = {
    "a": ("room_updated", "close_room", "room_closed_for_repair"),
    "b": ("status_saved", "recipient_not_at_home", "deliver_again"),
    "c": ("interest_credited", "row_inserted", "calculate_interest"),
}
_WRONG_NAMES = {
    "room_updated": "a: why was the room not sold in May? After a year, nobody can say.",
    "close_room": "a: close_room is a command, but the room is closed already.",
    "status_saved": "b: every program saves something. What did the courier see at the door?",
    "deliver_again": (
        "b: deliver_again is what the courier should do next: a command that may change tomorrow. "
        "What has happened?"
    ),
    "row_inserted": "c: no customer has ever received a row. Use the words of the bank.",
    "calculate_interest": "c: calculate_interest asks for something. The event is the result.",
}


def _judge_names(names: dict[str, str]) -> None:
    if not isinstance(names, dict) or set(names) != set(_NAMES):
        raise Wrong('give a dict with the three letters: {"a": ..., "b": ..., "c": ...}.')
    for letter, choices in _NAMES.items():
        if names[letter] not in choices:
            raise Wrong(f"{letter}: choose one of {', '.join(choices)}.")
        if names[letter] in _WRONG_NAMES:
            raise Wrong(_WRONG_NAMES[names[letter]])


pick_the_name = Exercise(
    judge=_judge_names,
    right="each name says what happened, in words that a porter, a courier or a teller uses.",
    hints=[
        "read each name aloud after the words 'Yesterday at nine:'. Which one reports what "
        "happened?",
        "a command asks for something, and a row is a technical detail. In each group, one name "
        "is neither.",
    ],
    answer="""
        names = {
            "a": "room_closed_for_repair",
            "b": "recipient_not_at_home",
            "c": "interest_credited",
        }
    """,
    explanation="A name that a clerk understands is still understood when the program is gone.",
    mistakes=[
        """
        names = {
            "a": "room_updated",
            "b": "recipient_not_at_home",
            "c": "interest_credited",
        }
        """,
        """
        names = {
            "a": "close_room",
            "b": "recipient_not_at_home",
            "c": "interest_credited",
        }
        """,
        """
        names = {
            "a": "room_closed_for_repair",
            "b": "status_saved",
            "c": "interest_credited",
        }
        """,
        """
        names = {
            "a": "room_closed_for_repair",
            "b": "deliver_again",
            "c": "interest_credited",
        }
        """,
        """
        names = {
            "a": "room_closed_for_repair",
            "b": "recipient_not_at_home",
            "c": "row_inserted",
        }
        """,
        """
        names = {
            "a": "room_closed_for_repair",
            "b": "recipient_not_at_home",
            "c": "calculate_interest",
        }
        """,
    ],
)

# ------------------------------------------------------------------------------ the ticket desk

_CARD = "4111 1111 1111 1111"
_EMPTY_WORDS = {"changed", "edited", "modified", "saved", "set", "stored", "update", "updated"}
_PAST = {
    "bought",
    "broke",
    "broken",
    "chosen",
    "done",
    "gone",
    "given",
    "held",
    "kept",
    "left",
    "lost",
    "made",
    "paid",
    "put",
    "sent",
    "sold",
    "swapped",
    "taken",
    "withdrawn",
    "went",
}


def _form(action: str, seat: str, request: str, **more: str) -> dict[str, str]:
    return {"action": action, "seat": seat, **more, "request": request}


def _sale(seat: str, film: str = "Metropolis", request: str = "r-1") -> dict[str, str]:
    return _form("sell", seat, request, film=film, card=_CARD)


Record = Callable[[dict[str, str], dict[str, int]], object]


def _events_of(record: Record, form: dict[str, str], prices: dict[str, int]) -> list[Event]:
    given, listed = copy.deepcopy(form), dict(prices)
    try:
        events = record(given, listed)
    except KeyError as error:
        raise Wrong(
            f"not every form has {error}: look at the action first ({form['action']!r} has "
            f"{', '.join(form)})."
        ) from error
    if (given, listed) != (form, prices):
        raise Wrong(
            "you changed the form or the price list that you were given: copy what you use."
        )
    if events is None:
        raise Wrong(
            f"for {form['action']!r}, your function returns nothing. End with return [...]."
        )
    if isinstance(events, Event):
        raise Wrong("return a list of events, even if it has only one: [Event(...)].")
    if not isinstance(events, list) or not all(isinstance(event, Event) for event in events):
        raise Wrong(
            f"return a list of Event objects; for {form['action']!r} you returned {events!r}."
        )
    try:
        return encode_batch(events).events if events else []
    except InvalidEvent as error:
        raise Wrong(
            f"the store rejects what you return for {form['action']!r}: {error}."
        ) from error


def _values(value: Any) -> set[Any]:
    """Return all plain values in a value: those in its dicts and lists, or the value itself."""
    if isinstance(value, dict):
        return set().union(*map(_values, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_values, value)) if value else set()
    return {value}


def _says(events: list[Event]) -> set[Any]:
    return set().union(*(_values(event.data) for event in events))


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def _judge_name_of(name: str) -> None:
    words = set(_words(name))
    if words <= _EMPTY_WORDS | {"ticket", "row", "record", "status", "booking", "order"}:
        raise Wrong(
            f"{name!r} says that something is different, but not what happened: was a ticket sold, "
            "moved, or refunded?"
        )
    if not any(word in _PAST or word.endswith("ed") for word in words):
        raise Wrong(
            f"{name!r} sounds like a request. An event has happened: name it in the past tense."
        )


def _no_secret(events: list[Event]) -> None:
    for event in events:
        digits = re.sub(r"\W", "", json.dumps([event.data, event.meta]))
        if _CARD.replace(" ", "") in digits:
            raise Wrong(
                "your log holds card numbers. It is copied to every backup, developers read it, "
                "and nothing can be erased from it. The payment system keeps the card."
            )


def _judge_sale(record: Record) -> None:
    seats = [f"{row}{number}" for row in "ABCDEF" for number in range(1, 9)]
    for seat, film, price in (
        ("F7", "Metropolis", 1_200),
        (random.choice(seats), "Nosferatu", random.randrange(500, 999)),
    ):
        prices = {"Metropolis": 1_200, "Nosferatu": price}
        events = _events_of(record, _sale(seat, film), prices)
        if not events:
            raise Wrong("a ticket was sold, but there is no event for it.")
        _no_secret(events)
        for event in events:
            _judge_name_of(event.type)
        for what, value in (("which seat", seat), ("which film", film)):
            if value not in _says(events):
                raise Wrong(f"ten years later: {what} was it? No event of the sale has {value!r}.")
        if price not in _says(events):
            raise Wrong(
                f"ten years later, {film} costs 1500. What did this customer pay? The event does "
                "not say, and the price list of that day is gone."
            )
        if any(value in _says(events) for value in prices.values() if value != price):
            raise Wrong(
                "the event of the sale contains the whole price list. One price was used for the "
                "decision: keep only that price."
            )


def _judge_move(record: Record) -> None:
    prices = {"Metropolis": 1_200}
    broken = _events_of(record, _form("move", "F7", "r-2", to="G2", why="broken seat"), prices)
    if len(broken) > 1:
        raise Wrong(
            "the move is several events. Between them, the customer has no seat, or has two, and "
            "a program that reads at that moment sees a wrong seating plan. One decision, one "
            "event."
        )
    if not broken:
        raise Wrong("a customer sits in another seat now, but there is no event for it.")
    _judge_name_of(broken[0].type)
    if not {"F7", "G2"} <= _says(broken):
        raise Wrong("from which seat to which? The event of a move must have both seats.")
    wish = _events_of(record, _form("move", "F7", "r-2", to="G2", why="better view"), prices)
    if [(e.type, e.data) for e in wish] == [(e.type, e.data) for e in broken]:
        raise Wrong(
            "ten years later: how many seats were broken? In your log, a move because of a broken "
            "seat and a move for a better view look the same: keep the reason."
        )


def _judge_refund(record: Record) -> None:
    prices = {"Metropolis": 1_200}
    reasons = ("film canceled", "customer ill")
    canceled, ill = (
        _events_of(record, _form("refund", "G2", "r-3", why=why), prices) for why in reasons
    )
    if not canceled or not ill:
        raise Wrong("money was paid back, but there is no event for it.")
    for event in canceled + ill:
        _judge_name_of(event.type)
    if [(e.type, e.data) for e in canceled] == [(e.type, e.data) for e in ill]:
        raise Wrong(
            "ten years later: how much did canceled films cost the theater? In your log, a refund "
            "for a canceled film and a refund for an illness look the same: keep the reason."
        )
    if not {"G2"} <= _says(canceled) & _says(ill):
        raise Wrong("which seat is free again? The event of a refund must say which.")


def _judge_together(record: Record) -> None:
    prices = {"Metropolis": 1_200}
    forms = [
        _sale("F7"),
        _form("move", "F7", "r-2", to="G2", why="broken seat"),
        _form("refund", "G2", "r-3", why="film canceled"),
    ]
    batches = [_events_of(record, form, prices) for form in forms]
    for (one, first), (other, second) in itertools.combinations(
        zip(forms, batches, strict=True), 2
    ):
        same = {event.type for event in first} & {event.type for event in second}
        if same:
            raise Wrong(
                f"{one['action']!r} and {other['action']!r} have the same event type, "
                f"{same.pop()!r}. A reader of the log must guess from the fields what happened."
            )
    if _events_of(record, _form("look", "G2", "r-4"), prices):
        raise Wrong(
            "a clerk looked at a seat, and the log grew. Nothing has happened in the theater: no "
            "decision and no view needs this event. (Who looked at what belongs in an access log.)"
        )
    for form, events in zip(forms, batches, strict=True):
        if form["request"] in _says(events):
            raise Wrong(
                f"the id of the request, {form['request']!r}, is in data. No decision needs it: it "
                "says how the event came to be stored, and belongs in meta."
            )
        if not all(form["request"] in _values(event.meta or {}) for event in events):
            raise Wrong(
                "a customer complains: which request caused this event? Keep the request's id as "
                'the correlation_id: Event(type, data, meta={"correlation_id": ...}).'
            )


def _judge_desk(record: Record) -> None:
    _judge_sale(record)
    _judge_move(record)
    _judge_refund(record)
    _judge_together(record)


the_ticket_desk = Exercise(
    judge=_judge_desk,
    right=(
        "ten years later, your log still says what was paid, which seats broke, and what "
        "canceled films cost. And nobody's card can be stolen from it."
    ),
    hints=[
        "three types in the past tense, one for each action that changes something; look returns "
        "[].",
        "which facts were used that day and are gone tomorrow? The price is one of them.",
        'leave out the card; put the request into meta={"correlation_id": form["request"]}, and '
        "the reason into data.",
    ],
    answer="""
        from eventlab import Event


        def record(form, prices):
            meta = {"correlation_id": form["request"]}
            match form["action"]:
                case "sell":
                    sold = {
                        "seat": form["seat"],
                        "film": form["film"],
                        "price": prices[form["film"]],
                    }
                    return [Event("ticket_sold", sold, meta)]
                case "move":
                    moved = {"seat": form["seat"], "to": form["to"], "reason": form["why"]}
                    return [Event("customer_moved", moved, meta)]
                case "refund":
                    refunded = {"seat": form["seat"], "reason": form["why"]}
                    return [Event("ticket_refunded", refunded, meta)]
            return []
    """,
    explanation=(
        "One event for each decision, with the facts of that day and the reason. A type for each "
        "reason, such as refunded_as_film_was_canceled, is right as well."
    ),
    mistakes=[
        """
        from eventlab import Event


        def record(form, prices):
            return [Event("ticket_updated", form)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            data = {key: value for key, value in form.items() if key != "card"}
            return [Event("ticket_updated", data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            data = {key: value for key, value in form.items() if key != "card"}
            return [Event(form["action"], data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            names = {"sell": "sold", "move": "moved", "refund": "refunded"}
            data = {key: value for key, value in form.items() if key not in ("card", "request")}
            return [Event(names[form["action"]], data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            data = {"seat": form["seat"], "film": form["film"], "prices": prices}
            return [Event("sold", data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            data = {"seat": form["seat"], "film": form.get("film"), "price": 1200}
            return [Event("sold", data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "sell":
                price = prices[form["film"]]
                data = {"seat": form["seat"], "film": form["film"], "price": price}
                return [Event("sold", data)]
            freed = [Event("seat_freed", {"seat": form["seat"]})]
            if form["action"] == "move":
                return [*freed, Event("seat_taken", {"seat": form["to"]})]
            return freed
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "sell":
                price = prices[form["film"]]
                data = {"seat": form["seat"], "film": form["film"], "price": price}
                return [Event("sold", data)]
            if form["action"] == "move":
                return [Event("moved", {"from": form["seat"], "to": form["to"]})]
            return [Event("refunded", {"seat": form["seat"]})]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "sell":
                price = prices[form["film"]]
                data = {"seat": form["seat"], "film": form["film"], "price": price}
                return [Event("sold", data)]
            if form["action"] == "move":
                data = {"from": form["seat"], "to": form["to"], "why": form["why"]}
                return [Event("moved", data)]
            return [Event("refunded", {"seat": form["seat"]})]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            names = {"sell": "sold", "move": "moved", "refund": "refunded", "look": "looked"}
            data = {key: value for key, value in form.items() if key not in ("card", "request")}
            if form["action"] == "sell":
                data["price"] = prices[form["film"]]
            return [Event(names[form["action"]], data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "look":
                return []
            names = {"sell": "sold", "move": "moved", "refund": "refunded"}
            data = {key: value for key, value in form.items() if key != "card"}
            if form["action"] == "sell":
                data["price"] = prices[form["film"]]
            return [Event(names[form["action"]], data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "look":
                return []
            names = {"sell": "sold", "move": "moved", "refund": "refunded"}
            data = {key: value for key, value in form.items() if key not in ("card", "request")}
            if form["action"] == "sell":
                data["price"] = prices[form["film"]]
            return [Event(names[form["action"]], data)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            if form["action"] == "look":
                return []
            data = {key: value for key, value in form.items() if key not in ("card", "request")}
            if form["action"] == "sell":
                data["price"] = prices[form["film"]]
            meta = {"correlation_id": form["request"]}
            return [Event("ticket_processed", data, meta)]
        """,
        """
        from eventlab import Event


        def record(form, prices):
            request = form.pop("request")
            card = form.pop("card", None)
            return [Event("sold", form, {"request": request})]
        """,
    ],
)

# ------------------------------------------------------------------------------ an upcaster


def _judge_upcaster(upcast: Callable[[Recorded], Recorded]) -> None:
    old = Recorded("jane", 2, "moved", {"address": "9 Oak Street, Salem"}, "2-0", {"user": "x"})
    given = dict(old.data)
    new = upcast(old)
    if old.data != given:
        raise Wrong(
            "you changed the event you were given. Other code may use it too: return a changed "
            "copy."
        )
    if new is None:
        raise Wrong("your function returns nothing, so the event is lost. End with return.")
    if not isinstance(new, Recorded):
        raise Wrong("an upcaster returns an event: the same one, or a changed copy.")
    if not isinstance(new.data, dict):
        raise Wrong(f"data must stay a dict; you returned an event whose data is {new.data!r}.")
    if "address" in new.data:
        raise Wrong("today's shape no longer has an address, only street and city.")
    if new.data.get("city") == " Salem":
        raise Wrong("the city is ' Salem', with a space in front of it: no search will find it.")
    if new.data != {"street": "9 Oak Street", "city": "Salem"}:
        raise Wrong(
            "expected the data {'street': '9 Oak Street', 'city': 'Salem'}; your event's data is "
            f"{new.data}."
        )
    if (new.id, new.version, new.type, new.position, new.meta) != (
        old.id,
        old.version,
        old.type,
        old.position,
        old.meta,
    ):
        raise Wrong("change only data: id, version, type, position and meta must stay the same.")
    _judge_unchanged(upcast)
    for address, street, city in (
        ("Apt. 3, 4 Elm Street, Boston", "Apt. 3, 4 Elm Street", "Boston"),
        ("4 Elm Street,Boston", "4 Elm Street", "Boston"),
        (f"Lake Road {random.randrange(1, 99)}, Nashua", None, "Nashua"),
    ):
        street = address.rpartition(",")[0] if street is None else street
        lifted = upcast(Recorded("bob", 5, "moved", {"address": address}, "5-0")).data
        if lifted != {"street": street, "city": city}:
            raise Wrong(
                f"right for Jane. For {address!r}, expected the data "
                f"{ ({'street': street, 'city': city}) }; your event's data is {lifted}."
            )


def _judge_unchanged(upcast: Callable[[Recorded], Recorded]) -> None:
    for event in (
        Recorded("jane", 1, "registered", {"name": "Jane"}, "1-0"),
        Recorded("jane", 3, "moved", {"street": "4 Elm Street", "city": "Boston"}, "3-0"),
        Recorded("jane", 4, "newsletter_stopped", {}, "4-0"),
        Recorded("jane", 5, "email_added", {"address": "jane@example.com"}, "5-0"),
    ):
        try:
            same = upcast(event)
        except (KeyError, ValueError, IndexError) as error:
            raise Wrong(
                "every event passes through an upcaster, including events of today's shape and of "
                f"other types. Your upcaster fails for {event}."
            ) from error
        if same != event:
            raise Wrong(
                f"this event is not of the old shape and must be returned unchanged: {event}."
            )


an_upcaster = Exercise(
    judge=_judge_upcaster,
    right="one step, one shape. A chain of such steps keeps events readable for ten years.",
    hints=[
        "if the type is not 'moved', or the data has no 'address', return the event.",
        "'a, b, c'.rpartition(',') is ('a, b', ',', ' c').",
        "strip() removes the spaces at both ends of a string.",
    ],
    answer="""
        import msgspec


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            street, _, city = event.data["address"].rpartition(",")
            data = {"street": street.strip(), "city": city.strip()}
            return msgspec.structs.replace(event, data=data)
    """,
    explanation=(
        "Check the type and the shape, not the date: a step that recognizes its old shape can run "
        "over every event."
    ),
    mistakes=[
        """
        import msgspec


        def lift(event):
            street, city = event.data["address"].split(", ")
            return msgspec.structs.replace(event, data={"street": street, "city": city})
        """,
        """
        import msgspec


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            street, city = event.data["address"].split(", ", 1)
            return msgspec.structs.replace(event, data={"street": street, "city": city})
        """,
        """
        import msgspec


        def lift(event):
            if "address" not in event.data:
                return event
            street, _, city = event.data["address"].rpartition(",")
            data = {"street": street.strip(), "city": city.strip()}
            return msgspec.structs.replace(event, data=data)
        """,
        """
        import msgspec


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            street, _, city = event.data["address"].rpartition(",")
            return msgspec.structs.replace(event, data={"street": street, "city": city})
        """,
        """
        import msgspec


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            street, _, city = event.data["address"].rpartition(",")
            data = event.data | {"street": street.strip(), "city": city.strip()}
            return msgspec.structs.replace(event, data=data)
        """,
        """
        def lift(event):
            if event.type == "moved" and "address" in event.data:
                street, _, city = event.data.pop("address").rpartition(",")
                event.data.update(street=street.strip(), city=city.strip())
            return event
        """,
        """
        def lift(event):
            if event.type == "moved" and "address" in event.data:
                street, _, city = event.data["address"].rpartition(",")
                return {"street": street.strip(), "city": city.strip()}
            return event
        """,
        """
        import msgspec


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            data = {"street": "9 Oak Street", "city": "Salem"}
            return msgspec.structs.replace(event, data=data)
        """,
        """
        from eventlab import Recorded


        def lift(event):
            if event.type != "moved" or "address" not in event.data:
                return event
            street, _, city = event.data["address"].rpartition(",")
            data = {"street": street.strip(), "city": city.strip()}
            return Recorded(event.id, event.version, event.type, data, event.position)
        """,
        """
        def lift(event):
            if event.type == "moved" and "address" in event.data:
                print(event.data["address"].rpartition(","))
        """,
    ],
)

# ------------------------------------------------------------------------------ costs of a change

_COSTS = {"nothing", "upcaster", "new name"}


def _judge_costs(costs: dict[str, str]) -> None:
    if not isinstance(costs, dict) or set(costs) != set("abcde"):
        raise Wrong('give a dict with the five letters: {"a": ..., "b": ..., and so on to "e"}.')
    if not set(costs.values()) <= _COSTS:
        raise Wrong('each answer is one of "nothing", "upcaster" and "new name".')
    if costs["a"] == "upcaster":
        raise Wrong(
            "a: what would an upcaster write into the old events? Nobody knows the phone "
            "numbers. A default in the reader is enough."
        )
    if costs["a"] == "new name":
        raise Wrong("a: a move is still a move. With a second type, every reader must know both.")
    if costs["b"] == "nothing":
        raise Wrong("b: today's amounts would be read next week as a tenth of what they were.")
    if costs["b"] == "upcaster":
        raise Wrong(
            "b: an upcaster must recognize the old shape. {'amount': 500} looks the same before "
            "and after Monday: which of the two does the upcaster multiply?"
        )
    if costs["c"] == "nothing":
        raise Wrong("c: a reader that knows only customer_moved misses every move up to today.")
    if costs["c"] == "new name":
        raise Wrong(
            "c: the name is new already. The question is: what tells today's readers what the old "
            "name means?"
        )
    if costs["d"] == "upcaster":
        raise Wrong(
            "d: an upcaster would remove a field that nobody reads. That is work for nothing."
        )
    if costs["d"] == "new name":
        raise Wrong("d: no meaning has changed. A field is no longer read, and that is all.")
    if costs["e"] == "nothing":
        raise Wrong(
            "e: ten years later: how many customers left us? The old events and the new ones look "
            "the same, but mean different things."
        )
    if costs["e"] == "upcaster":
        raise Wrong(
            "e: the old events are right as they are. The new ones need a name of their own."
        )


what_a_change_costs = Exercise(
    judge=_judge_costs,
    right="a new field is free, a new name needs an upcaster, and a new meaning needs a new name.",
    hints=[
        "for each change, take an event from last year. Does today's reader still understand it?",
        "can a program tell from the event alone whether it is old or new? If not, no upcaster "
        "can.",
        "two changes cost nothing, one needs an upcaster, and two need a new name.",
    ],
    answer="""
        costs = {
            "a": "nothing",
            "b": "new name",
            "c": "upcaster",
            "d": "nothing",
            "e": "new name",
        }
    """,
    explanation=(
        "For b, write amount_in_tenths, and let an upcaster translate the old amount. For e, "
        "record closed_by_bank."
    ),
    mistakes=[
        """
        costs = {"a": "upcaster", "b": "new name", "c": "upcaster", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "new name", "b": "new name", "c": "upcaster", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "nothing", "c": "upcaster", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "upcaster", "c": "upcaster", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "new name", "c": "nothing", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "new name", "c": "new name", "d": "nothing", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "new name", "c": "upcaster", "d": "upcaster", "e": "new name"}
        """,
        """
        costs = {"a": "nothing", "b": "new name", "c": "upcaster", "d": "nothing", "e": "nothing"}
        """,
        """
        costs = {"a": "nothing", "b": "new name", "c": "upcaster", "d": "nothing", "e": "upcaster"}
        """,
    ],
)

# ------------------------------------------------------------------------------ a correction


def _deposited(receipt: str, amount: int) -> Event:
    return Event("deposited", {"receipt": receipt, "amount": amount})


def _reversed(receipt: str) -> Event:
    return Event("deposit_reversed", {"receipt": receipt, "reason": "typing error"})


def _account(kind: Any, *given: Event) -> Any:
    try:
        account = kind("john")
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise Wrong("the class has no apply yet. Only apply may change the state.") from error
    if "changes" not in vars(account):
        raise Wrong(
            "__init__ must begin with super().__init__(id): it sets up id, version and changes."
        )
    if not hasattr(account, "funds"):
        raise Wrong("a new account needs an initial state: set self.funds = 0 in __init__.")
    return account.replay(
        [
            Recorded("john", version, event.type, event.data, f"{version}-0")
            for version, event in enumerate(given, 1)
        ]
    )


def _rejects(kind: Any, given: list[Event], decide: Callable[[Any], object]) -> bool:
    account = _account(kind, *given)
    before = account.funds
    try:
        decide(account)
    except CommandRejected as error:
        if account.changes or account.funds != before:
            raise Wrong(
                "a rejected command left a trace: check every rule first, and record afterwards."
            ) from error
        return True
    return False


def _decision(kind: Any, given: list[Event], decide: Callable[[Any], object], what: str) -> Any:
    account = _account(kind, *given)
    try:
        decide(account)
    except CommandRejected as error:
        raise Wrong(f"{what} is allowed, but your class rejects it.") from error
    if not account.changes:
        raise Wrong(f"{what} recorded no event, so after a restart there is no trace of it.")
    again = _account(kind, *given, *account.changes)
    if again.funds != account.funds:
        raise Wrong(
            f"after {what}, the funds are {account.funds}, but {again.funds} after a replay of "
            "the same events. Change the state in apply, and nowhere else."
        )
    return account


def _judge_correction(kind: Any) -> None:
    if not isinstance(kind, type) or not issubclass(kind, Aggregate):
        raise Wrong(
            "give the class itself, and derive it from Aggregate: class Corrected(Aggregate)."
        )
    if _account(kind).funds != 0:
        raise Wrong("a new account has no money: its funds must be 0.")
    amount = random.randrange(1_000, 9_000)
    wrong = _deposited("r-1", amount)
    account = _decision(kind, [], lambda one: one.deposit("r-1", amount), "deposit('r-1', ...)")
    if account.changes != [wrong]:
        raise Wrong(f"expected {[wrong]}; your deposit recorded {account.changes}.")
    if account.funds != amount:
        raise Wrong(
            f"after a deposit of {amount} into a new account, the funds are {account.funds}."
        )
    account = _decision(
        kind,
        [wrong],
        lambda one: one.reverse("r-1", "typing error"),
        "reverse('r-1', ...)",
    )
    if any(event.type == "deposited" for event in account.changes):
        raise Wrong(
            f"a deposit of {account.changes[-1].data.get('amount')} was recorded, but nobody paid "
            "that in. A correction is a fact of its own, with its own name."
        )
    if account.changes != [_reversed("r-1")]:
        raise Wrong(f"expected {[_reversed('r-1')]}; your reverse recorded {account.changes}.")
    if account.funds != 0:
        raise Wrong(f"the only deposit was reversed, but the funds are {account.funds}.")
    _judge_correction_rules(kind)


def _judge_correction_rules(kind: Any) -> None:
    history = [_deposited("r-1", 5_000), _deposited("r-2", 70), _deposited("r-3", 200)]
    if (funds := _account(kind, *history, _reversed("r-2")).funds) != 5_200:
        raise Wrong(
            "5000, 70 and 200 were deposited, and the 70 was reversed, which leaves 5200; you "
            f"have {funds}. Which amount belongs to which receipt?"
        )
    if not _rejects(kind, history, lambda one: one.reverse("r-9", "typing error")):
        raise Wrong(
            "no deposit has the receipt r-9, but reverse('r-9', ...) was accepted. Raise "
            "CommandRejected."
        )
    gone = [*history, _reversed("r-1")]
    if not _rejects(kind, gone, lambda one: one.reverse("r-1", "again")):
        raise Wrong("the same deposit was reversed twice: the customer pays for the mistake.")
    if not _rejects(kind, history, lambda one: one.deposit("r-1", 5)):
        raise Wrong("two deposits have the receipt r-1: which of the two would a reversal mean?")
    if not _rejects(kind, gone, lambda one: one.deposit("r-1", 5)):
        raise Wrong(
            "the deposit with receipt r-1 was reversed, and then the receipt was used again. A "
            "reversal does not erase the first deposit, which stays in the log."
        )
    _decision(kind, gone, lambda one: one.deposit("r-4", 500), "a deposit with a new receipt")
    one, other = _account(kind, *history), _account(kind)
    if other.funds or one.funds != 5_270:
        raise Wrong("two accounts share their state: make the dict in __init__, not in the class.")


a_correction = Exercise(
    judge=_judge_correction,
    right="the mistake, the correction and the reason are in the log, and the sum is right.",
    hints=[
        "which state do the rules need? The amount for each receipt, and which deposits are "
        "reversed.",
        "keep two attributes: a dict from receipt to amount, and a set of the receipts whose "
        "deposits were reversed.",
        "funds can be a property: the sum of the amounts whose receipt is not in the set.",
    ],
    answer="""
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.deposits = {}
                self.reversed = []

            @property
            def funds(self):
                return sum(
                    amount
                    for receipt, amount in self.deposits.items()
                    if receipt not in self.reversed
                )

            def deposit(self, receipt, amount):
                if receipt in self.deposits:
                    raise CommandRejected(f"receipt {receipt!r} was used before")
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if receipt not in self.deposits:
                    raise CommandRejected(f"there is no deposit with receipt {receipt!r}")
                if receipt in self.reversed:
                    raise CommandRejected(f"deposit {receipt!r} was reversed before")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                match event.type:
                    case "deposited":
                        self.deposits[event.data["receipt"]] = event.data["amount"]
                    case "deposit_reversed":
                        self.reversed.append(event.data["receipt"])
    """,
    explanation=(
        "The state is what the next decision needs. (`reversed` is a list instead of a set, "
        "because a snapshot is JSON, and JSON has no sets.)"
    ),
    mistakes=[
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0
                self.deposits = {}

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                amount = -self.deposits[receipt]
                self.record("deposited", {"receipt": f"{receipt}x", "amount": amount})

            def apply(self, event):
                self.deposits[event.data["receipt"]] = event.data["amount"]
                self.funds += event.data["amount"]
        """,
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0
                self.deposits = {}

            def deposit(self, receipt, amount):
                self.deposits[receipt] = amount
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                self.funds -= self.deposits.pop(receipt)
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                self.deposits[event.data["receipt"]] = event.data.get("amount")
                self.funds += event.data.get("amount", 0)
        """,
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                self.funds = event.data.get("amount", 0)
        """,
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0
                self.deposits = {}

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                if event.type == "deposited":
                    self.deposits[event.data["receipt"]] = event.data["amount"]
                    self.funds += event.data["amount"]
                elif event.type == "deposit_reversed":
                    self.funds -= self.deposits.get(event.data["receipt"], 0)
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0
                self.deposits = {}

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if receipt not in self.deposits:
                    raise CommandRejected("no such deposit")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                if event.type == "deposited":
                    self.deposits[event.data["receipt"]] = event.data["amount"]
                    self.funds += event.data["amount"]
                elif event.type == "deposit_reversed":
                    self.funds -= self.deposits[event.data["receipt"]]
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.deposits = {}

            @property
            def funds(self):
                return sum(self.deposits.values())

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if receipt not in self.deposits:
                    raise CommandRejected("no such deposit")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                if event.type == "deposited":
                    self.deposits[event.data["receipt"]] = event.data["amount"]
                elif event.type == "deposit_reversed":
                    del self.deposits[event.data["receipt"]]
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.deposits = {}

            @property
            def funds(self):
                return sum(self.deposits.values())

            def deposit(self, receipt, amount):
                if receipt in self.deposits:
                    raise CommandRejected("this receipt was used")
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if receipt not in self.deposits:
                    raise CommandRejected("no such deposit")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                if event.type == "deposited":
                    self.deposits[event.data["receipt"]] = event.data["amount"]
                elif event.type == "deposit_reversed":
                    del self.deposits[event.data["receipt"]]
        """,
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0

            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                self.changes.clear()
                self.funds = 0

            def apply(self, event):
                self.funds += event.data.get("amount", 0)
        """,
        """
        from eventlab import Aggregate


        class Corrected(Aggregate):
            def deposit(self, receipt, amount):
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def apply(self, event):
                self.funds = 0
        """,
    ],
)

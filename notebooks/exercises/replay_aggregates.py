"""The exercises of 03_replay_aggregates."""

from __future__ import annotations

from collections.abc import Callable

from eventlab import Recorded
from eventlab.lessons.exercise import Exercise, Wrong


def _events(*steps: tuple[str, int]) -> list[Recorded]:
    events = [Recorded("a", 1, "create", {}, "1-0")]
    for version, (type, amount) in enumerate(steps, start=2):
        events.append(Recorded("a", version, type, {"amount": amount}, f"{version}-0"))
    return events


def _judge_highest(highest: Callable[[list[Recorded]], int]) -> None:
    events = _events(("deposit", 60), ("deposit", 50), ("withdraw", 90), ("deposit", 70))
    found = highest(events)
    if len(events) != 5:
        raise Wrong("you changed the list you were given: the next reader finds different events.")
    if found == 90:
        raise Wrong("90 is the final balance (and the largest amount). The account once held more.")
    if found == 70:
        raise Wrong(
            "that is the largest single deposit. A balance is the sum of all events so far."
        )
    if found == 180:
        raise Wrong(
            "subtract withdrawals: 60 + 50 - 90 + 70. And the highest balance occurs on the way."
        )
    if found != 110:
        raise Wrong(f"after 60 and 50 the account held 110, and never more; you have {found!r}.")
    if highest(_events()) != 0:
        raise Wrong("the highest balance of an account that was never used is 0.")
    if (found := highest(_events(("deposit", 10), ("withdraw", 5), ("deposit", 50)))) != 55:
        raise Wrong(
            "right for the first account. The next held 10, then 5, then 55: at most 55; you "
            f"have {found!r}."
        )


the_highest_balance = Exercise(
    judge=_judge_highest,
    right="a new question about old events. Nobody had to foresee it when the events were stored.",
    hints=[
        "keep two numbers: the current balance and the highest so far.",
        "after each event: most = max(most, now).",
    ],
    answer="""
        def highest(events):
            now = most = 0
            for event in events:
                if event.type == "deposit":
                    now += event.data["amount"]
                elif event.type == "withdraw":
                    now -= event.data["amount"]
                most = max(most, now)
            return most
    """,
    explanation=(
        "The state of a replay is what you choose to keep: here the balance, and the highest one "
        "so far."
    ),
    mistakes=[
        """
        def highest(events):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            return sum(sign[e.type] * e.data.get("amount", 0) for e in events)
        """,
        """
        def highest(events):
            return max((e.data["amount"] for e in events if e.type == "deposit"), default=0)
        """,
        """
        def highest(events):
            return sum(e.data["amount"] for e in events if e.type == "deposit")
        """,
        """
        from itertools import accumulate


        def highest(events):
            sign = {"deposit": 1, "withdraw": -1}
            amounts = (sign[e.type] * e.data["amount"] for e in events if e.type in sign)
            return max(accumulate(amounts))
        """,
        """
        def highest(events):
            return 110 if len(events) > 1 else 0
        """,
        """
        def highest(events):
            now = most = 0
            while events:
                event = events.pop(0)
                sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                now += sign * event.data.get("amount", 0)
                most = max(most, now)
            return most
        """,
        """
        def highest(events):
            now = most = 0
            for event in events:
                sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                now += sign * event.data.get("amount", 0)
                most = max(most, now)
            print(most)
        """,
    ],
)


def _judge_upcaster(upcast: Callable[[Recorded], Recorded]) -> None:
    old = Recorded("a", 2, "deposit", {"sum": "1.15"}, "2-0", {"by": "x"})
    new = upcast(old)
    if old.data != {"sum": "1.15"}:
        raise Wrong(
            "you changed the event you were given. Other code may use it too: return a changed "
            "copy."
        )
    if new is None:
        raise Wrong("your function returns nothing, so the event is lost. End with return.")
    if not isinstance(new, Recorded):
        raise Wrong("an upcaster returns an event: the same one, or a changed copy.")
    if not isinstance(new.data, dict):
        raise Wrong(f"data must stay a dict; yours is {new.data!r}.")
    if new.data.get("amount") == 114:
        raise Wrong(
            "the float 1.15 is slightly less than 1.15, and int() truncates: a cent is lost. Use "
            "Decimal."
        )
    if new.data.get("amount") in (1, 1.15, "1.15"):
        raise Wrong("the amount must be in cents: 115.")
    if new.data != {"amount": 115}:
        raise Wrong(f"expected the data {{'amount': 115}} and nothing else; you have {new.data}.")
    if (new.id, new.version, new.type, new.position, new.meta) != (
        "a",
        2,
        "deposit",
        "2-0",
        {"by": "x"},
    ):
        raise Wrong("change only data: id, version, type, position and meta must stay the same.")
    for event in (
        Recorded("a", 1, "create", {}, "1-0"),
        Recorded("a", 3, "deposit", {"amount": 5}, "3-0"),
    ):
        try:
            same = upcast(event)
        except KeyError as error:
            raise Wrong(
                "every event passes through an upcaster, including events with the current shape."
            ) from error
        if same != event:
            raise Wrong(
                f"this event has the current shape and must be returned unchanged: {event}."
            )
    for text, cents in (("0.29", 29), ("7", 700), ("4.35", 435)):
        amount = upcast(Recorded("a", 2, "deposit", {"sum": text}, "2-0")).data.get("amount")
        if amount != cents or type(amount) is not int:
            raise Wrong(
                f"right for 1.15; a sum of {text!r} gives {amount!r}, expected {cents}, a whole "
                "number."
            )


an_upcaster = Exercise(
    judge=_judge_upcaster,
    right="one step, one shape. A chain of such steps keeps events readable for ten years.",
    hints=[
        "if event.data has no 'sum', return the event.",
        "Decimal('1.15') * 100 is exactly 115; float('1.15') * 100 is not.",
    ],
    answer="""
        from decimal import Decimal

        import msgspec


        def lift(event):
            if "sum" not in event.data:
                return event
            amount = int(Decimal(event.data["sum"]) * 100)
            return msgspec.structs.replace(event, data={"amount": amount})
    """,
    explanation=(
        "Check the shape, not the date: a step that recognizes its old shape can run over every "
        "event."
    ),
    mistakes=[
        """
        import msgspec


        def lift(event):
            if "sum" not in event.data:
                return event
            amount = int(float(event.data["sum"]) * 100)
            return msgspec.structs.replace(event, data={"amount": amount})
        """,
        """
        import msgspec


        def lift(event):
            amount = round(float(event.data["sum"]) * 100)
            return msgspec.structs.replace(event, data={"amount": amount})
        """,
        """
        def lift(event):
            return {"amount": round(float(event.data["sum"]) * 100)}
        """,
        """
        import msgspec


        def lift(event):
            if "sum" not in event.data:
                return event
            amount = round(float(event.data["sum"]) * 100)
            return msgspec.structs.replace(event, data=event.data | {"amount": amount})
        """,
        """
        def lift(event):
            if "sum" in event.data:
                event.data["amount"] = round(float(event.data.pop("sum")) * 100)
            return event
        """,
        """
        import msgspec


        def lift(event):
            if "sum" not in event.data:
                return event
            return msgspec.structs.replace(event, data={"amount": 115})
        """,
        """
        import msgspec


        def lift(event):
            if "sum" not in event.data:
                return event
            amount = int(event.data["sum"].replace(".", ""))
            return msgspec.structs.replace(event, data={"amount": amount})
        """,
        """
        from decimal import Decimal


        def lift(event):
            if "sum" in event.data:
                print(Decimal(event.data["sum"]) * 100)
        """,
    ],
)

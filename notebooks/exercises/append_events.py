"""The exercises of 01_append_events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from eventlab import Recorded
from eventlab.lessons.exercise import Exercise, Wrong

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _event(version: int, type: str, amount: int | None, at: datetime) -> Recorded:
    data = {} if amount is None else {"amount": amount}
    return Recorded("JohnDoe", version, type, data, f"{int(at.timestamp() * 1000)}-0")


HISTORY = [
    _event(1, "create", None, NOON - timedelta(days=2)),
    _event(2, "deposit", 100, NOON - timedelta(days=1)),
    _event(3, "withdraw", 30, NOON),
    _event(4, "deposit", 5, NOON + timedelta(hours=1)),
]


def _judge_balance(balance_at: Callable[[list[Recorded], datetime], int]) -> None:
    nothing = balance_at([], NOON)
    if nothing is None:
        raise Wrong(
            "your function gives nothing back: end it with return, after the loop. (print only shows.)"
        )
    if nothing != 0:
        raise Wrong(f"without any event the balance is 0; yours is {nothing!r}.")
    try:
        found = balance_at(HISTORY, NOON)
    except KeyError as error:
        raise Wrong(
            f"not every event has {error}: a 'create' moves no money. Look at the type first."
        ) from error
    if found == 75:
        raise Wrong(
            "you counted everything that ever happened. The question is about one moment: leave out what is later."
        )
    if found == 100:
        raise Wrong(
            "an event of exactly that moment has happened by then: compare with <=, not with <."
        )
    if found in (130, 135):
        raise Wrong("a withdrawal takes money away: look at the type before you add.")
    if found != 70:
        raise Wrong(
            f"a deposit of 100 before noon and a withdrawal of 30 at noon make 70; you have {found!r}."
        )
    if balance_at(HISTORY, NOON + timedelta(days=1)) != 75:
        raise Wrong(
            "70 at noon is right, but the 5 that came an hour later are missing the day after."
        )


balance_at_a_moment = Exercise(
    judge=_judge_balance,
    right="the past needs no table of its own: it is a filter on the events.",
    hints=[
        "go through the events, skip those whose event.time is after the moment, and add up the rest.",
        "event.type says in which direction event.data['amount'] goes; a 'create' has no amount.",
    ],
    answer="""
        def balance_at(events, moment):
            funds = 0
            for event in events:
                if event.time <= moment:
                    if event.type == "deposit":
                        funds += event.data["amount"]
                    elif event.type == "withdraw":
                        funds -= event.data["amount"]
            return funds
    """,
    explanation="Replay, stopped at the moment. AccountService.fetch(id, at=moment) does the same.",
    mistakes=[
        """
        def balance_at(events, moment):
            funds = 0
            for event in events:
                funds += event.data["amount"] if event.type == "deposit" else -event.data["amount"]
            return funds
        """,
        """
        def balance_at(events, moment):
            for event in events:
                print(event.data)
        """,
        """
        def balance_at(events, moment):
            return sum({"deposit": 1, "withdraw": -1}.get(e.type, 0) * e.data.get("amount", 0) for e in events)
        """,
        """
        def balance_at(events, moment):
            sign = {"create": 0, "deposit": 1, "withdraw": -1}
            return sum(sign[e.type] * e.data.get("amount", 0) for e in events if e.time < moment)
        """,
        """
        def balance_at(events, moment):
            return sum(e.data.get("amount", 0) for e in events if e.time <= moment)
        """,
        """
        def balance_at(events, moment):
            return events[-1].data["amount"]
        """,
    ],
)


def _judge_wire(entry: Callable[[str, int, int], str]) -> None:
    text = entry("JohnDoe", 4, 25)
    if not isinstance(text, str):
        raise Wrong(
            f"an entry's field is text; you gave a {type(text).__name__}. json.dumps makes text of a dict."
        )
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Wrong(
            f"that is no JSON (names and texts stand in double quotes, as str() does not write them): {text}"
        ) from error
    if not isinstance(event, dict):
        raise Wrong(f"an event is a JSON object, with four fields by their names; yours is {text}.")
    if "data" in event or "payload" in event:
        raise Wrong(
            "the payload is not nested on the wire: its fields stand beside id, version and type."
        )
    if isinstance(event.get("amount"), str) or isinstance(event.get("version"), str):
        raise Wrong(
            "numbers are numbers in JSON: no quotes around amount and version. ('100' + '100' is '100100'.)"
        )
    if event != {"id": "JohnDoe", "version": 4, "type": "deposit", "amount": 25}:
        raise Wrong(f"expected id, version, type and amount, and nothing else; yours is {event}.")
    _judge_any_id(entry)


def _judge_any_id(entry: Callable[[str, int, int], str]) -> None:
    id = 'the "Golden Goose"'
    text = entry(id, 7, 3)
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Wrong(
            f"right, until an id has a quotation mark in it: {text} is no JSON. json.dumps knows how."
        ) from error
    if event != {"id": id, "version": 7, "type": "deposit", "amount": 3}:
        raise Wrong(
            f"right for JohnDoe's 25; for ({id!r}, 7, 3) it gives {text}. Use what you are given."
        )


the_wire_format = Exercise(
    judge=_judge_wire,
    right="that is what lies in the stream: readable by every language, and by people.",
    hints=[
        "look at what XRANGE showed: four fields, side by side.",
        "json.dumps({...}) with the keys id, version, type and amount.",
    ],
    answer="""
        import json


        def entry(id, version, amount):
            return json.dumps({"id": id, "version": version, "type": "deposit", "amount": amount})
    """,
    explanation="id and version are its identity, type says what happened, the payload stands flat beside them.",
    mistakes=[
        """
        def entry(id, version, amount):
            return {"id": id, "version": version, "type": "deposit", "amount": amount}
        """,
        """
        import json


        def entry(id, version, amount):
            return json.dumps({"id": id, "version": version, "type": "deposit", "data": {"amount": amount}})
        """,
        """
        def entry(id, version, amount):
            return f'{{"id":"{id}","version":"{version}","type":"deposit","amount":"{amount}"}}'
        """,
        """
        def entry(id, version, amount):
            return str({"id": id, "version": version, "type": "deposit", "amount": amount})
        """,
        """
        import json


        def entry(id, version, amount):
            return json.dumps([id, version, "deposit", amount])
        """,
        """
        def entry(id, version, amount):
            return f'{{"id":"{id}","version":{version},"type":"deposit","amount":{amount}}}'
        """,
        """
        def entry(id, version, amount):
            return '{"id":"JohnDoe","version":4,"type":"deposit","amount":25}'
        """,
        """
        import json


        def entry(id, version, amount):
            return json.dumps({"id": id, "version": version, "type": "deposit"})
        """,
    ],
)

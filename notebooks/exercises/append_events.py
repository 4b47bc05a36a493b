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
            "your function returns nothing: end it with return, after the loop (print only "
            "displays)."
        )
    if nothing != 0:
        raise Wrong(f"without events the balance is 0; yours is {nothing!r}.")
    try:
        found = balance_at(HISTORY, NOON)
    except KeyError as error:
        raise Wrong(
            f"not every event has {error}: a 'create' moves no money. Check the type first."
        ) from error
    if found == 75:
        raise Wrong(
            "you counted every event. The question is about one moment: leave out later events."
        )
    if found == 100:
        raise Wrong("an event at exactly that moment counts: compare with <=, not with <.")
    if found in (130, 135):
        raise Wrong("a withdrawal takes money out: check the type before you add.")
    if found != 70:
        raise Wrong(
            "a deposit of 100 before noon and a withdrawal of 30 at noon make 70; you have "
            f"{found!r}."
        )
    if balance_at(HISTORY, NOON + timedelta(days=1)) != 75:
        raise Wrong("70 at noon is right, but a day later the 5 deposited after noon are missing.")


balance_at_a_moment = Exercise(
    judge=_judge_balance,
    right="the past needs no table: it is a filter on the events.",
    hints=[
        "loop over the events, skip those whose event.time is after the moment, and add up the "
        "rest.",
        "event.type says whether event.data['amount'] goes in or out; a 'create' has no amount.",
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
    explanation="Replay up to that moment. AccountService.fetch(id, at=moment) does the same.",
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
            sign = {"deposit": 1, "withdraw": -1}
            return sum(sign.get(e.type, 0) * e.data.get("amount", 0) for e in events)
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
            f"an entry's field is text; you returned a {type(text).__name__}. json.dumps turns a "
            "dict into text."
        )
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Wrong(
            "that is not JSON (JSON strings need double quotes, and str() writes single quotes): "
            f"{text}"
        ) from error
    if not isinstance(event, dict):
        raise Wrong(f"an event is a JSON object with four named fields; yours is {text}.")
    if "data" in event or "payload" in event:
        raise Wrong(
            "the payload is not nested on the wire: its fields are next to id, version and type."
        )
    if isinstance(event.get("amount"), str) or isinstance(event.get("version"), str):
        raise Wrong(
            "JSON has numbers: do not quote amount and version ('100' + '100' is '100100')."
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
            f"right, until an id contains a quotation mark: {text} is not JSON. json.dumps "
            "escapes it."
        ) from error
    if event != {"id": id, "version": 7, "type": "deposit", "amount": 3}:
        raise Wrong(
            f"right for JohnDoe's 25; for ({id!r}, 7, 3) it returns {text}. Use the arguments."
        )


the_wire_format = Exercise(
    judge=_judge_wire,
    right="this is what the stream stores: every language can read it, and so can people.",
    hints=[
        "look at the output of XRANGE: four fields, not nested.",
        "json.dumps({...}) with the keys id, version, type and amount.",
    ],
    answer="""
        import json


        def entry(id, version, amount):
            return json.dumps({"id": id, "version": version, "type": "deposit", "amount": amount})
    """,
    explanation=(
        "id and version identify the event, type says what happened, and the payload is flat "
        "next to them."
    ),
    mistakes=[
        """
        def entry(id, version, amount):
            return {"id": id, "version": version, "type": "deposit", "amount": amount}
        """,
        """
        import json


        def entry(id, version, amount):
            data = {"amount": amount}
            return json.dumps({"id": id, "version": version, "type": "deposit", "data": data})
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

"""The exercises of 01_append_events."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

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
    history = list(HISTORY)
    try:
        found = balance_at(history, NOON)
    except KeyError as error:
        raise Wrong(
            f"not every event has {error}: a 'create' moves no money. Check the type first."
        ) from error
    except TypeError as error:
        if "offset-naive" not in str(error):
            raise
        raise Wrong(
            "event.time and moment both have a time zone: compare them as they are."
        ) from error
    if history != HISTORY:
        raise Wrong("you changed the list you were given: the next reader finds other events.")
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
    berlin = NOON.astimezone(timezone(timedelta(hours=2)))
    if (found := balance_at(HISTORY, berlin)) != 70:
        raise Wrong(
            f"noon in UTC is 14:00 in another time zone, and the same moment: 70, but you have "
            f"{found!r}. Compare the times with their zones."
        )
    dice = random.Random()
    for _ in range(10):
        amounts = [dice.randint(1, 99) for _ in range(3)]
        steps = [
            _event(n, kind, amount, NOON + timedelta(hours=n))
            for n, (kind, amount) in enumerate(
                zip(("deposit", "deposit", "withdraw"), amounts, strict=True)
            )
        ]
        expected = [amounts[0], amounts[0] + amounts[1], amounts[0] + amounts[1] - amounts[2]]
        if [balance_at(steps, step.time) for step in steps] != expected:
            raise Wrong(
                f"right for the first account. Another one gets {amounts[0]} and {amounts[1]}, and "
                f"pays {amounts[2]}: after each event it holds {expected}."
            )


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
        """
        def balance_at(events, moment):
            funds = 0
            for event in events:
                if event.time.replace(tzinfo=None) <= moment.replace(tzinfo=None):
                    sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                    funds += sign * event.data.get("amount", 0)
            return funds
        """,
        """
        def balance_at(events, moment):
            sign = {"deposit": 1, "withdraw": -1}
            then = moment.replace(tzinfo=None)
            past = [e for e in events if e.time <= then]
            return sum(sign.get(e.type, 0) * e.data.get("amount", 0) for e in past)
        """,
        """
        def balance_at(events, moment):
            if not events:
                return 0
            return {12: 70}.get(moment.hour, 70) if moment.day == 1 else 75
        """,
        """
        def balance_at(events, moment):
            funds = 0
            while events:
                event = events.pop(0)
                if event.time <= moment:
                    sign = {"deposit": 1, "withdraw": -1}.get(event.type, 0)
                    funds += sign * event.data.get("amount", 0)
            return funds
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
    if list(event) != ["id", "version", "type", "amount"]:
        raise Wrong(
            "right, but in another order: the store writes id, version, type, then the data."
        )
    if text != json.dumps(event, separators=(",", ":")):
        raise Wrong(
            'right, but the store writes no blanks: json.dumps(..., separators=(",", ":")).'
        )
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
        "json.dumps({...}) with the keys id, version, type and amount, in this order.",
        'json.dumps writes a blank after each comma and colon; separators=(",", ":") does not.',
    ],
    answer="""
        import json


        def entry(id, version, amount):
            event = {"id": id, "version": version, "type": "deposit", "amount": amount}
            return json.dumps(event, separators=(",", ":"))
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
        """
        import json


        def entry(id, version, amount):
            return json.dumps({"id": id, "version": version, "type": "deposit", "amount": amount})
        """,
        """
        import json


        def entry(id, version, amount):
            event = {"type": "deposit", "id": id, "version": version, "amount": amount}
            return json.dumps(event, separators=(",", ":"))
        """,
    ],
)

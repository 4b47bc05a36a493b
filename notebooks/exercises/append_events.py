"""The exercises of 01_append_events."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from eventlab import Recorded
from eventlab.lessons.choices import choices
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
            "your function returns nothing: end it with return, after the loop (print only shows "
            "a value)."
        )
    if nothing != 0:
        raise Wrong(f"without events, the balance is 0; yours is {nothing!r}.")
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
        raise Wrong("you changed the list you were given: the next reader gets different events.")
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
            f"a deposit of 100 before noon and a withdrawal of 30 at noon make 70; your function "
            f"returns {found!r}."
        )
    if balance_at(HISTORY, NOON + timedelta(days=1)) != 75:
        raise Wrong("70 at noon is right, but a day later, the deposit of 5 after noon is missing.")
    berlin = NOON.astimezone(timezone(timedelta(hours=2)))
    if (found := balance_at(HISTORY, berlin)) != 70:
        raise Wrong(
            "noon in UTC is 14:00 in another time zone. It is the same moment, so the answer is "
            f"70 again; your function returns {found!r}. Compare the times with their zones."
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
                f"right for the first account. Another account has deposits of {amounts[0]} and "
                f"{amounts[1]}, and then a withdrawal of {amounts[2]}: its balances after the "
                f"three events are {expected}."
            )


balance_at_a_moment = Exercise(
    judge=_judge_balance,
    right="you do not need a table for the past: you filter the events by time.",
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
            f"an entry's field is text; you returned an object of type {type(text).__name__}. "
            "json.dumps turns a dict into text."
        )
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Wrong(
            "this is not JSON (JSON strings need double quotes, and str() writes single quotes): "
            f"{text}"
        ) from error
    if not isinstance(event, dict):
        raise Wrong(f"an event is a JSON object with four named fields; you returned {text}.")
    if "data" in event or "payload" in event:
        raise Wrong(
            "the payload is not nested on the wire: its fields are next to id, version and type."
        )
    if isinstance(event.get("amount"), str) or isinstance(event.get("version"), str):
        raise Wrong(
            "JSON has numbers: do not quote amount and version ('100' + '100' is '100100')."
        )
    if event != {"id": "JohnDoe", "version": 4, "type": "deposit", "amount": 25}:
        raise Wrong(
            "the fields should be id, version, type and amount, and nothing else; your event is "
            f"{event}."
        )
    if list(event) != ["id", "version", "type", "amount"]:
        raise Wrong(
            "the fields are right, but not their order: the store writes id, version, type, then "
            "the data."
        )
    if text != json.dumps(event, separators=(",", ":")):
        raise Wrong(
            'right, but the store writes no spaces: json.dumps(..., separators=(",", ":")).'
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
            "escapes quotation marks."
        ) from error
    if event != {"id": id, "version": 7, "type": "deposit", "amount": 3}:
        raise Wrong(
            f"right for JohnDoe's 25. For ({id!r}, 7, 3), you returned {text}. Use the arguments."
        )


the_wire_format = Exercise(
    judge=_judge_wire,
    right=(
        "this is what the stream stores: any program can read it, whatever its language, and so "
        "can you."
    ),
    hints=[
        "look at the output of XRANGE: four fields, not nested.",
        "json.dumps({...}) with the keys id, version, type and amount, in this order.",
        'json.dumps writes a space after each comma and colon; separators=(",", ":") does not.',
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


# ----------------------------------------------------------------------------- what Redis checks

STREAM_FACTS = {
    "a": (
        "rejects",
        "an ID must be greater than the last one. You saw Redis reject an event with an earlier "
        "time.",
    ),
    "b": (
        "accepts",
        "the version is part of the text, which Redis does not read: you saw Redis accept "
        "version 2 twice.",
    ),
    "c": ("accepts", "to Redis, the field is just text: Redis does not parse JSON."),
    "d": (
        "accepts",
        "Redis does not know what an account is, so it cannot notice that an account is missing. "
        "The bank's rules check that.",
    ),
    "e": (
        "accepts",
        "an ID only has to be greater than the last one. Redis does not notice a clock that is an "
        "hour ahead.",
    ),
}


what_a_stream_checks = Exercise(
    judge=choices(STREAM_FACTS, ("accepts", "rejects")),
    right="a stream checks the order of its IDs, and nothing else.",
    hints=[
        "which of these can Redis see without reading the text of the event?",
        "Redis rejects one of the five.",
    ],
    answer="""
        answers = {"a": "rejects", "b": "accepts", "c": "accepts", "d": "accepts", "e": "accepts"}
    """,
    explanation="Redis compares the new ID with the last one. What the field means is up to you.",
    mistakes=[
        """
        answers = {"a": "accepts", "b": "accepts", "c": "accepts", "d": "accepts", "e": "accepts"}
        """,
        """
        answers = {"a": "rejects", "b": "rejects", "c": "accepts", "d": "accepts", "e": "accepts"}
        """,
        """
        answers = {"a": "rejects", "b": "accepts", "c": "rejects", "d": "accepts", "e": "accepts"}
        """,
        """
        answers = {"a": "rejects", "b": "accepts", "c": "accepts", "d": "rejects", "e": "accepts"}
        """,
        """
        answers = {"a": "rejects", "b": "accepts", "c": "accepts", "d": "accepts", "e": "rejects"}
        """,
        """
        answers = {"a": "rejects", "b": "accepts"}
        """,
        """
        answers = {"a": "reject", "b": "accept", "c": "accept", "d": "accept", "e": "accept"}
        """,
    ],
)


# ------------------------------------------------------------------------- one log per aggregate


def _entries(*events: tuple[str, int, str]) -> list[str]:
    return [
        json.dumps({"id": id, "version": version, "type": type}, separators=(",", ":"))
        for id, version, type in events
    ]


def _judge_logs(logs: Callable[[list[str]], dict[str, list[str]]]) -> None:
    texts = _entries(("Ann", 1, "create"), ("Bob", 1, "create"), ("Ann", 2, "deposit"))
    given = list(texts)
    found = logs(given)
    if given != texts:
        raise Wrong("you changed the list you were given: the next reader gets different events.")
    if found is None:
        raise Wrong("your function returns nothing: end it with return, after the loop.")
    if not isinstance(found, dict):
        raise Wrong(
            "return a dict from id to a list of types; you returned an object of type "
            f"{type(found).__name__}."
        )
    if any(
        isinstance(value, str | bytes) or not hasattr(value, "__len__") for value in found.values()
    ):
        raise Wrong(f"each log is a list, even if it has one event; you returned {found!r}.")
    if found == {"Ann": ["create", "deposit"], "Bob": []} or found.get("Bob") == []:
        raise Wrong("Bob's first event is missing: the first event of an id starts its log.")
    if found.get("Ann") in (["deposit"], ["create"]):
        raise Wrong(
            f"Ann has two events, and you kept {found['Ann']}: append to the existing log instead "
            "of replacing it."
        )
    if found.get("Ann") == ["deposit", "create"]:
        raise Wrong("the order is part of the log: the oldest event is the first element.")
    if found != {"Ann": ["create", "deposit"], "Bob": ["create"]}:
        raise Wrong(
            "expected {'Ann': ['create', 'deposit'], 'Bob': ['create']}, and you returned "
            f"{found!r}."
        )
    if logs([]) != {}:
        raise Wrong(
            "a category without events has no logs: return {}. Is something left over from an "
            "earlier call?"
        )
    dice = random.Random()
    for _ in range(5):
        expected: dict[str, list[str]] = {}
        steps = []
        for _ in range(12):
            id = dice.choice(["Ann", 'the "Golden Goose"', "Zoe"])
            log = expected.setdefault(id, [])
            log.append(dice.choice(["deposit", "withdraw"]))
            steps.append((id, len(log), log[-1]))
        if (found := logs(_entries(*steps))) != expected:
            raise Wrong(
                f"right for Ann and Bob. For {steps}, the answer is {expected}, and you returned "
                f"{found!r}."
            )


the_aggregate_logs = Exercise(
    judge=_judge_logs,
    right="the category stream contains everything, so the logs can always be rebuilt from it.",
    hints=[
        "json.loads(text) is a dict with id, version and type.",
        "logs.setdefault(event['id'], []) returns the log of an id, and starts an empty one if "
        "the id is new.",
    ],
    answer="""
        import json


        def logs(texts):
            found = {}
            for text in texts:
                event = json.loads(text)
                found.setdefault(event["id"], []).append(event["type"])
            return found
    """,
    explanation=(
        "One pass, in commit order. EventStore.adopt does this for a stream of the original."
    ),
    mistakes=[
        """
        import json


        def logs(texts):
            return {json.loads(text)["id"]: [json.loads(text)["type"]] for text in texts}
        """,
        """
        import json


        def logs(texts):
            return {json.loads(text)["id"]: json.loads(text)["type"] for text in texts}
        """,
        """
        import json


        def logs(texts):
            found = {}
            for text in texts:
                event = json.loads(text)
                found.setdefault(event["id"], []).insert(0, event["type"])
            return found
        """,
        """
        import json


        def logs(texts):
            found = {}
            for text in texts:
                event = json.loads(text)
                if event["id"] in found:
                    found[event["id"]].append(event["type"])
                else:
                    found[event["id"]] = []
            return found
        """,
        """
        import json


        def logs(texts, found={}):
            for text in texts:
                event = json.loads(text)
                found.setdefault(event["id"], []).append(event["type"])
            return found
        """,
        """
        def logs(texts):
            return [text for text in texts if "Ann" in text]
        """,
        """
        def logs(texts):
            return {"Ann": ["create", "deposit"], "Bob": ["create"]} if texts else {}
        """,
        """
        import json


        def logs(texts):
            found = {}
            while texts:
                event = json.loads(texts.pop(0))
                found.setdefault(event["id"], []).append(event["type"])
            return found
        """,
        """
        import json


        def logs(texts):
            found = {}
            for text in texts:
                event = json.loads(text)
                found.setdefault(event["id"], []).append(event["type"])
        """,
    ],
)


# ----------------------------------------------------------------------------- who wrote directly?

#: Steps of (id, version), the ids that are broken, and what to think about.
BROKEN = [
    ([("a", 1), ("b", 1), ("a", 2)], [], "each account counts its own versions"),
    ([("a", 1), ("a", 2), ("b", 1), ("a", 2)], ["a"], "account 'a' has version 2 twice"),
    ([("a", 1), ("b", 1), ("b", 3)], ["b"], "account 'b' has no version 2"),
    ([("b", 2), ("a", 1)], ["b"], "the first version is 1"),
    ([("a", 1), ("a", 3), ("a", 2)], ["a"], "all versions are there, but not in order"),
    ([("c", 5), ("a", 1), ("b", 1), ("b", 1)], ["b", "c"], "two accounts are broken"),
    (
        [("a", 1), ("a", 1), ("a", 2), ("a", 3)],
        ["a"],
        "account 'a' is broken, although its later versions are right",
    ),
    (
        [("a", 1), ("a", 3), ("a", 3)],
        ["a"],
        "account 'a' has three events and ends at 3, but its versions are not 1, 2, 3",
    ),
]


def _judge_broken(broken: Callable[[list[Recorded]], list[str]]) -> None:
    dice = random.Random()
    length, hole = dice.randint(6, 9), dice.randint(2, 4)  # a later version shows the hole
    drawn = [(f"x{id}", n) for n in range(1, length) for id in range(3) if (id, n) != (1, hole)]
    for steps, expected, reason in [*BROKEN, (drawn, ["x1"], f"'x1' has no version {hole}")]:
        events = [
            Recorded(id, version, "deposit", {"amount": 1}, f"{number + 1}-0")
            for number, (id, version) in enumerate(steps)
        ]
        given = list(events)
        found = broken(given)
        if given != events:
            raise Wrong(
                "you changed the list you were given: the next reader gets different events."
            )
        if found is None:
            raise Wrong("your function returns nothing: end it with return, after the loop.")
        if sorted(found) != expected:
            raise Wrong(
                f"{reason}. For {steps}, the answer is {expected}, and you returned "
                f"{list(found)!r}."
            )


who_wrote_directly = Exercise(
    judge=_judge_broken,
    right="anybody can check the versions for gaps and repeats, at any time.",
    hints=[
        "keep a dict from id to the version that must come next; for a new id that is 1.",
        "compare each event with the version that must come next; report an id only once.",
    ],
    answer="""
        def broken(events):
            following, found = {}, set()
            for event in events:
                if event.version != following.get(event.id, 1):
                    found.add(event.id)
                following[event.id] = event.version + 1
            return sorted(found)
    """,
    explanation=(
        "The next version is one more than the last one. An event with any other version was "
        "written directly."
    ),
    mistakes=[
        """
        def broken(events):
            versions = {}
            for event in events:
                versions.setdefault(event.id, []).append(event.version)
            return sorted(id for id, found in versions.items() if len(set(found)) < len(found))
        """,
        """
        def broken(events):
            versions = {}
            for event in events:
                versions.setdefault(event.id, []).append(event.version)
            right = lambda found: sorted(found) == list(range(1, len(found) + 1))
            return sorted(id for id, found in versions.items() if not right(found))
        """,
        """
        def broken(events):
            return sorted({event.id for event in events if event.version > 1})
        """,
        """
        def broken(events):
            last, found = {}, set()
            for event in events:
                if event.version != last.get(event.id, event.version - 1) + 1:
                    found.add(event.id)
                last[event.id] = event.version
            return sorted(found)
        """,
        """
        def broken(events):
            last = 0
            found = set()
            for event in events:
                if event.version != last + 1:
                    found.add(event.id)
                last = event.version
            return sorted(found)
        """,
        """
        def broken(events):
            newest = {}
            for event in events:
                newest[event.id] = max(event.version, newest.get(event.id, 0))
            count = {id: sum(e.id == id for e in events) for id in newest}
            return sorted(id for id in newest if newest[id] > count[id])
        """,
        """
        def broken(events):
            found = set()
            while events:
                event = events.pop()
                if event.version > 1 and (event.id, event.version - 1) not in [
                    (e.id, e.version) for e in events
                ]:
                    found.add(event.id)
            return sorted(found)
        """,
    ],
)


# ---------------------------------------------------------------------------- a number, or events?

WHAT_TO_KEEP = {
    "a": (
        "number",
        "nobody will ever ask about the one visitor at 10:04. Millions of events would answer a "
        "question that nobody asks.",
    ),
    "b": (
        "events",
        "a customer says that points are missing. With only a number, you cannot tell who is "
        "right.",
    ),
    "c": (
        "number",
        "nobody needs to know which theme a user had last June. Keep the current one.",
    ),
    "d": (
        "events",
        "the count says that three items are missing. Only events say when the items went "
        "missing, and who took them.",
    ),
    "e": (
        "number",
        "the supplier sends a new list each night, and keeps the old ones. You need only today's "
        "list.",
    ),
}

a_number_or_events = Exercise(
    judge=choices(WHAT_TO_KEEP, ("number", "events")),
    right=(
        "keep events where you need to know how a result came about. Elsewhere, they are only a "
        "cost."
    ),
    hints=[
        "a year later, will anybody ask a question that only the events can answer?",
        "two of the five need their events.",
    ],
    answer="""
        keep = {"a": "number", "b": "events", "c": "number", "d": "events", "e": "number"}
    """,
    explanation="Points and stock are disputed; a counter, a theme and a price list are not.",
    mistakes=[
        """
        keep = {"a": "events", "b": "events", "c": "events", "d": "events", "e": "events"}
        """,
        """
        keep = {"a": "number", "b": "number", "c": "number", "d": "number", "e": "number"}
        """,
        """
        keep = {"a": "number", "b": "events", "c": "events", "d": "events", "e": "number"}
        """,
        """
        keep = {"a": "number", "b": "events", "c": "number", "d": "number", "e": "number"}
        """,
        """
        keep = {"a": "number", "b": "events", "c": "number", "d": "events", "e": "events"}
        """,
        """
        keep = {"a": "number"}
        """,
        """
        keep = {"a": 0, "b": "events", "c": "number", "d": "events", "e": "number"}
        """,
    ],
)

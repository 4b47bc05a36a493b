"""Answers that the exercises of pages 01 and 02 do not foresee are judged rightly, too."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.notebooks.test_exercises import ALL, answer

# ruff: noqa: E501 - answers in one line each

CHOICES = {
    "append_events.what_a_stream_checks": ("accepts", "rejects"),
    "append_events.a_number_or_events": ("number", "events"),
    "version_conflicts.what_next": ("repeat", "decide again", "stop"),
}

LOGS = "append_events.the_aggregate_logs"
BROKEN = "append_events.who_wrote_directly"
OPEN = "version_conflicts.open_only_once"
RETRY = "version_conflicts.a_general_retry"

RIGHT = [
    (
        LOGS,
        """
        import json
        from collections import defaultdict


        def logs(texts):
            found = defaultdict(list)
            for text in texts:
                event = json.loads(text)
                found[event["id"]].append(event["type"])
            return found
        """,
    ),
    (
        BROKEN,
        """
        def broken(events):
            versions = {}
            for event in events:
                versions.setdefault(event.id, []).append(event.version)
            return {id for id, found in versions.items() if found != [*range(1, len(found) + 1)]}
        """,
    ),
    (
        OPEN,
        """
        from eventlab import Event, VersionConflict


        def open_account(store, id, owner):
            try:
                store.append(id, [Event("opened", {"owner": owner})], expected=0)
                return True
            except VersionConflict:
                return False
        """,
    ),
    (
        RETRY,
        """
        from eventlab import VersionConflict


        def retry(store, id, decide, tries):
            events = store.read(id)
            if decided := decide(events):
                try:
                    store.append(id, decided, expected=len(events))
                except VersionConflict:
                    if tries <= 1:
                        raise
                    retry(store, id, decide, tries - 1)
        """,
    ),
]

LOG = "import json\n\n\ndef logs(texts):\n    events = [json.loads(text) for text in texts]\n"
WRONG_LOGS = [
    "    return {e['id']: e['type'].split() for e in events}",
    "    return {e['id']: [f['type'] for f in events] for e in events}",
    "    return {e['id']: sorted(f['type'] for f in events if f['id'] == e['id']) for e in events}",
    "    return {e['id']: {f['type'] for f in events if f['id'] == e['id']} for e in events}",
    "    return {e['id']: [f for f in events if f['id'] == e['id']] for e in events}",
    "    return {e['id']: [f['version'] for f in events if f['id'] == e['id']] for e in events}",
    "    return {(e['id'], e['version']): [e['type']] for e in events}",
    "    return [[e['type'] for e in events]]",
    "    return {i: [e['type'] for e in events if e['id'] == i] for i in ('Ann', 'Bob')}",
    "    return {e['id'][:3]: [f['type'] for f in events if f['id'] == e['id']] for e in events}",
]
BREAK = "def broken(events):\n    ids = {e.id for e in events}\n"
BREAK += "    v = {i: [e.version for e in events if e.id == i] for i in ids}\n"
WRONG_BROKEN = [
    "    return [i for i in ids if v[i][0] != 1]",
    "    return [i for i in ids if v[i] != sorted(v[i])]",
    "    return [i for i in ids if v[i] != sorted(set(v[i]))]",
    "    return [i for i in ids if v[i][-1] != len(v[i])]",
    "    return [i for i in ids if max(v[i]) != len(v[i])]",
    "    return [i for i in ids if sum(v[i]) != sum(range(1, len(v[i]) + 1))]",
    "    return [i for i in ids if any(b - a != 1 for a, b in zip(v[i], v[i][1:]))]",
    "    return [i for i in ids if v[i] != list(range(1, len(v[i]) + 1))][:1]",
    "    return [e.id for e in events if v[e.id] != list(range(1, len(v[e.id]) + 1))]",
    "    return ids",
]
OPENING = "from eventlab import ANY, EXISTS, NEW, Event, VersionConflict\n\n\n"
OPENING += "def open_account(store, id, owner):\n    opened = [Event('opened', {'owner': owner})]\n"
WRONG_OPEN = [
    "    return bool(store.append(id, opened, expected=ANY))",
    "    return bool(store.append(id, opened, expected=EXISTS))",
    "    return store.version(id) == 0 and bool(store.append(id, opened, expected=store.version(id)))",
    "    return not store.read(id) and bool(store.append(id, opened, expected=len(store.read(id))))",
    "    if not store.read(id):\n        return bool(store.append(id, opened, expected=NEW))",
    "    store.append(id, opened, expected=ANY)\n    return store.read(id)[0].data == opened[0].data",
    "    try:\n        store.append(id, opened, expected=NEW)\n    except Exception:\n        return True\n"
    "    return True",
    "    return True",
    "    try:\n        store.append(id, opened, expected=1)\n    except VersionConflict:\n"
    "        return False\n    return True",
    "    return owner == 'Ann' and bool(store.append(id, opened, expected=NEW))",
]
TRY = "from eventlab import ANY, VersionConflict\n\n\ndef retry(store, id, decide, tries):\n"
WRONG_RETRY = [
    "    return store.append(id, decide(store.read(id)), expected=ANY)",
    "    for _ in range(tries):\n        events = store.read(id)\n"
    "        store.append(id, decide(events), expected=ANY)",
    "    events = store.read(id)\n    for _ in range(tries):\n        try:\n"
    "            return store.append(id, decide(events), expected=len(events))\n"
    "        except VersionConflict:\n            pass",
    "    for _ in range(tries):\n        events = store.read(id)\n        try:\n"
    "            return store.append(id, decide(events), expected=store.version(id))\n"
    "        except VersionConflict as error:\n            last = error\n    raise RuntimeError('x')",
    "    try:\n        return store.append(id, decide(store.read(id)), expected=store.version(id))\n"
    "    except VersionConflict:\n        return retry(store, id, decide, tries - 1)",
    "    for _ in range(tries - 1):\n        events = store.read(id)\n        try:\n"
    "            return store.append(id, decide(events), expected=len(events))\n"
    "        except VersionConflict as error:\n            last = error\n    raise last",
    "    return decide(store.read(id))",
    "    events = store.read(id)\n    decided = decide(events)\n    for _ in range(tries):\n"
    "        try:\n            return decided and store.append(id, decided, expected=len(events))\n"
    "        except VersionConflict:\n            events = store.read(id)\n    raise",
    "    return True",
    "    decide([])\n    return None",
]
WRONG = [
    (name, head + body)
    for name, head, bodies in (
        (LOGS, LOG, WRONG_LOGS),
        (BROKEN, BREAK, WRONG_BROKEN),
        (OPEN, OPENING, WRONG_OPEN),
        (RETRY, TRY, WRONG_RETRY),
    )
    for body in bodies
]


@pytest.mark.parametrize(("name", "code"), RIGHT)
def test_exercise_accepts_another_right_answer(name: str, code: str, lab: Any) -> None:
    assert ALL[name].check(answer(code)) == ALL[name].check(answer(ALL[name].answer))


@pytest.mark.parametrize(("name", "code"), WRONG)
def test_exercise_rejects_a_wrong_answer(name: str, code: str, lab: Any) -> None:
    assert ALL[name].check(answer(code)).kind == "Not yet"


@pytest.mark.parametrize("name", CHOICES)
def test_choice_has_one_right_answer(name: str) -> None:
    letters = answer(ALL[name].answer)
    notes = [
        ALL[name].check(dict(zip(letters, chosen, strict=True))).kind
        for chosen in product(CHOICES[name], repeat=len(letters))
    ]
    assert notes.count("Right") == 1
    assert set(notes) == {"Right", "Not yet"}


def test_two_orders_of_twenty_are_right() -> None:
    exercise = ALL["version_conflicts.an_order_that_is_right"]
    orders = ["".join(order) for order in product("AB", repeat=6)]
    assert [order for order in orders if exercise.check(order).kind == "Right"] == [
        "AAABBB",
        "BBBAAA",
    ]

"""Answers to the exercises of pages 08 and 09 that nobody wrote down beside them.

Right ones in another style must pass. Wrong ones must not, and are told why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.notebooks.test_exercises import ALL, answer

RIGHT = {
    "two_accounts.a_transfer": [
        """
        def transfer(accounts, giver, taker, amount):
            accounts.transact(
                (taker, giver), lambda b, a: (b.deposit(amount), a.withdraw(amount)), tries=50
            )
        """,
        """
        from eventlab.accounts import AccountService


        def transfer(accounts, giver, taker, amount):
            return AccountService(accounts.store).transfer(giver, taker, amount)
        """,
        """
        from eventlab import VersionConflict, Write


        def transfer(accounts, giver, taker, amount):
            while True:
                a, b = accounts.load(giver), accounts.load(taker)
                seen = a.version, b.version
                a.withdraw(amount)
                b.deposit(amount)
                writes = [Write(giver, a.changes, seen[0]), Write(taker, b.changes, seen[1])]
                try:
                    return accounts.store.commit(writes)
                except VersionConflict:
                    continue
        """,
    ],
    "two_accounts.somebody_stays": [
        """
        from eventlab import CommandRejected


        def go_home(doctors, name, team):
            def decide(*everybody):
                me = next(each for each in everybody if each.id == name)
                if sum(each.on_call for each in everybody) - me.on_call < 1:
                    raise CommandRejected("nobody else is on call")
                me.leave()

            doctors.transact(team, decide)
        """,
        """
        from eventlab import CommandRejected, Event, VersionConflict, Write


        def go_home(doctors, name, team):
            while True:
                found = {each: doctors.load(each) for each in team}
                others = {each: one for each, one in found.items() if each != name}
                guards = {each: one.version for each, one in others.items()}
                if all(not one.on_call for one in others.values()):
                    raise CommandRejected(name)
                leave = Write(name, [Event("left")], found[name].version)
                try:
                    doctors.store.commit([leave], guards=guards)
                except VersionConflict:
                    continue
                return
        """,
    ],
    "two_accounts.a_new_nickname": [
        """
        from eventlab import Event, VersionConflict, Write


        def rename(people, customer, old, new):
            logs = {
                customer: Event("renamed", {"nickname": new}),
                f"nickname/{old}": Event("released"),
                f"nickname/{new}": Event("reserved", {"by": customer}),
            }
            for _ in range(10):
                read = {id: people.read(id) for id in logs}
                last = read[f"nickname/{new}"][-1:]
                if last and last[0].type != "released":
                    return False
                try:
                    people.commit([Write(id, [e], len(read[id])) for id, e in logs.items()])
                except VersionConflict:
                    continue
                return True
        """,
    ],
    "two_accounts.a_process_manager": [
        # a table, the refund in the step of the refusal's event
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            pay = event.data
            steps = {
                "requested": (home.withdraw, pay["from"], "withdrawn", "rejected"),
                "withdrawn": (abroad.deposit, pay["to"], "arrived", "refused"),
                "refused": (home.deposit, pay["from"], "refunded", None),
            }
            if event.type not in steps:
                return None
            command, account, yes, no = steps[event.type]
            try:
                command(account, pay["amount"], idempotency_key=f"{event.id}/{event.version}")
            except CommandRejected:
                return no
            return yes
        """,
    ],
    "account_service.the_interest": [
        """
        import itertools
        import secrets


        def add_interest(get, post):
            run = secrets.token_hex(8)
            for decision in itertools.count():
                version, funds = get()
                status = 503
                while status == 503:
                    try:
                        status = post(int(funds / 10), version, f"{run}-{decision}")
                    except ConnectionError:
                        pass
                if status == 200:
                    break
        """,
    ],
    "account_service.a_handler": [
        """
        import eventlab
        from eventlab import accounts


        STATUS = {
            "UnknownAccount": 404,
            "VersionChanged": 412,
            "VersionConflict": 409,
            "IdempotencyKeyReused": 422,
        }


        def withdraw(service, id, amount, if_match, key):
            options = {"idempotency_key": key}
            if if_match is not None:
                options["versions"] = [if_match]
            try:
                event = service.withdraw(id, amount, **options)
            except eventlab.EventLabError as error:
                return STATUS.get(type(error).__name__, 400), str(error)
            return 200, {"version": event.version}
        """,
        """
        from redis.exceptions import RedisError

        from eventlab import CommandRejected, IdempotencyKeyReused, VersionConflict
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            try:
                event = service.withdraw(
                    id, amount, versions={if_match} if if_match else None, idempotency_key=key
                )
                return 200, {"version": event.version}
            except (VersionConflict, IdempotencyKeyReused) as error:
                return (409 if isinstance(error, VersionConflict) else 422), {"error": str(error)}
            except CommandRejected as error:
                special = {UnknownAccount: 404, VersionChanged: 412}
                return special.get(type(error), 400), {"error": str(error)}
            except RedisError:
                return 503, {"error": "try again"}
        """,
    ],
}

WRONG = {
    "two_accounts.a_transfer": [
        (
            """
            def transfer(accounts, giver, taker, amount):
                a, b = accounts.load(giver), accounts.load(taker)
                a.withdraw(amount)
                b.deposit(amount)
                accounts.save(b)
                accounts.save(a)
            """,
            "killed after its first append",
        ),
        (
            """
            def transfer(accounts, giver, taker, amount):
                accounts.transact([giver], lambda a: a.withdraw(amount))
                accounts.transact([taker], lambda b: b.deposit(amount))
            """,
            "killed after its first append",
        ),
        (
            """
            def transfer(accounts, giver, taker, amount):
                a, b = accounts.load(giver), accounts.load(taker)

                def decide(*_):
                    if a.funds < amount:
                        return
                    a.withdraw(amount)
                    b.deposit(amount)

                accounts.transact([giver, taker], decide)
            """,
            "afterwards they have",
        ),
        (
            """
            def transfer(accounts, giver, taker, amount):
                def decide(a, b):
                    if amount <= a.funds:
                        a.withdraw(amount)
                        b.deposit(amount)

                accounts.transact([giver, taker], decide)
            """,
            "nobody is told",
        ),
        (
            """
            def transfer(accounts, giver, taker, amount):
                def decide(a, b):
                    b.deposit(amount)

                accounts.transact([giver, taker], decide)
            """,
            "afterwards they have",
        ),
    ],
    "two_accounts.somebody_stays": [
        (
            """
            def go_home(doctors, name, team):
                doctors.retry(name, lambda me: me.leave())
            """,
            "only Ann is on call, and she could go home",
        ),
        (
            """
            from eventlab import CommandRejected


            def go_home(doctors, name, team):
                others = [doctors.load(each) for each in team if each != name]
                if not any(other.on_call for other in others):
                    raise CommandRejected("the last one")
                doctors.transact([name], lambda me: me.leave())
            """,
            "write skew",
        ),
        (
            """
            from eventlab import CommandRejected


            def go_home(doctors, name, team):
                others = [each for each in team if each != name]
                if not any(doctors.load(each).on_call for each in others):
                    raise CommandRejected("the last one")
                doctors.transact([name, *others], lambda me, *_: me.leave())
            """,
            "write skew",
        ),
        (
            """
            from eventlab import CommandRejected


            def go_home(doctors, name, team):
                def decide(me, *others):
                    if not all(other.on_call for other in others):
                        raise CommandRejected("somebody is not on call")
                    me.leave()

                doctors.transact([name, *(each for each in team if each != name)], decide)
            """,
            "Look at all the others",
        ),
        (
            """
            def go_home(doctors, name, team):
                def decide(me, *others):
                    if not any(other.on_call for other in others):
                        raise ValueError("the last one")
                    me.leave()

                doctors.transact([name, *(each for each in team if each != name)], decide)
            """,
            "your code raised ValueError: the last one, in line",
        ),
        (
            """
            from eventlab import CommandRejected


            def go_home(doctors, name, team):
                def decide(me, *others):
                    if not any(other.on_call for other in others):
                        raise CommandRejected("the last one")
                    me.leave()

                others = [each for each in team if each != name]
                doctors.transact([name, *others], decide, tries=1)
            """,
            "another doctor was faster, and you stopped",
        ),
    ],
    "two_accounts.a_new_nickname": [
        (
            """
            from eventlab import Event, Write


            def rename(people, customer, old, new):
                if f"nickname/{new}" in people.ids():
                    return False
                people.commit(
                    [
                        Write(
                            customer,
                            [Event("renamed", {"nickname": new})],
                            people.version(customer),
                        ),
                        Write(f"nickname/{old}", [Event("released")], 1),
                        Write(f"nickname/{new}", [Event("reserved", {"by": customer})], 0),
                    ]
                )
                return True
            """,
            "What does its last event say?",
        ),
        (
            """
            from eventlab import ANY, Event


            def rename(people, customer, old, new):
                people.append(customer, [Event("renamed", {"nickname": new})], expected=ANY)
                return True
            """,
            "You added",
        ),
        (
            """
            from eventlab import Event, VersionConflict, Write


            def rename(people, customer, old, new):
                while True:
                    events = people.read(f"nickname/{new}")
                    if events and events[-1].type == "reserved":
                        return False
                    old_log = f"nickname/{old}"
                    renamed = Event("renamed", {"nickname": new})
                    reserved = Event("reserved", {"by": customer})
                    try:
                        people.commit(
                            [
                                Write(f"nickname/{new}", [reserved], len(events)),
                                Write(old_log, [Event("released")], people.version(old_log)),
                            ]
                        )
                        people.append(customer, [renamed], expected=people.version(customer))
                        return True
                    except VersionConflict:
                        pass
            """,
            "killed after its first write",
        ),
        (
            """
            from eventlab import Event, VersionConflict, Write


            def rename(people, customer, old, new):
                events = people.read(f"nickname/{new}")
                if events and events[-1].type == "reserved":
                    return False
                while True:
                    old_log = f"nickname/{old}"
                    renamed = Event("renamed", {"nickname": new})
                    reserved = Event("reserved", {"by": customer})
                    try:
                        people.commit(
                            [
                                Write(customer, [renamed], people.version(customer)),
                                Write(old_log, [Event("released")], people.version(old_log)),
                                Write(f"nickname/{new}", [reserved], len(events)),
                            ]
                        )
                        return True
                    except VersionConflict:
                        pass
            """,
            "you write again and again",
        ),
    ],
    "two_accounts.a_process_manager": [
        (
            """
            def next_step(event, home, abroad):
                return {"requested": "withdrawn", "withdrawn": "arrived"}.get(event.type)
            """,
            "John has 100, Jane 50; expected 60 and 90",
        ),
        (
            """
            from eventlab import CommandRejected


            def next_step(event, home, abroad):
                payment, key = event.data, f"{event.id} {event.type}"
                if event.type == "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                if event.type == "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        home.deposit(payment["from"], payment["amount"])
                        return "refunded"
                    return "arrived"
            """,
            "expected ['requested', 'withdrawn', 'refused', 'refunded']",
        ),
        (
            """
            from eventlab import CommandRejected


            def next_step(event, home, abroad):
                payment, key = event.data, f"{event.id} {event.type}"
                if event.type == "requested":
                    if home.fetch(payment["from"]).funds < payment["amount"]:
                        return "rejected"
                    home.withdraw(payment["from"], payment["amount"])
                    return "withdrawn"
                if event.type == "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "refused"
                    return "arrived"
                if event.type == "refused":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
            """,
            "Killed at place 1 and started again, it left John 20 and Jane 90",
        ),
        (
            """
            from eventlab import CommandRejected


            def next_step(event, home, abroad):
                payment, key = event.data, f"{event.id} {event.type}"
                if event.type == "requested":
                    try:
                        home.withdraw(payment["from"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "rejected"
                    return "withdrawn"
                if event.type == "withdrawn":
                    try:
                        abroad.deposit(payment["to"], payment["amount"], idempotency_key=key)
                    except CommandRejected:
                        return "refused"
                    return "arrived"
                if event.type == "refused":
                    abroad.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
            """,
            "your manager stopped at 'refused'",
        ),
        (
            """
            def next_step(event, home, abroad):
                return "requested"
            """,
            "after 'requested' you return 'requested'",
        ),
        (
            """
            def next_step(event, home, abroad):
                return "refused"
            """,
            "the payment does not end",
        ),
    ],
    "account_service.the_interest": [
        (
            """
            def add_interest(get, post):
                version, funds = get()
                post(funds // 10, version, "k")
            """,
            "A new call is a new request",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                version, funds = get()
                post(7, version, uuid.uuid4().hex)
            """,
            "nothing went wrong. Interest was paid: [7]",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                key = uuid.uuid4().hex
                while True:
                    version, funds = get()
                    try:
                        if post(funds // 10, version, key) in (200, 412):
                            return
                    except ConnectionError:
                        pass
            """,
            "Interest was paid: none",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                version, funds = get()
                post(funds // 10, None, uuid.uuid4().hex)
            """,
            "pass the version that get() returned",
        ),
        (
            """
            import uuid


            def add_interest(get, post):
                while True:
                    version, funds = get()
                    key = uuid.uuid4().hex
                    for _ in range(2):
                        try:
                            status = post(funds // 10, version, key)
                            break
                        except ConnectionError:
                            status = 412
                    if status == 200:
                        return
            """,
            "the connection broke three times",
        ),
    ],
    "account_service.a_handler": [
        (
            """
            def withdraw(service, id, amount, if_match, key):
                return 200, {"version": service.withdraw(id, amount).version}
            """,
            "If-Match says 3: you returned 200",
        ),
        (
            """
            from eventlab import CommandRejected


            def withdraw(service, id, amount, if_match, key):
                try:
                    if if_match and service.fetch(id).version != if_match:
                        return 412, "changed"
                    event = service.withdraw(id, amount, idempotency_key=key)
                except CommandRejected as error:
                    status = 404 if isinstance(error, LookupError) else 400
                    return status, str(error)
                return 200, {"version": event.version}
            """,
            "another amount with the same key",
        ),
        (
            """
            def withdraw(service, id, amount, if_match, key):
                return service.withdraw(id, amount, idempotency_key=key)
            """,
            "return a status and a body",
        ),
        (
            """
            def withdraw(service, id, amount, if_match, key):
                versions = {if_match} if if_match else None
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
                return 200, {"version": event.version}
            """,
            "If-Match says 3",
        ),
        (
            """
            from eventlab import CommandRejected, IdempotencyKeyReused
            from eventlab.accounts import UnknownAccount, VersionChanged


            def withdraw(service, id, amount, if_match, key):
                versions = None if if_match is None else {if_match}
                try:
                    service.withdraw(id, amount, versions=versions, idempotency_key=key)
                except UnknownAccount:
                    return 404, ""
                except VersionChanged:
                    return 412, ""
                except CommandRejected:
                    return 400, ""
                except IdempotencyKeyReused:
                    return 422, ""
                return 200, {"version": 3}
            """,
            "expected the version of the event",
        ),
    ],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, codes in RIGHT.items() for i in range(len(codes))]
)
def test_exercise_accepts_a_right_answer_in_another_style(name: str, number: int, lab: Any) -> None:
    note = ALL[name].check(answer(RIGHT[name][number]))
    assert note.kind == "Right", note.text


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, pairs in WRONG.items() for i in range(len(pairs))]
)
def test_exercise_explains_a_wrong_answer_that_nobody_foresaw(
    name: str, number: int, lab: Any
) -> None:
    code, told = WRONG[name][number]
    note = replace(ALL[name], seconds=3.0).check(answer(code))
    assert note.kind == "Not yet", note.text
    assert told in note.text

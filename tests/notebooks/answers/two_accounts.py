"""Answers to the exercises of page 08 that its authors did not foresee."""

RIGHT = {
    "a_transfer": [
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
    "somebody_stays": [
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
    "a_new_nickname": [
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
    "a_process_manager": [
        # a table, the refund in the step of the bounced payment's event
        """
        from eventlab import CommandRejected


        def next_step(event, home, abroad):
            pay = event.data
            steps = {
                "requested": (home.withdraw, pay["from"], "withdrawn", "rejected"),
                "withdrawn": (abroad.deposit, pay["to"], "arrived", "bounced"),
                "bounced": (home.deposit, pay["from"], "refunded", None),
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
}

WRONG = {
    "a_transfer": [
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
            "afterward the accounts hold",
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
            "the caller does not learn that",
        ),
        (
            """
            def transfer(accounts, giver, taker, amount):
                def decide(a, b):
                    b.deposit(amount)

                accounts.transact([giver, taker], decide)
            """,
            "afterward the accounts hold",
        ),
    ],
    "somebody_stays": [
        (
            """
            def go_home(doctors, name, team):
                doctors.retry(name, lambda me: me.leave())
            """,
            "only Ann is on call, but your code let her go home",
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
            "Look at all the other doctors",
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
    "a_new_nickname": [
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
            "your code writes again and again",
        ),
    ],
    "a_process_manager": [
        (
            """
            def next_step(event, home, abroad):
                return {"requested": "withdrawn", "withdrawn": "arrived"}.get(event.type)
            """,
            "John has 100, and Jane has 50; expected 60 for John and 90 for Jane",
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
            "expected ['requested', 'withdrawn', 'bounced', 'refunded']",
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
                        return "bounced"
                    return "arrived"
                if event.type == "bounced":
                    home.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
            """,
            "Killed at point 1 and restarted, your manager left John with 20 and Jane with 90",
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
                        return "bounced"
                    return "arrived"
                if event.type == "bounced":
                    abroad.deposit(payment["from"], payment["amount"], idempotency_key=key)
                    return "refunded"
            """,
            "your manager stopped at 'bounced'",
        ),
        (
            """
            def next_step(event, home, abroad):
                return "requested"
            """,
            "after 'requested', you returned 'requested'",
        ),
        (
            """
            def next_step(event, home, abroad):
                return "bounced"
            """,
            "the payment does not end",
        ),
    ],
}

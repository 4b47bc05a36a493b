"""Answers to the exercises of page 04 that its authors did not foresee."""

RIGHT = {
    "the_ticket_desk": [
        # a type for each reason, and the names in the style of classes
        """
        from eventlab import Event


        def record(form, prices):
            meta = {"correlation_id": form["request"], "source": "desk"}
            if form["action"] == "sell":
                paid = {"amount": prices[form["film"]], "currency": "USD"}
                data = {"seat": form["seat"], "film": form["film"], "paid": paid}
                return [Event("TicketSold", data, meta)]
            if form["action"] == "move":
                broken = form["why"] == "broken seat"
                type = "MovedFromBrokenSeat" if broken else "MovedOnRequest"
                return [Event(type, {"seats": [form["seat"], form["to"]]}, meta)]
            if form["action"] == "refund":
                canceled = form["why"] == "film canceled"
                type = "RefundedForCanceledFilm" if canceled else "RefundedOnRequest"
                return [Event(type, {"seat": form["seat"]}, meta)]
            return []
        """,
        # two events for two facts of one sale
        """
        from eventlab import Event


        def record(form, prices):
            meta = {"correlation_id": form["request"]}
            seat = {"seat": form["seat"]}
            if form["action"] == "sell":
                price = {"film": form["film"], "price": prices[form["film"]]}
                return [Event("seat taken", seat, meta), Event("ticket paid", seat | price, meta)]
            if form["action"] == "look":
                return []
            more = {"reason": form["why"]}
            if form["action"] == "move":
                return [Event("guest moved", seat | more | {"to": form["to"]}, meta)]
            return [Event("ticket refunded", seat | more, meta)]
        """,
    ],
    "an_upcaster": [
        """
        import re

        import msgspec


        def lift(event):
            match event.type, event.data:
                case "moved", {"address": address, **rest}:
                    street, city = re.split(r",(?=[^,]*$)", address)
                    data = {**rest, "street": street, "city": city.lstrip()}
                    return msgspec.structs.replace(event, data=data)
            return event
        """,
        """
        from eventlab import Recorded


        def lift(event):
            if event.type == "moved" and "street" not in event.data:
                *street, city = event.data["address"].split(",")
                data = {"street": ",".join(street), "city": city.strip()}
                return Recorded(
                    event.id, event.version, event.type, data, event.position, event.meta
                )
            return event
        """,
    ],
    "a_correction": [
        # an apply that rejects what it does not know
        """
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.receipts = {}

            @property
            def funds(self):
                return sum(self.receipts.values())

            def deposit(self, receipt, amount):
                if receipt in self.receipts:
                    raise CommandRejected("used")
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if not self.receipts.get(receipt):
                    raise CommandRejected("unknown, or reversed before")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                match event.type:
                    case "deposited":
                        self.receipts[event.data["receipt"]] = event.data["amount"]
                    case "deposit_reversed":
                        self.receipts[event.data["receipt"]] = 0
                    case _:
                        raise ValueError(f"unknown event {event.type!r}")
        """,
        """
        from eventlab import Aggregate, CommandRejected


        class Corrected(Aggregate):
            def __init__(self, id):
                super().__init__(id)
                self.funds = 0
                self.open = {}
                self.used = set()

            def deposit(self, receipt, amount):
                if receipt in self.used:
                    raise CommandRejected("used")
                self.record("deposited", {"receipt": receipt, "amount": amount})

            def reverse(self, receipt, reason):
                if receipt not in self.open:
                    raise CommandRejected("not open")
                self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

            def apply(self, event):
                if event.type == "deposited":
                    self.used.add(event.data["receipt"])
                    self.open[event.data["receipt"]] = event.data["amount"]
                    self.funds += event.data["amount"]
                if event.type == "deposit_reversed":
                    self.funds -= self.open.pop(event.data["receipt"], 0)
        """,
    ],
}

WRONG = {
    "pick_the_name": [
        ("names = ['room_closed_for_repair', 'recipient_not_at_home']", "a dict with the three"),
        ("names = {'a': 'closed', 'b': 'nobody', 'c': 'interest'}", "choose one of"),
        ("names = {'a': [], 'b': [], 'c': []}", "choose one of"),
    ],
    "the_ticket_desk": [
        (
            """
            def record(form, prices):
                print(form)
            """,
            "your function returns nothing",
        ),
        (
            """
            def record(form, prices):
                return []
            """,
            "a ticket was sold, but there is no event for it",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                return [Event("ticket_sold", {"seat": form["seat"], "price": 1_200})]
            """,
            "which film was it",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                data = {"seat": form["seat"], "film": form["film"], "prices": prices}
                return [Event("ticket_sold", data)]
            """,
            "the whole price list",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                if form["action"] == "sell":
                    price = prices[form["film"]]
                    data = {"seat": form["seat"], "film": form["film"], "price": price}
                    return [Event("ticket_sold", data)]
                if form["action"] == "move":
                    data = {"seats": [form["seat"], form["to"]], "why": form["why"]}
                    return [Event("guest_moved", data)]
                return []
            """,
            "money was paid back",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                if form["action"] == "sell":
                    price = prices[form["film"]]
                    data = {"seat": form["seat"], "film": form["film"], "price": price}
                    return [Event("ticket_sold", data)]
                if form["action"] == "move":
                    data = {"seats": [form["seat"], form["to"]], "why": form["why"]}
                    return [Event("guest_moved", data)]
                return [Event("refunded", {"why": form["why"]})]
            """,
            "which seat is free again",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                return Event("ticket_sold", {"seat": form["seat"]})
            """,
            "return a list of events, even if it has only one",
        ),
        (
            """
            def record(form, prices):
                return [{"type": "ticket_sold", "data": {"seat": form["seat"]}}]
            """,
            "a list of Event objects",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                card = form["card"].replace(" ", "-")
                return [Event("ticket_sold", {"seat": form["seat"], "card": card})]
            """,
            "card numbers",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                meta = {"correlation_id": form["request"], "form": form}
                data = {"seat": form["seat"], "film": form["film"], "price": 1_200}
                return [Event("ticket_sold", data, meta)]
            """,
            "card numbers",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                price = prices[form["film"]]
                data = {"seat": form["seat"], "film": form["film"], "price": price}
                return [Event("sell_ticket", data)]
            """,
            "sounds like a request",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                data = {"id": form["seat"], "film": form["film"]}
                return [Event("ticket_sold", data)]
            """,
            "reserved keys",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                if form["action"] == "sell":
                    price = prices[form["film"]]
                    data = {"seat": form["seat"], "film": form["film"], "price": price}
                    return [Event("ticket_sold", data)]
                if form["action"] == "move":
                    return [Event("guest_moved", {"to": form["to"], "why": form["why"]})]
                return []
            """,
            "from which seat to which",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                if form["action"] == "sell":
                    price = prices[form["film"]]
                    data = {"seat": form["seat"], "film": form["film"], "price": price}
                    return [Event("ticket_sold", data)]
                return []
            """,
            "sits in another seat now",
        ),
        (
            """
            from eventlab import Event


            def record(form, prices):
                if form["action"] == "look":
                    return []
                data = {k: v for k, v in form.items() if k not in ("card", "request")}
                if form["action"] == "sell":
                    data["price"] = prices[form["film"]]
                names = {"sell": "ticket_sold", "move": "guest_moved", "refund": "ticket_refunded"}
                return [Event(names[form["action"]], data, {"user": "clerk"})]
            """,
            "which request caused this event",
        ),
    ],
    "an_upcaster": [
        (
            """
            def lift(event):
                return event.data
            """,
            "an upcaster returns an event",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved" or "address" not in event.data:
                    return event
                return msgspec.structs.replace(event, data=event.data["address"])
            """,
            "data must stay a dict",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved" or "address" not in event.data:
                    return event
                return msgspec.structs.replace(event, data=event.data | {"city": "Salem"})
            """,
            "no longer has an address",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved" or "address" not in event.data:
                    return event
                street, city = event.data["address"].split(",")
                return msgspec.structs.replace(event, data={"street": street, "city": city})
            """,
            "with a space in front of it",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved" or "address" not in event.data:
                    return event
                city = event.data["address"].split()[-1]
                return msgspec.structs.replace(event, data={"city": city})
            """,
            "expected the data",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved":
                    return event
                street, city = event.data["address"].rsplit(", ", 1)
                return msgspec.structs.replace(event, data={"street": street, "city": city})
            """,
            "Your upcaster fails for",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type != "moved" or "address" not in event.data:
                    return event
                street, city = event.data["address"].rsplit(", ", 1)
                return msgspec.structs.replace(event, data={"street": street, "city": city})
            """,
            "ValueError",
        ),
        (
            """
            def lift(event):
                if event.type == "moved" and "address" in event.data:
                    street, _, city = event.data["address"].rpartition(",")
                    event.data = {"street": street, "city": city.strip()}
                return event
            """,
            "immutable",
        ),
        (
            """
            import msgspec


            def lift(event):
                if event.type == "moved":
                    city = "Salem"
                    street = event.data.get("address", "").removesuffix(", Salem")
                    return msgspec.structs.replace(event, data={"street": street, "city": city})
                return event
            """,
            "must be returned unchanged",
        ),
        (
            """
            import msgspec


            def lift(event):
                if "address" not in event.data:
                    return event
                street, _, city = event.data["address"].rpartition(",")
                data = {"street": street, "city": city.strip()}
                return msgspec.structs.replace(event, type="moved", data=data)
            """,
            "email_added",
        ),
    ],
    "what_a_change_costs": [
        (
            "costs = dict(a='nothing', b='new name', c='upcaster', d='new name', e='new name')",
            "d: no meaning has changed",
        ),
        ("costs = 'nothing'", "a dict with the five letters"),
        ("costs = dict.fromkeys('abcde', 'new type')", "each answer is one of"),
        ("costs = dict.fromkeys('abcde', 'nothing')", "b: today's amounts"),
        ("costs = dict.fromkeys('abcde', 'upcaster')", "a: what would an upcaster write"),
    ],
    "a_correction": [
        ("Corrected = {'deposit': 1}", "give the class itself"),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def apply(self, event):
                    pass
            """,
            "a new account needs an initial state",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 100

                def apply(self, event):
                    pass
            """,
            "a new account has no money",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0

                def deposit(self, receipt, amount):
                    self.funds += amount

                def apply(self, event):
                    pass
            """,
            "recorded no event, so after a restart",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0

                def deposit(self, receipt, amount):
                    self.record("deposited", {"receipt": receipt, "amount": amount})
                    self.funds += amount

                def apply(self, event):
                    pass
            """,
            "Change the state in apply, and nowhere else",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0

                def deposit(self, receipt, amount):
                    self.record("deposited", {"amount": amount})

                def apply(self, event):
                    self.funds += event.data.get("amount", 0)
            """,
            "your deposit recorded",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0

                def deposit(self, receipt, amount):
                    self.record("deposited", {"receipt": receipt, "amount": amount})

                def apply(self, event):
                    self.funds -= event.data["amount"]
            """,
            "the funds are -",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0

                def deposit(self, receipt, amount):
                    self.record("deposited", {"receipt": receipt, "amount": amount})

                def reverse(self, receipt, reason):
                    self.record("deposited", {"receipt": receipt, "amount": -self.funds})

                def apply(self, event):
                    self.funds += event.data.get("amount", 0)
            """,
            "nobody paid that in",
        ),
        (
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
                    self.funds += event.data.get("amount", 0)
            """,
            "the only deposit was reversed",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    self.funds = 0

                def apply(self, event):
                    self.funds += event.data["amount"]
            """,
            "must begin with super().__init__(id)",
        ),
        (
            """
            from eventlab import Aggregate, CommandRejected


            class Corrected(Aggregate):
                amounts = {}

                def __init__(self, id):
                    super().__init__(id)
                    self.gone = []

                @property
                def funds(self):
                    return sum(v for k, v in self.amounts.items() if k not in self.gone)

                def deposit(self, receipt, amount):
                    if receipt in self.amounts:
                        raise CommandRejected("used")
                    self.record("deposited", {"receipt": receipt, "amount": amount})

                def reverse(self, receipt, reason):
                    if receipt not in self.amounts or receipt in self.gone:
                        raise CommandRejected("gone")
                    self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

                def apply(self, event):
                    if event.type == "deposited":
                        self.amounts[event.data["receipt"]] = event.data["amount"]
                    elif event.type == "deposit_reversed":
                        self.gone.append(event.data["receipt"])
            """,
            "not in the class",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0
                    self.last = 0

                def deposit(self, receipt, amount):
                    self.record("deposited", {"receipt": receipt, "amount": amount})

                def reverse(self, receipt, reason):
                    self.record("deposit_reversed", {"receipt": receipt, "reason": reason})

                def apply(self, event):
                    if event.type == "deposited":
                        self.last = event.data["amount"]
                        self.funds += self.last
                    elif event.type == "deposit_reversed":
                        self.funds -= self.last
            """,
            "Which amount belongs to which receipt",
        ),
        (
            """
            from eventlab import Aggregate


            class Corrected(Aggregate):
                def __init__(self, id):
                    super().__init__(id)
                    self.funds = 0
                    self.amounts = {}

                def deposit(self, receipt, amount):
                    self.record("deposited", {"receipt": receipt, "amount": amount})

                def reverse(self, receipt, reason):
                    amount = self.amounts[receipt]
                    data = {"receipt": receipt, "amount": amount, "reason": reason}
                    self.record("withdrawn", data)

                def apply(self, event):
                    if event.type == "deposited":
                        self.amounts[event.data["receipt"]] = event.data["amount"]
                        self.funds += event.data["amount"]
                    else:
                        self.funds -= event.data["amount"]
            """,
            "your reverse recorded",
        ),
    ],
}
